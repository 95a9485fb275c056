/**
 * Reads facts of the partitions that this runner holds. An entry is acknowledged (XDEL and XACK: nothing else trims the stream) only when the
 * loop is done with it. What was delivered before and not acknowledged comes again: our own when a partition is taken, that of silent runners
 * after a while.
 */
import { setMaxListeners } from 'node:events'
import { type Fact, GROUPS, keys, PARTITION_COUNT } from '@baton/contracts'
import { claimStale, ensureGroups, type Logger, parseEntries, type Redis, readGroup, readsOf, type StreamEntry } from '@baton/runtime'
import { createFactAcks, type FactAcks } from './acknowledge-facts.ts'
import type { AdvanceLoop, Item } from './advance-loop.ts'
import { factsEntry } from './read-facts-entry.ts'

export interface FactReader {
  /** The partitions that are held have changed: takes up what was left in the new ones. */
  takeOver(partitions: readonly number[]): Promise<void>
  /** Takes over entries that other runners hold in silence. */
  claim(): Promise<void>
  /** Acknowledgements that wait go along with a pipeline; call what it gives when that was answered. */
  ride: FactAcks['ride']
  /** Stops reading; what was read before is still acknowledged when it is done. */
  stop(): Promise<void>
  /** Acknowledges what is done, after the loop has stopped. */
  settle(): Promise<void>
}

/** A change of the partitions ends a read at once; one that was sent again, as its connection broke, blocks for this long all the same. */
const BLOCK_MS = 3_000
const TAKEOVER_MAX = 10_000
/** What we know of Redis' clock may be wrong by this much. */
const CLOCK_MS = 500

export function readFacts(options: {
  redis: Redis
  consumer: string
  partitions(): readonly number[]
  /** Entries that a read brings when all partitions that are held have some: each gives its share. */
  entriesMax: number
  /** Entries of another runner are taken over after this silence. */
  claimAfterMs: number
  /** The clock of the Redis that has the stream, ms since 1970. */
  now(stream: string): number
  offer(items: Item[]): Promise<void>
  caughtUp: AdvanceLoop['caughtUp']
  /** The groups were gone: Redis was emptied. */
  onLost(): void
  log: Logger
}): FactReader {
  const { redis, consumer, partitions, offer, log } = options
  const group = GROUPS.facts
  const grouped = { redis, group, consumer, schema: factsEntry, log }
  const streams = () => partitions().map(keys.facts)
  const shareMax = () => Math.ceil(options.entriesMax / Math.max(1, partitions().length))
  /** Entries that the loop has now, by stream and id: not to be taken twice. */
  const held = new Set<string>()
  /** Those of them that others have had meanwhile. */
  const taken = new Set<string>()
  const acks = createFactAcks({ redis, log })
  const stopping = new AbortController()
  const changes = new EventTarget()
  setMaxListeners(0, changes) // on a cluster each slot has a read of its own

  /** Of some streams, those of the partitions that are held at the time. */
  async function read(among: readonly string[]): Promise<void> {
    const { onLost } = options
    for await (const entries of readGroup({
      ...grouped,
      streams: heldAmong(among, partitions),
      count: shareMax,
      blockMs: BLOCK_MS,
      changes,
      signal: stopping.signal,
      onLost,
    })) {
      await offer(itemsOf(entries, false))
      // Nothing is read ahead: the next read brings what came meanwhile, and what was not read is anybody's who takes the partition.
      await options.caughtUp(stopping.signal)
    }
  }

  function itemsOf(entries: readonly StreamEntry<Fact[]>[], redelivered: boolean): Item[] {
    return entries.flatMap(({ stream, id, value }) => {
      const key = `${stream} ${id}`
      if (held.has(key)) return []
      held.add(key)
      const takenAt = Number(id.slice(0, id.indexOf('-'))) + options.claimAfterMs - CLOCK_MS
      let asked: Promise<boolean> | undefined
      const ask = () => {
        asked ??= isTaken(stream, id).finally(() => {
          asked = undefined
        })
        return asked
      }
      const wasTaken = () => options.now(stream) >= takenAt && ask()
      const deliveries = value.map((fact) => ({ fact, redelivered, wasTaken }))
      const forget = () => {
        held.delete(key)
        taken.delete(key)
      }
      return [{ deliveries, done: () => acks.add(stream, id, forget), failed: forget }]
    })
  }

  /** Another has the entry, or had it until we claimed it back: `claim` sees from whom. */
  async function isTaken(stream: string, id: string): Promise<boolean> {
    const [pending] = (await redis.xpending(stream, group, id, id, 1)) as [id: string, consumer: string, ...rest: number[]][]
    await new Promise(setImmediate) // a claim that was answered before has been looked at by then
    return pending?.[1] !== consumer || taken.has(`${stream} ${id}`)
  }

  /** What was delivered to this consumer before and not acknowledged. */
  async function readOwn(names: readonly string[]) {
    const replies = await Promise.all(
      readsOf(redis, names).map((some) =>
        redis.xreadgroup('GROUP', group, consumer, 'COUNT', TAKEOVER_MAX, 'STREAMS', ...some, ...some.map(() => '0')),
      ),
    )
    return replies.flatMap((own) => (own as [string, [string, string[]][]][] | null) ?? [])
  }

  const reads = readsOf(
    redis,
    Array.from({ length: PARTITION_COUNT }, (_, partition) => keys.facts(partition)),
  )
  const reading = new Map<readonly string[], Promise<void>>()
  return {
    async takeOver(taken) {
      changes.dispatchEvent(new Event('change'))
      const names = taken.map(keys.facts)
      if (names.length === 0) return
      // Not before there is something to read, or the first read would wait for nothing.
      for (const among of reads) {
        if (!reading.has(among) && among.some((stream) => names.includes(stream))) reading.set(among, read(among))
      }
      await ensureGroups(redis, names, group)
      for (const [stream, raw] of await readOwn(names)) {
        const entries = await parseEntries(grouped, stream, raw)
        if (entries.length > 0) await offer(itemsOf(entries, true))
      }
    },
    async claim() {
      const names = streams()
      if (names.length === 0) return
      const entries = await claimStale({ ...grouped, streams: names, minIdleMs: options.claimAfterMs, count: shareMax() })
      const others = entries.filter(({ stream, id }) => !held.has(`${stream} ${id}`))
      for (const { stream, id, from } of entries) {
        if (from !== consumer && held.has(`${stream} ${id}`)) taken.add(`${stream} ${id}`)
      }
      if (others.length > 0) await offer(itemsOf(others, true))
    },
    async stop() {
      stopping.abort()
      await Promise.all(reading.values())
    },
    ride: acks.ride,
    settle: acks.close,
  }
}

/** Gives the streams of those partitions that are held at the time, the same list as long as they are the same: it is asked for before each read. */
function heldAmong(among: readonly string[], partitions: () => readonly number[]): () => readonly string[] {
  let of: string | undefined
  let streams: readonly string[] = []
  return () => {
    const held = partitions()
    const text = held.join()
    if (text !== of) {
      of = text
      streams = held.map(keys.facts).filter((stream) => among.includes(stream))
    }
    return streams
  }
}
