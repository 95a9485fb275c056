/** Everything that this process keeps open: Postgres, Redis, and what hangs on them. */
import { once } from 'node:events'
import {
  agentTurns,
  connectRedis,
  createFactSender,
  createProducer,
  databaseUrlOf,
  type FactSender,
  notifications,
  type Producer,
  type Redis,
} from '@baton/runtime'
import { connect, type Sql } from '@baton/store'
import type { Settings } from './config.ts'

const SETTLE_MS = 1_000

export interface Connections {
  sql: Sql
  /** Rejects at once while Redis is away: who asks is to be answered. */
  redis: Redis
  facts: FactSender
  /** Slow work, by the name of its queue. */
  queues: Record<string, Pick<Producer<never>, 'depth' | 'levels'>>
  /** Hears what is said on these pub/sub channels. What is said while Redis is away is lost: nobody may rely on it. */
  listen(heard: Record<string, (text: string) => void>): void
  /** Waits a moment for Redis, so that the first facts need not be found by the reconciler. */
  settle(): Promise<void>
  /** Sends what is to be sent, and closes all of it. */
  close(): Promise<void>
}

/** Opens connections; none of them has to be answered for this to return. */
export function openConnections(settings: Settings): Connections {
  const sql = connect(databaseUrlOf(settings), {
    max: settings.BATON_POSTGRES_CONNECTIONS_MAX,
    applicationName: 'orchestrator',
    statementTimeoutMs: settings.BATON_POSTGRES_TIMEOUT_MS,
  })
  const redis = connectRedis(settings.REDIS_URL, { name: 'orchestrator', whileAway: 'fail' })
  const subscriber = connectRedis(settings.REDIS_URL, { name: 'orchestrator-subscriber', blocking: true })
  const producers = [agentTurns, notifications].map((queue) => {
    return { name: queue.name, producer: createProducer(queue as typeof notifications, settings.REDIS_URL) }
  })
  const facts = createFactSender(redis, { atOnce: true })
  return {
    sql,
    redis,
    facts,
    queues: Object.fromEntries(producers.map(({ name, producer }) => [name, producer])),
    listen(heard) {
      subscriber.on('message', (channel, text) => heard[channel]?.(text))
      // Waits in the queue of the connection while Redis is away, and is repeated by it when it comes back.
      subscriber.subscribe(...Object.keys(heard)).catch(() => {})
    },
    async settle() {
      if (redis.status === 'ready') return
      await once(redis, 'ready', { signal: AbortSignal.timeout(SETTLE_MS) }).catch(() => {})
    },
    async close() {
      await facts.close()
      await Promise.all([sql.end({ timeout: 5 }), ...producers.map(({ producer }) => producer.close())])
      subscriber.disconnect()
      redis.disconnect()
    },
  }
}
