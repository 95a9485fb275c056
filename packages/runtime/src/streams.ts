/**
 * Consumer groups over Redis streams. Groups are created at `0` with MKSTREAM wherever they are read, because FLUSHALL takes them away; an
 * entry is deleted when it is acknowledged, so that streams stay as long as what is still to be done.
 */
import { ENTRY_FIELD } from '@baton/contracts'
import type { ChainableCommander, Redis } from 'ioredis'
import type { z } from 'zod'
import type { Logger } from './logger.ts'
import { counter } from './metrics.ts'

/** One entry of a stream, parsed. */
export interface StreamEntry<T> {
  stream: string
  id: string
  value: T
}

/** An entry taken over from a consumer that went silent. */
export interface StaleEntry<T> extends StreamEntry<T> {
  /** The consumer that held it. */
  from: string
  /** How often it was delivered before. */
  deliveries: number
}

/** Turns the JSON of an entry into a value, or throws. A zod schema is one; a hand-written check may be faster. */
export interface EntrySchema<T> {
  parse(value: unknown): T
}

type RawEntry = [id: string, fields: string[] | null]

const poisoned = counter('baton_stream_entries_poisoned_total', 'Entries that could not be read and were dropped', ['group'])
const groupsLost = counter('baton_stream_groups_lost_total', 'Times that a consumer group was gone and made again', ['group'])

/** Makes the group at the stream's beginning, and the stream; true when it was not there. */
export async function ensureGroup(redis: Redis, stream: string, group: string): Promise<boolean> {
  return (await ensureGroups(redis, [stream], group)) > 0
}

/** As ensureGroup for many streams in one pipeline; how many were not there. */
export async function ensureGroups(redis: Redis, streams: readonly string[], group: string): Promise<number> {
  const pipeline = redis.pipeline()
  for (const stream of streams) pipeline.xgroup('CREATE', stream, group, '0', 'MKSTREAM')
  let made = 0
  for (const [error] of (await pipeline.exec()) ?? []) {
    if (error === null) made++
    else if (!error.message.startsWith('BUSYGROUP')) throw error
  }
  return made
}

/** True for the errors that tell that the stream or its group is gone (FLUSHALL, a Redis without its data). */
export function isGroupLost(error: unknown): boolean {
  return error instanceof Error && (error.message.startsWith('NOGROUP') || error.message.startsWith('UNBLOCKED'))
}

/**
 * Adds XDEL and XACK to a pipeline; not before everything that follows from the entries is safe. In this order: when only the first is executed,
 * what is left is a row of XPENDING that the next claim tidies away. The other way round an entry would stand in the stream for ever.
 */
export function ackEntries(pipeline: ChainableCommander, stream: string, group: string, ids: readonly string[]): void {
  if (ids.length === 0) return
  pipeline.xdel(stream, ...ids)
  pipeline.xack(stream, group, ...ids)
}

/** What reading and taking over have in common. */
export interface GroupOptions<T> {
  /** For commands; reading blocks on a connection of its own. */
  redis: Redis
  group: string
  consumer: string
  schema: EntrySchema<T> | z.ZodType<T>
  log: Logger
}

/** Parses entries of one stream; those that cannot be read are logged, counted, acknowledged and left out. */
export async function parseEntries<T>(options: GroupOptions<T>, stream: string, raw: readonly RawEntry[]): Promise<StreamEntry<T>[]> {
  const entries: StreamEntry<T>[] = []
  const poison: string[] = []
  for (const [id, fields] of raw) {
    if (fields === null) continue // deleted while it was pending
    try {
      entries.push({ stream, id, value: options.schema.parse(JSON.parse(fieldOf(fields))) })
    } catch (error) {
      options.log.error({ err: error, stream, id }, 'entry cannot be read, dropped')
      poison.push(id)
    }
  }
  if (poison.length > 0) {
    poisoned.inc({ group: options.group }, poison.length)
    const pipeline = options.redis.pipeline()
    ackEntries(pipeline, stream, options.group, poison)
    await pipeline.exec()
  }
  return entries
}

function fieldOf(fields: readonly string[]): string {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === ENTRY_FIELD) return fields[i + 1]!
  }
  throw new Error(`no field ${ENTRY_FIELD}`)
}

/** Counts and reports a lost group, and makes it again. */
export async function healGroups(
  options: Pick<GroupOptions<unknown>, 'redis' | 'group' | 'log'>,
  streams: readonly string[],
): Promise<void> {
  groupsLost.inc({ group: options.group })
  options.log.warn({ group: options.group }, 'consumer group was gone, made again')
  await ensureGroups(options.redis, streams, options.group)
}
