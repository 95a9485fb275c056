/**
 * Upkeep of Postgres: partitions of events ahead of time, idempotency keys that count no more, snapshots that are left over, events from outside
 * that were kept long enough, payloads that nothing refers to. Safe from several runners at once.
 */
import type { Logger } from '@baton/runtime'
import { collectBlobs, deleteExpiredKeys, deleteLeftSnapshots, deleteOldEvents, ensureEventPartitions, type Sql } from '@baton/store'

const EVERY_MS = 3_600_000
const ROWS_PER_ROUND = 10_000
/** Each may have a payload of hundreds of KiB beside its row. */
const EVENTS_PER_ROUND = 2_000
const BLOBS_AT_ONCE = 200

/**
 * Does the upkeep now and once an hour, until the answer is called. Payloads are left alone in the first hour: after a long outage, results
 * that refer to them may still stand in Redis.
 */
export function keepUp(options: {
  sql: Sql
  log: Logger
  /** How long a payload that nothing refers to is kept. */
  blobsKeptMs: number
  /** How long an event from outside is kept: for steps that are yet to wait for it, and to know it again. */
  eventsKeptMs: number
  onCollected(count: number): void
  everyMs?: number
}): () => void {
  const { sql, log, everyMs = EVERY_MS } = options
  const round = async () => {
    const partitions = await ensureEventPartitions(sql)
    if (partitions.length > 0) log.info({ partitions }, 'partitions of events made')
    while ((await deleteExpiredKeys(sql, ROWS_PER_ROUND)) === ROWS_PER_ROUND);
    while ((await deleteLeftSnapshots(sql, ROWS_PER_ROUND)) === ROWS_PER_ROUND);
    while ((await deleteOldEvents(sql, options.eventsKeptMs, EVENTS_PER_ROUND)) === EVENTS_PER_ROUND);
  }
  const collect = async () => {
    for (let looked = BLOBS_AT_ONCE; looked === BLOBS_AT_ONCE; ) {
      const found = await collectBlobs(sql, options.blobsKeptMs, BLOBS_AT_ONCE)
      looked = found.looked
      options.onCollected(found.collected)
      if (found.collected > 0) log.info({ count: found.collected }, 'payloads that nothing referred to collected')
    }
  }
  const attempt = (work: () => Promise<void>) =>
    work().catch((error: unknown) => log.warn({ err: error }, 'upkeep failed, will be tried again in an hour'))
  void attempt(round)
  const timer = setInterval(() => void attempt(round).then(() => attempt(collect)), everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
