/** Snapshots of the states of long runs. Nothing depends on them but the time that loading takes. */
import { STATE_SHAPE, type StateSnapshot } from '@baton/engine'
import type { Db } from './connect.ts'

/** Keeps a snapshot (JSON text of a StateSnapshot) in place of those before it; of a run that has ended meanwhile, none. */
export async function putSnapshot(db: Db, namespace: string, runId: string, seq: number, state: string): Promise<void> {
  await db`
    with gone as (delete from run_snapshots where run_id = ${runId} and seq < ${seq})
    insert into run_snapshots (run_id, seq, namespace, shape, state)
    select r.id, ${seq}, ${namespace}, ${STATE_SHAPE}, ${state}::text::json
      from runs r where r.id = ${runId} and r.ended_at is null
    on conflict (run_id, seq) do update set shape = excluded.shape, state = excluded.state`
}

/** The newest snapshot of each run up to its seq, of the shape that this version knows. */
export async function loadSnapshots(db: Db, runs: readonly { runId: string; seq: number }[]): Promise<Map<string, StateSnapshot>> {
  if (runs.length === 0) return new Map()
  const rows = await db<{ runId: string; state: StateSnapshot }[]>`
    select s.run_id, s.state
      from unnest(${runs.map((run) => run.runId)}::uuid[], ${runs.map((run) => run.seq)}::int[]) as r (id, seq)
      cross join lateral (
        select s.run_id, s.state from run_snapshots s
         where s.run_id = r.id and s.seq <= r.seq and s.shape = ${STATE_SHAPE} order by s.seq desc limit 1
      ) as s`
  return new Map(rows.map((row) => [row.runId, row.state]))
}

/** Removes the snapshots of these runs: they have ended. */
export async function deleteSnapshots(db: Db, runIds: readonly string[]): Promise<void> {
  await db`delete from run_snapshots where run_id = any(${[...runIds]}::uuid[])`
}

/** Removes those that are left of runs that have ended, at most `limit`. Returns how many. */
export async function deleteLeftSnapshots(db: Db, limit: number): Promise<number> {
  const { count } = await db`
    delete from run_snapshots where ctid = any(array(
      select s.ctid from run_snapshots s
       where not exists (select from runs r where r.id = s.run_id and r.ended_at is null) limit ${limit} for update skip locked))`
  return count
}
