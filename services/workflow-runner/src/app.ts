/** Composition root: what is opened here is closed here, in the order in which work flows. */
import { randomUUIDv7 } from 'node:crypto'
import { hostname } from 'node:os'
import { PARTITION_COUNT } from '@baton/contracts'
import type { RunState } from '@baton/engine'
import {
  agentTurns,
  checkPostgres,
  checkRedis,
  connectRedis,
  createLogger,
  createProducer,
  createService,
  notifications,
  REPLICA,
  type RunnableService,
} from '@baton/runtime'
import { connect, dueTimers, findActive, findStale, findUnstarted, nextDue, clock as readClock, waitForSchema } from '@baton/store'
import { LRUCache } from 'lru-cache'
import { createAdvanceLoop } from './advance-loop.ts'
import type { Outgoing } from './advance-runs.ts'
import { createAdvanceStore } from './advance-store.ts'
import { createServerClock } from './clock.ts'
import type { Settings } from './config.ts'
import { pumpTimers } from './fire-timers.ts'
import { holdPartitions } from './hold-partitions.ts'
import { createMetrics } from './metrics.ts'
import { readFacts } from './read-facts.ts'
import { createReconciler } from './reconcile.ts'
import { createSender } from './send-commands.ts'
import { tendStreams } from './tend-streams.ts'
import { watchReplicas } from './watch-replicas.ts'

const SCHEMA_WAIT_MS = 60_000
const TIMER_POLL_MS = 1_000

/** Builds the service; it takes work from the moment it listens until it closes. */
export async function buildApp(settings: Settings): Promise<RunnableService> {
  const logger = createLogger({ name: 'workflow-runner', level: settings.LOG_LEVEL })
  const sql = connect(settings.DATABASE_URL, {
    max: settings.RUNNER_DATABASE_CONNECTIONS_MAX,
    applicationName: 'workflow-runner',
    genericPlans: true,
  })
  await waitForSchema(sql, { timeoutMs: SCHEMA_WAIT_MS })
  const redis = connectRedis(settings.REDIS_URL, { name: 'workflow-runner' })
  const producers = {
    turns: createProducer(agentTurns, settings.REDIS_URL),
    notifications: createProducer(notifications, settings.REDIS_URL),
  }
  const app = createService({ name: 'workflow-runner', logger, checks: [checkPostgres(sql), checkRedis(redis)] })

  // A runner that comes back on the same host and port is the same consumer: what it left unacknowledged is its own.
  const replica = settings.PORT === 0 ? REPLICA : `${hostname()}-${settings.PORT}`
  const clock = createServerClock()
  const cache = new LRUCache<string, RunState>({ max: settings.RUNNER_CACHE_RUNS_MAX })
  const holder = holdPartitions(redis, replica, settings.RUNNER_LEASE_MS)
  const metrics = createMetrics({ cachedRuns: () => cache.size, heldPartitions: () => holder.held().length })
  const store = createAdvanceStore(sql, clock, metrics)
  const replicas = watchReplicas(redis)
  const sendCommands = createSender({
    redis,
    lane: laneOf(replica),
    workers: () => replicas.count('http-worker'),
    agentTurns: producers.turns,
    notifications: producers.notifications,
    eventsMax: settings.RUNNER_EVENTS_MAX,
  })
  const send = (outgoing: Outgoing) => sendCommands(outgoing)
  const loop = createAdvanceLoop(
    {
      store,
      send,
      cache,
      now: clock.now,
      random: Math.random,
      newUuid: () => randomUUIDv7(),
      limits: { inlineBytesMax: settings.BATON_INLINE_PAYLOAD_BYTES_MAX, outputBytesMax: settings.BATON_STEP_OUTPUT_BYTES_MAX },
      log: logger,
      observe(batch) {
        metrics.facts.inc(batch.facts)
        metrics.events.inc(batch.events)
        metrics.batchRuns.observe(batch.runs)
        if (batch.conflicts > 0) metrics.conflicts.inc(batch.conflicts)
        if (batch.nextTimerAt !== null) timers?.expect(batch.nextTimerAt - clock.now())
      },
    },
    settings.RUNNER_BATCH_FACTS_MAX,
  )
  const offer = loop.offer
  const reconciler = createReconciler({
    redis,
    offer,
    now: clock.now,
    staleMs: 2_000,
    source: {
      staleInbox: (olderThanMs, limit) => findStale(sql, olderThanMs, limit),
      unstarted: (olderThanMs, limit) => findUnstarted(sql, olderThanMs, limit),
      active: (olderThanMs, afterId, limit) => findActive(sql, olderThanMs, afterId, limit),
      states: (runIds) => store.states(runIds),
    },
  })
  let timers: ReturnType<typeof pumpTimers> | undefined
  let reader: ReturnType<typeof readFacts> | undefined
  let tending: ReturnType<typeof tendStreams> | undefined

  async function begin(): Promise<void> {
    clock.observe(await readClock(sql))
    reader = readFacts({
      redis,
      consumer: replica,
      partitions: holder.held,
      entriesMax: Math.max(1, Math.ceil(settings.RUNNER_BATCH_FACTS_MAX / PARTITION_COUNT)),
      claimAfterMs: settings.RUNNER_LEASE_MS,
      offer,
      onLost: () => tending?.lost(),
      log: logger,
    })
    timers = pumpTimers({
      source: {
        async due(partitions, limit) {
          const { now, timers: due } = await dueTimers(sql, partitions, limit)
          return due.map(({ dueAt, ...timer }) => ({ ...timer, lateMs: now - dueAt }))
        },
        async nextInMs(partitions) {
          const { now, dueAt } = await nextDue(sql, partitions)
          return dueAt === null ? null : dueAt - now
        },
      },
      partitions: holder.held,
      offer,
      pollMs: TIMER_POLL_MS,
      onLate: (lateMs) => metrics.timerLateSeconds.observe(lateMs / 1_000),
      onError: (error) => logger.warn({ err: error }, 'timers could not be read'),
    })
    tending = tendStreams({ redis, holder, reader, reconciler, replicas, settings, metrics, log: logger })
  }

  app.addHook('preClose', async () => {
    await tending?.stop()
    timers?.stop()
    await reader?.stop()
    await loop.stop()
    await holder.release().catch(() => {})
  })
  app.addHook('onClose', async () => {
    await Promise.all([producers.turns.close(), producers.notifications.close()])
    redis.disconnect()
    await sql.end({ timeout: 5 })
  })
  return { app, host: settings.HOST, port: settings.PORT, redis, onListening: begin }
}

/** A lane that is always the same for a replica, so that the events of a run keep their order. */
function laneOf(replica: string): number {
  let hash = 0
  for (const char of replica) hash = (hash * 31 + char.charCodeAt(0)) >>> 0
  return hash % PARTITION_COUNT
}
