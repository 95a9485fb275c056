/** Public ids are a UUIDv7 (RFC 9562) with a prefix; Postgres holds the bare UUID. */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'

export const ID_PREFIXES = { run: 'run', approval: 'apr', task: 'tsk', agent: 'agt', key: 'key' } as const
export type IdKind = keyof typeof ID_PREFIXES

/** Streams of facts are split over this many partitions; a run stays in one for life. */
export const PARTITION_COUNT = 16

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const POOL_BYTES = 4_096
let pool = ''
let poolAt = 0
let lastMs = 0
let counter = 0

/**
 * A bare UUIDv7 that is greater than all that this process made before, also within a millisecond (RFC 9562 §6.2, method 1: the 12 bits after
 * the version count up from a random start). So runs of one batch list in the order in which they were asked for.
 */
export function newUuid(): string {
  const now = Date.now()
  const random = randomHex(16)
  if (now > lastMs) {
    lastMs = now
    counter = Number.parseInt(random.slice(0, 3), 16) >> 1
  } else if (++counter > 0xfff) {
    lastMs += 1
    counter = 0
  }
  const time = lastMs.toString(16).padStart(12, '0')
  const variant = ((Number.parseInt(random[3]!, 16) & 0x3) | 0x8).toString(16)
  const count = counter.toString(16).padStart(3, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${variant}${random.slice(4, 7)}-${randomHex(12)}`
}

/** Random hex digits, from a pool: asking the system for each id costs more than the id. */
export function randomHex(digits: number): string {
  if (poolAt + digits > pool.length) {
    pool = randomBytes(POOL_BYTES).toString('hex')
    poolAt = 0
  }
  poolAt += digits
  return pool.slice(poolAt - digits, poolAt)
}

/** A new id, ordered by time: `run_0192…`. */
export function newId(kind: IdKind): string {
  return `${ID_PREFIXES[kind]}_${newUuid()}`
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
export const TaskId = z.string().refine((id) => uuidOf('task', id) !== undefined, 'not a task id: tsk_ and a UUIDv7')
