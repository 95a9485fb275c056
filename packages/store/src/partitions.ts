/** Monthly partitions of run_events. */
import type { Db, Sql } from './connect.ts'
import { withTransaction } from './connect.ts'

/** Months that are made ahead of time. */
const MONTHS_AHEAD = 3

/** Makes the partitions of this month and the next three; call it once a day. Returns the names of new ones. */
export function ensureEventPartitions(sql: Sql): Promise<string[]> {
  return withTransaction(sql, ensurePartitionsIn)
}

/** The same inside a transaction of the caller. */
export async function ensurePartitionsIn(tx: Db): Promise<string[]> {
  await lockPartitions(tx)
  const rows = await tx<{ name: string | null }[]>`
    select ensure_event_partition(now() + month * interval '1 month') as name from generate_series(0, ${MONTHS_AHEAD}::int) as month`
  return rows.flatMap((row) => row.name ?? [])
}

/** Keeps others from changing partitions until the transaction ends. */
export async function lockPartitions(tx: Db): Promise<void> {
  await tx`select pg_advisory_xact_lock(hashtext('baton event partitions'))`
  // Attaching and dropping wait for every query on run_events, and all later ones wait behind them: better give up and come back.
  await tx`set local lock_timeout = '2s'`
}
