/** Claims on turns, in Redis: so that two replicas do not pay for the same turn, and the runner sees that somebody holds it. */
import { keys } from '@baton/contracts'
import type { Logger, Redis } from '@baton/runtime'

export interface Claim {
  release(): Promise<void>
}

export interface Claims {
  /** Undefined when another replica holds it. */
  take(callId: string): Promise<Claim | undefined>
}

const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`

/**
 * Claims under the key `inflight:<call>`, with a TTL that is renewed three times in its course and so comes back after Redis was emptied. They
 * are a courtesy, not a lock: what makes a turn count once is its record in Postgres. A Redis that is away grants every claim.
 */
export function createClaims(options: { redis: Redis; replica: string; ttlMs: number; log: Logger }): Claims {
  const { redis, replica, ttlMs, log } = options
  return {
    async take(callId) {
      const key = keys.inflight(callId)
      const holder = await redis
        .set(key, replica, 'PX', ttlMs, 'NX', 'GET')
        .catch((error: Error) => log.debug({ err: error }, 'claim not asked for') as undefined)
      if (holder && holder !== replica) return undefined
      const renewal = setInterval(() => {
        redis.set(key, replica, 'PX', ttlMs).catch((error: Error) => log.debug({ err: error }, 'claim not renewed'))
      }, ttlMs / 3)
      renewal.unref()
      return {
        async release() {
          clearInterval(renewal)
          await redis.eval(RELEASE, 1, key, replica).catch((error: Error) => log.debug({ err: error }, 'claim not released'))
        },
      }
    },
  }
}
