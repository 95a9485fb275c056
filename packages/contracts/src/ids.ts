/** Public ids are a UUIDv7 (RFC 9562) with a prefix; Postgres holds the bare UUID. */
import { randomUUIDv7 } from 'node:crypto'
import { z } from 'zod'

export const ID_PREFIXES = { run: 'run', approval: 'apr', task: 'tsk', agent: 'agt', key: 'key' } as const
export type IdKind = keyof typeof ID_PREFIXES

/** Streams of facts are split over this many partitions; a run stays in one for life. */
export const PARTITION_COUNT = 16

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A new id, ordered by time: `run_0192…`. */
export function newId(kind: IdKind): string {
  return `${ID_PREFIXES[kind]}_${randomUUIDv7()}`
}

/** The bare UUID of a public id, or undefined when the text is not an id of that kind. */
export function uuidOf(kind: IdKind, id: string): string | undefined {
  const prefix = `${ID_PREFIXES[kind]}_`
  if (!id.startsWith(prefix)) return undefined
  const uuid = id.slice(prefix.length)
  return UUID.test(uuid) ? uuid : undefined
}

/** The public id of a bare UUID. */
export function idOf(kind: IdKind, uuid: string): string {
  return `${ID_PREFIXES[kind]}_${uuid}`
}

/** The partition of a run (public id or bare UUID): its last four hex digits, which are random, modulo PARTITION_COUNT. */
export function partitionOf(runId: string): number {
  return Number.parseInt(runId.slice(-4), 16) % PARTITION_COUNT
}

export const RunId = z.string().refine((id) => uuidOf('run', id) !== undefined, 'not a run id: run_ and a UUIDv7')
export const ApprovalId = z.string().refine((id) => uuidOf('approval', id) !== undefined, 'not an approval id: apr_ and a UUIDv7')
