/** How calls come in: new ones while slots are free, and what silent workers left. */
import { GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import { claimFrom, claimStale, forgetConsumers, type Logger, type Redis, readGroup, readsOf, type StaleEntry } from '@baton/runtime'
import type { HeldCall, HeldCalls } from './held-calls.ts'
import type { KeepAlive } from './keep-alive.ts'
import { entriesTakenOver } from './metrics.ts'
import { callsEntry } from './read-calls-entry.ts'
import type { Slots } from './slots.ts'

export interface ReadCallsOptions {
  redis: Redis
  /** As RedisWatch.isSettled, of a look that has been answered. */
  isSettled(): Promise<boolean>
  consumer: string
  log: Logger
  held: HeldCalls
  slots: Slots<HeldCall>
  signal: AbortSignal
  /** Earlier lives of which something may have been claimed without an answer: it comes again as our own, from them. */
  unsureLives: Set<string>
}

const STREAMS = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane))

/** A worker that held nothing and asked for nothing for this long will not come back. */
const FORGET_MS = 3_600_000
/** Entries that are claimed at once from one that has ended. */
const CLAIM_MAX = 500
/** A takeover that took longer says little of those it was taken from. */
const SURE_MS = 1_000

/** Reads until the signal is aborted, and no more than there is room for. */
export async function readCalls(options: ReadCallsOptions, alive: Pick<KeepAlive, 'stalls' | 'isStalled'>): Promise<void> {
  forgetConsumers(options.redis, STREAMS, GROUPS.calls, FORGET_MS).catch((error: Error) =>
    options.log.debug({ err: error }, 'consumers not tidied'),
  )
  const reads = readsOf(options.redis, STREAMS)
  await Promise.all(reads.map((streams) => readOn(streams, reads.length, options, alive)))
}

/** One of so many reads that are under way at once, which share the room. */
async function readOn(
  streams: readonly string[],
  shares: number,
  options: ReadCallsOptions,
  alive: Pick<KeepAlive, 'stalls' | 'isStalled'>,
): Promise<void> {
  const { held, slots, signal, log } = options
  let stallsAtRead = 0
  const count = () => {
    stallsAtRead = alive.stalls
    return slots.readCount() / shares
  }
  const onLost = () => log.warn('the streams of calls were lost')
  for await (const entries of readGroup({ ...groupOf(options), streams, count, signal, onLost })) {
    // What was delivered before this process stood still may be another's by now.
    const ask = alive.stalls !== stallsAtRead || alive.isStalled()
    let calls = 0
    for (const entry of entries) {
      calls += entry.value.length
      slots.add(held.take(entry, { from: undefined, ask, doubtful: ask }))
    }
    slots.observeRead(entries, calls)
    await slots.room(signal)
  }
}

/** One look for entries that their workers hold in silence; only as many as there is room for. */
export async function takeOverCalls(options: ReadCallsOptions, minIdleMs: number): Promise<void> {
  const { isSettled, slots } = options
  if (!hasRoom(options)) return
  const askedAt = performance.now()
  const stale = await claimStale({
    ...groupOf(options),
    streams: STREAMS,
    minIdleMs,
    count: Math.max(1, slots.free()),
    mayClaim: isSettled,
  })
  if (stale.length === 0) return
  // A Redis that hung meanwhile kept the word of their workers from us: who lives claims its entries back, the rest is stale again in a while.
  if (performance.now() - askedAt > SURE_MS) return
  takeIn(stale, options)
}

/** What earlier lives of this worker held, at once: nobody has to be silent first. True when nothing of it is left. */
export async function takeOverFromEarlierLives(options: ReadCallsOptions, isEarlierLife: (consumer: string) => boolean): Promise<boolean> {
  const { isSettled, slots, unsureLives } = options
  if (!hasRoom(options) || !(await isSettled())) return false
  let taken = 0
  const claims = claimFrom({
    ...groupOf(options),
    streams: STREAMS,
    from: isEarlierLife,
    count: () => Math.min(CLAIM_MAX, slots.free()),
    onUnsure: (consumer) => unsureLives.add(consumer),
  })
  for await (const entries of claims) {
    taken += entries.length
    takeIn(entries, options)
  }
  return taken === 0 && slots.free() > 0
}

function hasRoom({ slots, signal }: ReadCallsOptions): boolean {
  return !signal.aborted && slots.free() > 0
}

function takeIn(entries: StaleEntry<HttpCall[]>[], { held, slots, consumer, log, unsureLives }: ReadCallsOptions): void {
  for (const entry of entries) {
    // One of our own was delivered on a connection that broke: nobody was lost with it.
    const from = entry.from === consumer ? undefined : entry.from
    const calls = held.take(entry, { from, ask: true, doubtful: false })
    if (from === undefined) for (const call of calls) call.from.push(...unsureLives)
    slots.add(calls)
  }
  entriesTakenOver.inc(entries.length)
  log.info({ entries: entries.length, from: [...new Set(entries.map(({ from }) => from))] }, 'took over calls of other workers')
}

function groupOf({ redis, consumer, log }: ReadCallsOptions) {
  return { redis, group: GROUPS.calls, consumer, schema: callsEntry, log }
}
