/** Each replica says every 5 s in a Redis hash that it is alive; /status and the runner read it. */
import { type Heartbeat, keys } from '@baton/contracts'
import type { Redis } from 'ioredis'
import type { Logger } from './logger.ts'
import { REPLICA, VERSION } from './version.ts'

const EVERY_MS = 5_000
/** After this long without a beat an entry is removed by whoever sees it. */
const FORGET_MS = 60_000
const STOP_MS = 1_000

/** Beats until `stop`, which also removes the entry. */
export function startHeartbeat(options: { service: string; url: string; redis: Redis; log: Logger; clients?: () => number }): {
  stop(): Promise<void>
} {
  const field = `${options.service}:${REPLICA}`
  let beats = 0
  const beat = async () => {
    const entry: Heartbeat = { service: options.service, replica: REPLICA, at: Date.now(), url: options.url, version: VERSION }
    if (options.clients) entry.clients = options.clients()
    await options.redis.hset(keys.replicas, field, JSON.stringify(entry))
    if (beats++ % 12 === 0) await forgetDead(options.redis)
  }
  let failing = false
  const tryBeat = () =>
    beat().then(
      () => {
        failing = false
      },
      (error: Error) => {
        if (!failing) options.log.warn({ err: error }, 'heartbeat failed')
        failing = true
      },
    )
  // Also at once when Redis comes (back): it may have forgotten us.
  options.redis.on('ready', tryBeat)
  if (options.redis.status === 'ready') void tryBeat()
  const timer = setInterval(tryBeat, EVERY_MS)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      options.redis.removeListener('ready', tryBeat)
      if (options.redis.status !== 'ready') return
      // A Redis that hangs must not hold up the stop: an entry that stays is dead after 15 s.
      const removed = options.redis.hdel(keys.replicas, field).catch(() => {})
      await Promise.race([removed, new Promise((resolve) => setTimeout(resolve, STOP_MS))])
    },
  }
}

async function forgetDead(redis: Redis): Promise<void> {
  const entries = Object.entries(await redis.hgetall(keys.replicas))
  const dead = entries.filter(([, text]) => !isRecent(text)).map(([name]) => name)
  if (dead.length > 0) await redis.hdel(keys.replicas, ...dead)
}

function isRecent(text: string): boolean {
  try {
    return Date.now() - (JSON.parse(text) as Heartbeat).at < FORGET_MS
  } catch {
    return false
  }
}
