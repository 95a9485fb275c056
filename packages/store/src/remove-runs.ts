/**
 * Retention: runs that ended long ago go, with all that hangs on them, in one transaction for each batch. Invariants: no run goes that is open,
 * that has something accepted in its inbox, whose parent is open, or whose child is; none that was started less than a day ago, since its
 * Idempotency-Key counts for that long; and none that `before` has not let go.
 */
import { type Db, type Sql, withTransaction } from './connect.ts'
import { texts } from './encode-columns.ts'
import { lockPartitions } from './partitions.ts'
import type { RunRow } from './runs.ts'

/** How long the ended runs of one workflow are kept. */
export interface RetentionPolicy {
  namespace: string
  workflow: string
  keptMs: number
}

/** The `retention` of the newest version of each workflow, as it was written; workflows in the order of namespace and name, after `after`. */
export async function listRetentions(
  db: Db,
  after: { namespace: string; workflow: string } | null,
  limit: number,
): Promise<{ namespace: string; workflow: string; retention: string | null }[]> {
  const { namespace = '', workflow = '' } = after ?? {}
  // Only those that may have it are read, and not by Postgres, whose functions of json take no \u0000.
  const rows = await db<{ namespace: string; workflow: string; source: { retention?: string } | null }[]>`
    select w.namespace, w.name as workflow, case when strpos(d.source::text, '"retention"') > 0 then d.source end as source
      from workflows w
      join workflow_versions v on v.namespace = w.namespace and v.name = w.name and v.version = w.latest_version
      join definitions d on d.namespace = v.namespace and d.checksum = v.checksum
     where (w.namespace, w.name) > (${namespace}, ${workflow})
     order by w.namespace, w.name limit ${limit}`
  return rows.map(({ source, ...row }) => ({ ...row, retention: source?.retention ?? null }))
}

/** One caller at a time; the others are told that somebody is at it. */
const LOCK = 'baton retention'

/**
 * Removes up to `limit` runs of these workflows that are old enough. `before` is given them, locked, in the transaction: what it throws keeps them.
 * Returns how many went; undefined when another process is at it.
 */
export function removeExpiredRuns(
  sql: Sql,
  policies: readonly RetentionPolicy[],
  limit: number,
  before?: (tx: Db, runs: readonly RunRow[]) => Promise<void>,
): Promise<number | undefined> {
  return withTransaction(sql, async (tx) => {
    const [lock] = await tx<{ ours: boolean }[]>`select pg_try_advisory_xact_lock(hashtext(${LOCK})) as ours`
    if (!lock!.ours) return undefined
    const locked = await lockExpired(tx, policies, limit)
    // Again after the lock: who has a command accepted for a run, a retry say, held it before.
    const wanted = new Set(
      (await tx<{ runId: string }[]>`select distinct run_id from inbox where run_id = any(${idsOf(locked)}::uuid[])`).map(
        (row) => row.runId,
      ),
    )
    const runs = locked.filter(({ id }) => !wanted.has(id))
    if (runs.length === 0) return 0
    await before?.(tx, runs)
    await removeRuns(tx, runs)
    return runs.length
  })
}

const idsOf = (runs: readonly RunRow[]) => texts(runs.map((run) => run.id))

/** Each workflow and status is one range of an index, from the oldest on; open runs are not looked at. */
async function lockExpired(tx: Db, policies: readonly RetentionPolicy[], limit: number): Promise<RunRow[]> {
  return tx<RunRow[]>`
    with p as materialized (
      select p.namespace, p.workflow, least(now() - p.kept_ms * interval '1 ms', now()) as cut
        from unnest(${texts(policies.map((policy) => policy.namespace))}::text[], ${texts(policies.map((policy) => policy.workflow))}::text[],
                    ${texts(policies.map((policy) => `${policy.keptMs}`))}::float8[]) as p (namespace, workflow, kept_ms)
    ),
    due as materialized (
      select r.id from p cross join unnest(array['succeeded', 'failed', 'cancelled', 'timed_out']) as s (status)
       cross join lateral (
         select r.id from runs r
          where r.namespace = p.namespace and r.workflow = p.workflow and r.status = s.status and r.id < uuid_floor(p.cut)
            and r.ended_at < p.cut and r.created_at < now() - interval '24 hours'
            and not exists (select from runs c where c.parent_run = r.id and c.ended_at is null)
            and not exists (select from runs a where a.id = r.parent_run and a.ended_at is null)
            and not exists (select from inbox i where i.run_id = r.id)
          order by r.id limit ${limit}
       ) as r
       limit ${limit}
    )
    select r.* from runs r where r.id in (select id from due) and r.ended_at is not null order by r.id for update of r skip locked`
}

/** Payloads lose their keeper: those that nothing else refers to are collected with the others of that kind. */
async function removeRuns(tx: Db, runs: readonly RunRow[]): Promise<void> {
  const ids = idsOf(runs)
  await tx`
    update blobs b set kept_by = null from blob_uses u
     where u.run_id = any(${ids}::uuid[]) and b.namespace = u.namespace and b.sha256 = u.sha256 and b.kept_by = any(${ids}::uuid[])`
  await tx`delete from blob_uses where run_id = any(${ids}::uuid[])`
  await tx`
    delete from approval_votes v using approvals a where a.run_id = any(${ids}::uuid[]) and v.approval_id = a.id`
  await tx`delete from approvals where run_id = any(${ids}::uuid[])`
  await tx`delete from tasks where run_id = any(${ids}::uuid[])`
  await tx`delete from callbacks where run_id = any(${ids}::uuid[])`
  await tx`delete from timers where run_id = any(${ids}::uuid[])`
  await tx`delete from event_waiters where run_id = any(${ids}::uuid[])`
  await tx`delete from concurrency_slots where run_id = any(${ids}::uuid[])`
  await tx`delete from run_snapshots where run_id = any(${ids}::uuid[])`
  await tx`
    delete from run_labels l using runs r cross join lateral jsonb_each_text(r.labels) as own
     where r.id = any(${ids}::uuid[]) and l.namespace = r.namespace and l.key = own.key and l.value = own.value and l.run_id = r.id`
  await tx`delete from run_events where run_id = any(${ids}::uuid[])`
  await tx`delete from runs where id = any(${ids}::uuid[])`
}

/** Drops partitions of past months that are empty and that no run needs; gives their names. */
export function dropEmptyPartitions(sql: Sql): Promise<string[]> {
  return withTransaction(sql, async (tx) => {
    await lockPartitions(tx)
    const rows = await tx<{ name: string }[]>`select drop_event_partitions(now() - interval '1 month') as name`
    return rows.map((row) => row.name)
  })
}
