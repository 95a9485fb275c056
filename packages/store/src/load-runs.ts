/** Runs as the engine needs them. */
import type { StoredEvent } from '@baton/contracts'
import type { RunHeader } from '@baton/engine'
import type { Db } from './connect.ts'

/** A run out of Postgres: fold `events` (seq 1 … `seq`, in order) over its header. */
export interface LoadedRun {
  header: RunHeader
  seq: number
  events: StoredEvent[]
}

/** Loads runs with all their events: one query for the runs, one for the events. Runs that do not exist are missing in the answer. */
export async function loadRuns(db: Db, runIds: readonly string[]): Promise<Map<string, LoadedRun>> {
  const runs = new Map<string, LoadedRun>()
  if (runIds.length === 0) return runs
  const headers = await db<(Omit<RunHeader, 'trace'> & { trace: string | null; seq: number })[]>`
    select id as run_id, namespace, workflow, version, checksum, input, labels, priority, started_by, created_at, trace, seq
      from runs where id = any(${[...runIds]}::uuid[])`
  for (const { seq, trace, ...header } of headers) {
    runs.set(header.runId, { header: { ...header, ...(trace === null ? {} : { trace }) }, seq, events: [] })
  }
  // Joined one by one, not `= any`: the partition of each run is then found by its id.
  const events = await db<StoredEvent[]>`
    select e.run_id, e.seq, e.type, e.path, e.at, e.data
      from unnest(${[...runs.keys()]}::uuid[], ${[...runs.values()].map((run) => run.seq)}::int[]) as r (id, seq)
      cross join lateral (select * from run_events e where e.run_id = r.id and e.seq <= r.seq order by e.seq) as e`
  for (const event of events) runs.get(event.runId)!.events.push(event)
  return runs
}
