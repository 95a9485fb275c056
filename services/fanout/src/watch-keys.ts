/** Revoked keys lose their clients: at once when Redis tells of it, and within the interval in any case. */
import { keys } from '@baton/contracts'
import { connectRedis } from '@baton/runtime'
import type { Authenticator } from './authenticate.ts'
import type { Clients } from './clients.ts'

export interface WatchKeysOptions {
  redisUrl: string
  everyMs: number
  clients: Clients
  authenticator: Authenticator
  onFailed(err: unknown): void
}

/** Watches until stopped. */
export function watchKeys(options: WatchKeysOptions): { stop(): void } {
  const { clients, authenticator, onFailed } = options
  const redis = connectRedis(options.redisUrl, { name: 'fanout-revoked' })
  let stopped = false
  redis.on('message', (_channel: string, hash: string) => clients.revoke(hash))
  redis.subscribe(keys.revoked).catch((err: unknown) => {
    if (!stopped) onFailed(err)
  })
  const timer = setInterval(() => void clients.recheck(authenticator).catch(onFailed), options.everyMs)
  return {
    stop() {
      stopped = true
      clearInterval(timer)
      redis.disconnect()
    },
  }
}
