/** How much stands in Redis, for metrics: a bounded number of cheap commands, however long the streams and queues are. */
import { keys, PARTITION_COUNT } from '@baton/contracts'
import { type JobLevels, mastersOf, type Redis, redisNow } from '@baton/runtime'

const PARTITIONS = Array.from({ length: PARTITION_COUNT }, (_, partition) => partition)
/** Entries of `events` stay until the stream is full: their age says how far back live readers could go, not that somebody waits. */
export const STREAMS = { facts: keys.facts, calls: keys.calls, events: keys.events } as const
export type StreamName = keyof typeof STREAMS

export interface StreamLevel {
  stream: StreamName
  entries: number
  oldestMs: number
}

/** Length and oldest entry of the streams. What is done is deleted, so the first entry is the oldest that is still to be done. */
export async function readStreams(redis: Redis): Promise<StreamLevel[]> {
  const now = await redisNow(redis)
  return Promise.all((Object.keys(STREAMS) as StreamName[]).map((stream) => readStream(redis, stream, now)))
}

async function readStream(redis: Redis, stream: StreamName, now: number): Promise<StreamLevel> {
  const parts = await Promise.all(
    PARTITIONS.map(async (partition) => {
      const key = STREAMS[stream](partition)
      const [length, [first]] = await Promise.all([redis.xlen(key), redis.xrange(key, '-', '+', 'COUNT', 1)])
      return { length, ageMs: first ? Math.max(0, now - Number(first[0].split('-')[0])) : 0 }
    }),
  )
  return {
    stream,
    entries: parts.reduce((sum, { length }) => sum + length, 0),
    oldestMs: Math.max(...parts.map(({ ageMs }) => ageMs)),
  }
}

/** Memory that Redis uses, and may use: 0 is no bound. Of a cluster that of all its masters together. */
export async function readRedisMemory(redis: Redis): Promise<{ usedBytes: number; maxBytes: number }> {
  const masters = await Promise.all((await mastersOf(redis)).map(readMemory))
  return {
    usedBytes: masters.reduce((sum, { usedBytes }) => sum + usedBytes, 0),
    maxBytes: masters.reduce((sum, { maxBytes }) => sum + maxBytes, 0),
  }
}

async function readMemory(redis: Redis): Promise<{ usedBytes: number; maxBytes: number }> {
  const info = await redis.info('memory')
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  return { usedBytes: field('used_memory'), maxBytes: field('maxmemory') }
}

/** Jobs of each queue, by their state. */
export function readQueues(queues: Record<string, { levels(): Promise<JobLevels> }>): Promise<({ queue: string } & JobLevels)[]> {
  return Promise.all(Object.entries(queues).map(async ([queue, producer]) => ({ queue, ...(await producer.levels()) })))
}
