/**
 * Whether what is missing in Redis is lost for good, or may be said again in a moment by those who hold it. After Redis was emptied, away or hung,
 * or this process stood still, nobody's silence means anything: others must first have had the time to come back and to repeat what they hold.
 */
import { keys } from '@baton/contracts'
import type { Redis } from 'ioredis'
import { isCluster } from './layout.ts'
import { watchCluster } from './watch-cluster.ts'

/** Whoever holds something comes back within a second and repeats it every second: both, and some slack. */
export const REPEATED_AFTER_MS = 3_000
/** Redis is asked each second: answers further apart than this are a pause. */
export const PAUSE_MS = 2_500
/** Redis' clock may go back a little. */
export const AHEAD_MS = 1_000

/** Ours, which nobody sets. */
export const local = () => performance.timeOrigin + performance.now()

export interface RedisWatch {
  /** To be called about once a second. True when Redis lost data since the last look: it was emptied, is new, or was started again. Waits while it is away. */
  look(): Promise<boolean>
  /** Redis has had its data, and has answered us, for long enough that everybody has repeated what they hold. To be asked after looking for it. */
  isSettled(): Promise<boolean>
  /** The clock of the Redis that has the stream as of the last look, ms since 1970. */
  now(stream: string): number
  /**
   * True for an entry that stood in its stream before Redis was last started again, taken over by a replica or emptied, and for any while that is
   * not known: what was done with it since may be forgotten there.
   */
  isDoubtful(stream: string, entryId: string): boolean
}

/** Watches over one connection. The sentinel says since when Redis has its data, by its own clock. */
export function watchRedis(redis: Redis, now: () => number = () => performance.now()): RedisWatch {
  return isCluster(redis) ? watchCluster(redis, now) : watchServer(redis, now)
}

function watchServer(redis: Redis, now: () => number): RedisWatch {
  /** Since when answers have come without a pause; null when it has to be found out. */
  let since: number | null = null
  let answeredAt = 0
  let life: string | undefined
  let sentinel: string | undefined
  let aheadMs = 0
  let metAt = 0
  redis.on('close', () => {
    since = null
  })

  /** Another life of Redis may have lost its last second, for all that it wrote down. */
  async function meet(): Promise<boolean> {
    const { runId, upMs } = readInfo(await redis.info('server'))
    const isFirst = life === undefined
    const isOther = !isFirst && runId !== life
    life = runId
    answeredAt = now()
    since = isFirst ? answeredAt - upMs : answeredAt
    return isOther
  }

  /** What the sentinel was; null when it was missing, or from a clock that was ahead: it would say for hours that Redis is new. */
  async function mark(at: number): Promise<string | null> {
    const known = await redis.set(keys.sentinel, at, 'NX', 'GET')
    if (known === null || Number(known) <= at + AHEAD_MS) return known
    await redis.set(keys.sentinel, at)
    return null
  }

  return {
    async look() {
      const isOther = since === null && (await meet())
      const askedAt = local()
      const { at, found: seen } = await peek(redis)
      aheadMs = at - (askedAt + local()) / 2
      const known = seen !== null && Number(seen) <= at + AHEAD_MS ? seen : await mark(at)
      const wasPaused = now() - answeredAt > PAUSE_MS
      answeredAt = now()
      if (wasPaused && since !== null) since = answeredAt
      const found = known ?? String(at)
      const isEmptied = known === null || (sentinel !== undefined && found !== sentinel)
      sentinel = found
      if (isOther || isEmptied) metAt = at
      return isOther || isEmptied
    },
    async isSettled() {
      if (since === null || now() - answeredAt > PAUSE_MS || now() - since < REPEATED_AFTER_MS) return false
      const { at, found } = await peek(redis)
      return found !== null && at - Number(found) >= REPEATED_AFTER_MS
    },
    now: () => local() + aheadMs,
    isDoubtful: (_stream, entryId) => since === null || Number(entryId.slice(0, entryId.indexOf('-'))) <= metAt,
  }
}

/** Redis' clock, and the sentinel, in one round trip. */
async function peek(redis: Redis): Promise<{ at: number; found: string | null }> {
  const replies = (await redis.pipeline().time().get(keys.sentinel).exec()) ?? []
  for (const [error] of replies) if (error) throw error
  return { at: millis(replies[0]![1] as [string, string]), found: replies[1]![1] as string | null }
}

/** Redis' clock, ms since 1970. */
export async function redisNow(redis: Redis): Promise<number> {
  return millis((await redis.time()) as [number, number])
}

function millis([seconds, micros]: [seconds: string | number, micros: string | number]): number {
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
}

function readInfo(info: string): { runId: string; upMs: number } {
  const field = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? ''
  return { runId: field('run_id'), upMs: Number(field('uptime_in_seconds')) * 1_000 }
}
