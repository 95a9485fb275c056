/** Upkeep of Postgres: partitions of events ahead of time, idempotency keys that count no more, snapshots that are left over. Safe from several runners at once. */
import type { Logger } from '@baton/runtime'
import { deleteExpiredKeys, deleteLeftSnapshots, ensureEventPartitions, type Sql } from '@baton/store'

const EVERY_MS = 3_600_000
const ROWS_PER_ROUND = 10_000

/** Does the upkeep now and once an hour, until the answer is called. */
export function keepUp(sql: Sql, log: Logger): () => void {
  const round = async () => {
    const partitions = await ensureEventPartitions(sql)
    if (partitions.length > 0) log.info({ partitions }, 'partitions of events made')
    while ((await deleteExpiredKeys(sql, ROWS_PER_ROUND)) === ROWS_PER_ROUND);
    while ((await deleteLeftSnapshots(sql, ROWS_PER_ROUND)) === ROWS_PER_ROUND);
  }
  const tryRound = () => {
    round().catch((error: unknown) => log.warn({ err: error }, 'upkeep failed, will be tried again in an hour'))
  }
  tryRound()
  const timer = setInterval(tryRound, EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
