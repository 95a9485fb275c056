/**
 * How often a host was called, by all workers together: one key a host in Redis (GCRA, the token bucket that is a single time). While Redis is away
 * each worker keeps the limit by itself.
 */
import { keys } from '@baton/contracts'
import type { Logger, Redis } from '@baton/runtime'
import { ratesKeptAlone } from './metrics.ts'
import type { RateLimit } from './rate-limits.ts'

export interface Taken {
  /** Calls that may be made now. */
  granted: number
  /** When it is worth to ask again, if fewer were granted than were wanted. */
  waitMs: number
}

export interface RateBuckets {
  take(host: string, limit: RateLimit, wanted: number): Promise<Taken>
}

/** Redis takes far less; one that hangs is not waited for. */
const ANSWER_MS_MAX = 1_000
/** How long the log stays silent once it has told that Redis is away. */
const SAY_AGAIN_MS = 60_000

/** `at` is when the next call would be due if all came evenly: it may lie so far ahead as the burst allows. A clock that jumped cannot put it further. */
const TAKE = `local time = redis.call('time')
  local now = time[1] * 1000000 + time[2]
  local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
  local at = tonumber(redis.call('get', KEYS[1]) or now)
  at = math.min(math.max(at, now), now + burst * interval)
  local granted = math.min(wanted, math.max(0, math.floor((now + (burst - 1) * interval - at) / interval + 1.000001)))
  if granted > 0 then
    at = at + granted * interval
    redis.call('set', KEYS[1], string.format('%.0f', at), 'px', math.ceil((at - now) / 1000) + 1000)
  end
  return { granted, math.ceil((at - now - (burst - 1) * interval) / 1000) }`

/** `redis` must fail, not wait, while Redis is away. */
export function createRateBuckets(redis: Redis, log: Logger): RateBuckets {
  const own = new Map<string, number>()
  let saidAt = Number.NEGATIVE_INFINITY

  /** The same by our own clock. */
  function takeAlone(host: string, { intervalUs, burst }: RateLimit, wanted: number): Taken {
    const now = performance.now() * 1_000
    let at = Math.max(own.get(host) ?? 0, now)
    // A difference of large times may come out a little too small.
    const granted = Math.min(wanted, Math.max(0, Math.floor((now + (burst - 1) * intervalUs - at) / intervalUs + 1.000_001)))
    at += granted * intervalUs
    own.set(host, at)
    return { granted, waitMs: Math.ceil((at - now - (burst - 1) * intervalUs) / 1_000) }
  }

  async function takeTogether(host: string, { intervalUs, burst }: RateLimit, wanted: number): Promise<Taken> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(new Error(`no answer within ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX)
    const asked = redis.eval(TAKE, 1, keys.rate(host), intervalUs, burst, wanted) as Promise<[granted: number, waitMs: number]>
    const [granted, waitMs] = await Promise.race([asked, late.promise]).finally(() => clearTimeout(timer))
    own.set(host, Math.max(own.get(host) ?? 0, performance.now() * 1_000) + granted * intervalUs)
    return { granted, waitMs: Math.max(1, waitMs) }
  }

  return {
    take: (host, limit, wanted) =>
      takeTogether(host, limit, wanted).catch((error: Error) => {
        ratesKeptAlone.inc()
        if (performance.now() - saidAt > SAY_AGAIN_MS) {
          saidAt = performance.now()
          log.warn({ err: error, host }, 'Redis is away, this worker keeps rate limits by itself')
        }
        return takeAlone(host, limit, wanted)
      }),
  }
}
