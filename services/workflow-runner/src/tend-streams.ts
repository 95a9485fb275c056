/**
 * Once a second: renew leases, take over what silent runners hold. Every few seconds: reconcile. When Redis was emptied, wait until the workers
 * have said what they still hold, then sweep every open run.
 */
import { type Logger, REPEATED_AFTER_MS, type RedisWatch } from '@baton/runtime'
import type { Settings } from './config.ts'
import type { PartitionHolder } from './hold-partitions.ts'
import type { Metrics } from './metrics.ts'
import type { FactReader } from './read-facts.ts'
import type { Reconciler } from './reconcile.ts'
import type { Replicas } from './watch-replicas.ts'

const TICK_MS = 1_000
/** A partition that changes hands may have lost what stood between a commit and its commands: look closer, and sooner. */
const AFTER_TAKEOVER_MS = 1_000
const REPLICAS_EVERY_TICKS = 5

export interface StreamTender {
  /** Redis was emptied. */
  lost(): void
  stop(): Promise<void>
}

/** Starts tending; the first tick takes partitions at once. */
export function tendStreams(options: {
  watch: RedisWatch
  holder: PartitionHolder
  reader: FactReader
  reconciler: Reconciler
  replicas: Replicas
  settings: Pick<Settings, 'RUNNER_SWEEP_MS' | 'RUNNER_LOST_AFTER_MS'>
  metrics: Metrics
  log: Logger
  /** Called once a second, with all that is looked at here: what is asked together costs an idle process one wake-up. */
  everySecond?(): void
}): StreamTender {
  const { watch, holder, reader, reconciler, replicas, settings, metrics, log } = options
  let ticks = 0
  /** The partitions that the reader was told of. */
  let told = new Set<number>()
  let nextSweepAt = 0
  let deepSweepAt: number | null = null
  let reconciling: Promise<void> | undefined

  async function tick(): Promise<void> {
    // Sent together, and answered together.
    const others = Promise.all([reader.claim(), ticks++ % REPLICAS_EVERY_TICKS === 0 && replicas.look()])
    others.catch(() => {}) // told below, unless something else failed before
    const hasChanged = await holder.tend()
    const held = holder.held()
    const taken = held.filter((partition) => !told.has(partition))
    const isOther = hasChanged || taken.length > 0 || told.size > held.length
    told = new Set(held.filter((partition) => told.has(partition)))
    if (isOther) {
      log.info({ partitions: held.length, taken: taken.length }, 'partitions changed')
      await reader.takeOver(taken)
      told = new Set(held)
      if (taken.length > 0) deepSweepAt ??= performance.now() + AFTER_TAKEOVER_MS
      await reader.claim()
    }
    await others
    // Looking through long streams takes a while: the leases are renewed meanwhile, or they would change hands for nothing.
    reconciling ??= reconcile()
      .catch((error: unknown) => log.warn({ err: error }, 'reconciling failed, trying again'))
      .finally(() => {
        reconciling = undefined
      })
  }

  function lost(): void {
    log.warn({}, 'redis is new, was emptied or started again, open runs will be swept')
    deepSweepAt = performance.now() + REPEATED_AFTER_MS
  }

  function sweep(deep: boolean) {
    if (deep) return reconciler.sweep(holder.held(), AFTER_TAKEOVER_MS, ['running', 'paused'])
    return reconciler.sweep(holder.held(), settings.RUNNER_LOST_AFTER_MS)
  }

  async function reconcile(): Promise<void> {
    const now = performance.now() // not the wall clock: one that is set back would end the sweeps for as long
    const deep = deepSweepAt !== null && now >= deepSweepAt
    if (!deep && now < nextSweepAt) return
    if (deep) deepSweepAt = null
    nextSweepAt = now + settings.RUNNER_SWEEP_MS
    const found = await sweep(deep).catch((error: unknown) => {
      if (deep) deepSweepAt ??= now
      throw error
    })
    // Soon more is known.
    if (found.unsure > 0 && deep) deepSweepAt ??= performance.now() + REPEATED_AFTER_MS
    else if (found.unsure > 0) nextSweepAt = Math.min(nextSweepAt, performance.now() + REPEATED_AFTER_MS)
    if (found.woken + found.resent === 0) return
    metrics.woken.inc(found.woken)
    metrics.resent.inc(found.resent)
    log.warn({ ...found, deep }, 'reconciler found lost work')
  }

  // By itself: what is tended may wait for room in the loop, and contact with Redis is judged by the pauses between looks.
  let looking = false
  async function look(): Promise<void> {
    if (looking) return
    looking = true
    try {
      if (await watch.look()) lost()
    } catch (error) {
      log.warn({ err: error }, 'Redis could not be looked at, trying again')
    } finally {
      looking = false
    }
  }

  let ticking: Promise<void> | undefined
  function pulse(): void {
    void look()
    ticking ??= tick()
      .catch((error: unknown) => log.warn({ err: error }, 'tending streams failed, trying again'))
      .finally(() => {
        ticking = undefined
      })
    options.everySecond?.()
  }
  const pulses = setInterval(pulse, TICK_MS)
  pulse()

  return {
    lost,
    async stop() {
      clearInterval(pulses)
      await ticking
      await reconciling
    },
  }
}
