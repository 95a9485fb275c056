/** Everything that brings work to the loop: facts, timers, and the reconciler that finds what was lost. Begins when the service listens. */
import type { RunState } from '@baton/engine'
import { type Logger, watchRedis } from '@baton/runtime'
import { dueTimers, expireLeases, findActive, findStale, findUnstarted, nextDue, type Sql } from '@baton/store'
import type { AdvanceLoop } from './advance-loop.ts'
import type { createAdvanceStore } from './advance-store.ts'
import type { ServerClock } from './clock.ts'
import type { Settings } from './config.ts'
import { pumpTimers, type TimerPump, type TimerSource } from './fire-timers.ts'
import type { PartitionHolder } from './hold-partitions.ts'
import { keepUp } from './keep-up.ts'
import type { Metrics } from './metrics.ts'
import type { Connections } from './open-connections.ts'
import { type FactReader, readFacts } from './read-facts.ts'
import { createReconciler, type ReconcileSource } from './reconcile.ts'
import { retainRuns } from './retain-runs.ts'
import { tendStreams } from './tend-streams.ts'
import { watchLeases } from './watch-leases.ts'
import type { Replicas } from './watch-replicas.ts'

const TIMER_POLL_MS = 1_000
/** Who asks for timers asks for these as well, so that they are asked for by themselves only when timers keep the pump busy. */
const LEASES_POLL_MS = 1_500
/** A row of the inbox, or a queued run, that has waited for this long was not woken for. */
const STALE_MS = 2_000

export interface WorkTaker {
  timers: TimerPump
  /** Acknowledgements of facts go along with what is sent. */
  ride: FactReader['ride']
  /** Takes no more work; what the loop holds is finished by the loop. */
  stop(): Promise<void>
  /** Acknowledges what the loop has done, after it has stopped. */
  settle(): Promise<void>
}

/** Begins to take work for the loop under the name of this replica. The clock has been learned. */
export function takeWork(options: {
  connections: Connections
  store: ReturnType<typeof createAdvanceStore>
  cache: { values(): Iterable<RunState> }
  loop: AdvanceLoop
  holder: PartitionHolder
  replica: string
  replicas: Replicas
  clock: ServerClock
  settings: Settings
  metrics: Metrics
  log: Logger
}): WorkTaker {
  const { loop, holder, clock, settings, metrics, log } = options
  const { sql, redis } = options.connections
  const { offer } = loop
  const watch = watchRedis(redis)
  const reader = readFacts({
    redis,
    consumer: options.replica,
    partitions: holder.held,
    entriesMax: settings.RUNNER_BATCH_FACTS_MAX,
    claimAfterMs: settings.RUNNER_LEASE_MS,
    now: watch.now,
    offer,
    caughtUp: loop.caughtUp,
    onLost: () => tending.lost(),
    log,
  })
  const timers = pumpTimers({
    source: timersOf(sql, clock, (over) => leases.told(over)),
    partitions: holder.held,
    offer,
    pollMs: TIMER_POLL_MS,
    onLate: (lateMs) => metrics.timerLateSeconds.observe(lateMs / 1_000),
    onError: (error) => log.warn({ err: error }, 'timers could not be read'),
  })
  const leases = watchLeases({
    expire: (limit) => expireLeases(sql, holder.held(), limit),
    offer,
    onExpired: (count) => metrics.leaseExpiries.inc(count),
    onError: (error) => log.warn({ err: error }, 'leases of tasks could not be looked at'),
    everyMs: LEASES_POLL_MS,
  })
  const reconciler = createReconciler({
    redis,
    watch,
    offer,
    now: clock.now,
    staleMs: STALE_MS,
    source: sourceOf(sql, options.store, options.cache),
  })
  const { replicas } = options
  const tending = tendStreams({ watch, holder, reader, reconciler, replicas, settings, metrics, log, everySecond: timers.look })
  const onCollected = (count: number) => metrics.blobsCollected.inc(count)
  const endUpkeep = keepUp({ sql, log, blobsKeptMs: settings.RUNNER_BLOBS_KEPT_MS, eventsKeptMs: settings.BATON_EVENTS_KEEP, onCollected })
  const retention = retainRuns({
    sql,
    log,
    keptMs: settings.BATON_RETENTION,
    exportFolder: settings.BATON_EXPORT_FOLDER || undefined,
    runsMax: settings.RUNNER_RETENTION_RUNS_MAX,
    everyMs: settings.RUNNER_RETENTION_EVERY_MS,
    onRemoved: (count) => metrics.runsRemoved.inc(count),
    onExported: (bytes) => metrics.exportedBytes.inc(bytes),
    onFailed: () => metrics.retentionFailures.inc(),
  })
  return {
    timers,
    ride: reader.ride,
    async stop() {
      endUpkeep()
      const retained = retention.stop()
      await tending.stop()
      timers.stop()
      await leases.stop()
      await reader.stop()
      await retained
    },
    settle: reader.settle,
  }
}

function timersOf(sql: Sql, clock: ServerClock, tellLeases: (over: boolean) => void): TimerSource {
  return {
    async due(partitions, limit) {
      const askedAt = clock.local()
      const { now, timers } = await dueTimers(sql, partitions, limit)
      clock.observe(now, askedAt)
      return timers.map(({ dueAt, ...timer }) => ({ ...timer, lateMs: now - dueAt }))
    },
    async nextInMs(partitions) {
      const askedAt = clock.local()
      const { now, dueAt, leasesOver } = await nextDue(sql, partitions)
      clock.observe(now, askedAt) // once a second, also while nothing is committed: a host may have slept
      tellLeases(leasesOver)
      return dueAt === null ? null : dueAt - now
    },
  }
}

function sourceOf(sql: Sql, store: ReturnType<typeof createAdvanceStore>, cache: { values(): Iterable<RunState> }): ReconcileSource {
  return {
    staleInbox: (cuts, afterId, limit) => findStale(sql, cuts, afterId, limit),
    unstarted: (cuts, afterId, limit) => findUnstarted(sql, cuts, afterId, limit),
    active: (partitions, statuses, before, afterId, limit) => findActive(sql, partitions, statuses, before, afterId, limit),
    states: (runIds) => store.states(runIds),
    cached: () => cache.values(),
  }
}
