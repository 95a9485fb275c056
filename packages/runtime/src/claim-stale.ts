import { type GroupOptions, healGroups, isGroupLost, parseEntries, type StaleEntry } from './streams.ts'

export interface ClaimStaleOptions<T> extends GroupOptions<T> {
  streams: readonly string[]
  /** An entry whose consumer has said nothing of it for this long is taken over. */
  minIdleMs: number
  /** Entries per stream at most. */
  count: number
  /** Asked after something stale was found, and before it is claimed. */
  mayClaim?(): Promise<boolean>
}

export interface ClaimFromOptions<T> extends GroupOptions<T> {
  streams: readonly string[]
  /** Consumers that have ended for certain. */
  from(consumer: string): boolean
  /** Entries that may be claimed next; at 0 it ends. */
  count(): number
  /** Less of a consumer was found than it held: it may have been claimed by us without an answer. */
  onUnsure(consumer: string): void
}

type PendingRow = [id: string, consumer: string, idleMs: number, deliveries: number]

/**
 * Takes over entries that other consumers (or an earlier life of this one) hold in silence. XPENDING and XCLAIM rather than XAUTOCLAIM,
 * because they tell who held an entry and how often it was delivered; two that claim at once cannot both get it, since a claim resets the
 * idle time. With nothing stale it is one round trip.
 */
export async function claimStale<T>(options: ClaimStaleOptions<T>): Promise<StaleEntry<T>[]> {
  const { redis, streams, group, minIdleMs } = options
  const look = redis.pipeline()
  for (const stream of streams) look.xpending(stream, group, 'IDLE', minIdleMs, '-', '+', options.count)
  const found = (await look.exec()) ?? []
  const stale: [stream: string, rows: PendingRow[]][] = []
  let lost = false
  for (const [index, [error, rows]] of found.entries()) {
    if (error !== null) {
      if (!isGroupLost(error)) throw error
      lost = true
    } else if ((rows as PendingRow[]).length > 0) stale.push([streams[index]!, rows as PendingRow[]])
  }
  const taken: StaleEntry<T>[] = []
  if (stale.length > 0 && (await (options.mayClaim?.() ?? true))) {
    for (const [stream, rows] of stale) taken.push(...(await claim(options, stream, rows)))
  }
  if (lost) await healGroups(options, streams)
  return taken
}

async function claim<T>(options: ClaimStaleOptions<T>, stream: string, rows: PendingRow[]): Promise<StaleEntry<T>[]> {
  const { redis, group, consumer, minIdleMs } = options
  const ids = rows.map(([id]) => id)
  const raw = (await redis.xclaim(stream, group, consumer, minIdleMs, ...ids)) as RawEntry[]
  return asStale(options, stream, rows, raw)
}

/** Claims what a consumer holds: in one step, so that nothing is taken from who has taken it over meanwhile. */
const CLAIM_FROM = `local rows = redis.call('xpending', KEYS[1], ARGV[1], '-', '+', ARGV[3], ARGV[4])
if #rows == 0 then return {rows, rows} end
local ids = {}
for i, row in ipairs(rows) do ids[i] = row[1] end
return {rows, redis.call('xclaim', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))}`

/**
 * Takes over entries of consumers that have ended, however short ago they held them; gives those of each claim when it is made. With none left it is
 * one round trip.
 */
export async function* claimFrom<T>(options: ClaimFromOptions<T>): AsyncGenerator<StaleEntry<T>[], void, void> {
  const { redis, streams, group, consumer } = options
  const look = redis.pipeline()
  for (const stream of streams) look.xinfo('CONSUMERS', stream, group)
  const found = (await look.exec()) ?? []
  for (const [index, [error, rows]] of found.entries()) {
    if (error !== null) {
      // Whoever reads the stream makes it, and the group.
      if (isGroupLost(error) || /no such key/i.test(error.message)) continue
      throw error
    }
    const stream = streams[index]!
    for (const { name, pending } of (rows as unknown[][]).map(readConsumer)) {
      if (pending === 0 || !options.from(name)) continue
      const count = options.count()
      if (count <= 0) return
      let claimed = 0
      try {
        const [held, raw] = (await redis.eval(CLAIM_FROM, 1, stream, group, consumer, count, name)) as [PendingRow[], RawEntry[]]
        claimed = held.length
        yield await asStale(options, stream, held, raw)
      } finally {
        if (claimed < Math.min(pending, count)) options.onUnsure(name)
      }
    }
  }
}

/** A row of XINFO CONSUMERS: names and values in turn. */
function readConsumer(row: unknown[]): { name: string; pending: number } {
  const field = (name: string) => row[row.indexOf(name) + 1]
  return { name: String(field('name')), pending: Number(field('pending')) }
}

type RawEntry = [id: string, fields: string[]]

async function asStale<T>(options: GroupOptions<T>, stream: string, rows: PendingRow[], raw: RawEntry[]): Promise<StaleEntry<T>[]> {
  const entries = await parseEntries(options, stream, raw)
  const known = new Map(rows.map((row) => [row[0], row]))
  return entries.map((entry) => {
    const [, from, , deliveries] = known.get(entry.id)!
    return { ...entry, from, deliveries }
  })
}
