/** Composition root: what is opened here is closed here, in the order in which work flows. */
import { hostname } from 'node:os'
import { newUuid, PARTITION_COUNT } from '@baton/contracts'
import {
  checkPostgres,
  checkRedis,
  createLogger,
  createService,
  REPLICA,
  type Redis,
  type RunnableService,
  startTracing,
} from '@baton/runtime'
import { deleteSnapshots, putSnapshot, clock as readClock } from '@baton/store'
import type { Advance } from './advance.ts'
import { createAdvanceLoop } from './advance-loop.ts'
import { createAdvanceStore } from './advance-store.ts'
import { createServerClock, learnClock } from './clock.ts'
import type { Settings } from './config.ts'
import { holdPartitions } from './hold-partitions.ts'
import { createMetrics, observeBatch, observeEnded } from './metrics.ts'
import { openConnections } from './open-connections.ts'
import { createSender } from './send-commands.ts'
import { createStateCache } from './state-cache.ts'
import { createSnapshotTaker } from './take-snapshots.ts'
import { takeWork, type WorkTaker } from './take-work.ts'
import { createRunTracer } from './trace-runs.ts'
import { watchReplicas } from './watch-replicas.ts'

/** The batch under way, and what is being read, may take this long after a SIGTERM. */
const LEAVE_MS = 15_000

/** Builds the service; it takes work from the moment it listens until it closes. */
export async function buildApp(settings: Settings): Promise<RunnableService> {
  const log = createLogger({ name: 'workflow-runner', level: settings.LOG_LEVEL })
  const connections = await openConnections(settings, log)
  const { sql, redis } = connections
  const tracing = await startTracing(settings, 'workflow-runner', log)
  const app = createService({ name: 'workflow-runner', tracing, logger: log, checks: [checkPostgres(sql), checkRedis(redis)] })

  // A runner that comes back on the same host and port is the same consumer: what it left unacknowledged is its own.
  const replica = settings.PORT === 0 ? REPLICA : `${hostname()}-${settings.PORT}`
  const clock = createServerClock()
  const cache = createStateCache({
    runsMax: settings.RUNNER_CACHE_RUNS_MAX,
    bytesMax: settings.RUNNER_CACHE_BYTES_MAX,
    waitingMax: settings.RUNNER_CACHE_WAITING_MAX,
  })
  const holder = holdPartitions(redis, replica, settings.RUNNER_LEASE_MS)
  const metrics = createMetrics({
    cachedRuns: () => cache.size,
    cachedBytes: () => cache.bytes,
    heldPartitions: () => holder.held().length,
  })
  const store = createAdvanceStore(sql, clock, metrics)
  const replicas = watchReplicas(redis)
  const snapshots = createSnapshotTaker({
    put: (...snapshot) => putSnapshot(sql, ...snapshot),
    remove: (runId) => deleteSnapshots(sql, [runId]),
    onTaken: () => metrics.snapshots.inc(),
    onFailed: (error) => log.warn({ err: error }, 'snapshot not written'),
  })
  const tell = createRunTracer({ tracing, log })
  let taker: WorkTaker | undefined
  let closing = false
  const advance: Advance = {
    store,
    send: createSender({
      redis,
      sending: connections.sending,
      lane: laneOf(replica),
      workers: () => replicas.count('http-worker'),
      agentTurns: connections.turns,
      notifications: connections.notices,
      eventsBytesMax: settings.RUNNER_EVENTS_BYTES_MAX,
      ride: (pipeline) => taker?.ride(pipeline),
    }),
    cache,
    committed(state, fromSeq, events) {
      snapshots.committed(state, fromSeq)
      observeEnded(metrics, state, events)
      tell(state, events)
    },
    now: clock.now,
    random: Math.random,
    newUuid,
    limits: {
      inlineBytesMax: settings.BATON_INLINE_PAYLOAD_BYTES_MAX,
      outputBytesMax: settings.BATON_STEP_OUTPUT_BYTES_MAX,
      forEachItemsMax: settings.BATON_FOR_EACH_ITEMS_MAX,
    },
    log,
    observe(batch) {
      observeBatch(metrics, batch)
      if (batch.nextTimerAt !== null) taker?.timers.expect(batch.nextTimerAt - clock.now())
    },
  }
  const loop = createAdvanceLoop(advance, settings.RUNNER_BATCH_FACTS_MAX)

  async function onListening(): Promise<void> {
    if (!(await learnClock(clock, () => readClock(sql), { isOver: () => closing, log }))) return
    taker = takeWork({ connections, store, cache, loop, holder, replica, replicas, clock, settings, metrics, log })
  }
  app.addHook('preClose', () =>
    leaveInTime(redis, async () => {
      closing = true
      await taker?.stop()
      await loop.stop()
      await taker?.settle()
      await snapshots.settled()
      await holder.release()
    }),
  )
  app.addHook('onClose', connections.close)
  return { app, host: settings.HOST, port: settings.PORT, redis, onListening }
}

/**
 * Stops in order, but not for ever: with Redis away nothing can be acknowledged, and what waits for it is given up. The facts come again, and
 * what they ask for is sent again then.
 */
async function leaveInTime(redis: Redis, stop: () => Promise<void>): Promise<void> {
  const timer = setTimeout(() => redis.disconnect(), LEAVE_MS)
  const late = new Promise<void>((resolve) => setTimeout(resolve, LEAVE_MS + 1_000).unref())
  await Promise.race([stop().catch(() => {}), late])
  clearTimeout(timer)
}

/** A lane that is always the same for a replica, so that the events of a run keep their order. */
function laneOf(replica: string): number {
  let hash = 0
  for (const char of replica) hash = (hash * 31 + char.charCodeAt(0)) >>> 0
  return hash % PARTITION_COUNT
}
