import { type GroupOptions, healGroups, isGroupLost, parseEntries, type StaleEntry } from './streams.ts'

export interface ClaimStaleOptions<T> extends GroupOptions<T> {
  streams: readonly string[]
  /** An entry whose consumer has said nothing of it for this long is taken over. */
  minIdleMs: number
  /** Entries per stream at most. */
  count: number
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
  const taken: StaleEntry<T>[] = []
  let lost = false
  for (const [index, [error, rows]] of found.entries()) {
    if (error !== null) {
      if (!isGroupLost(error)) throw error
      lost = true
      continue
    }
    if ((rows as PendingRow[]).length > 0) taken.push(...(await claim(options, streams[index]!, rows as PendingRow[])))
  }
  if (lost) await healGroups(options, streams)
  return taken
}

async function claim<T>(options: ClaimStaleOptions<T>, stream: string, rows: PendingRow[]): Promise<StaleEntry<T>[]> {
  const { redis, group, consumer, minIdleMs } = options
  const ids = rows.map(([id]) => id)
  const raw = (await redis.xclaim(stream, group, consumer, minIdleMs, ...ids)) as [string, string[]][]
  const entries = await parseEntries(options, stream, raw)
  const known = new Map(rows.map((row) => [row[0], row]))
  return entries.map((entry) => {
    const [, from, , deliveries] = known.get(entry.id)!
    return { ...entry, from, deliveries }
  })
}
