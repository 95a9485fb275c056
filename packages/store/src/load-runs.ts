/** Runs as the engine needs them. */
import type { StoredEvent } from '@baton/contracts'
import { type RunHeader, SNAPSHOT_EVENTS, type StateSnapshot } from '@baton/engine'
import type { Db } from './connect.ts'
import { loadSnapshots } from './snapshots.ts'

/** A run out of Postgres: fold `events` (in order, up to `seq`) over its snapshot, or over its header when it has none (then from seq 1). */
export interface LoadedRun {
  header: RunHeader
  seq: number
  snapshot?: StateSnapshot
  events: StoredEvent[]
}

export interface LoadOptions {
  /** With all events, whatever snapshots there are. */
  whole?: boolean
  /** Runs with fewer events have no snapshot worth asking for; SNAPSHOT_EVENTS. */
  snapshotsFrom?: number
}

/**
 * Loads runs: one query for the runs, one for the events, and one for the snapshots of long ones. Runs that do not exist are missing in the
 * answer.
 */
export async function loadRuns(db: Db, runIds: readonly string[], options: LoadOptions = {}): Promise<Map<string, LoadedRun>> {
  const runs = new Map<string, LoadedRun>()
  if (runIds.length === 0) return runs
  const headers = await db<(Omit<RunHeader, 'trace' | 'requestId'> & { trace: string | null; requestId: string | null; seq: number })[]>`
    select id as run_id, namespace, workflow, version, checksum, input, labels, priority, started_by, created_at, trace, request_id, seq
      from runs where id = any(${[...runIds]}::uuid[])`
  for (const { seq, trace, requestId, ...header } of headers) {
    const origin = { ...(trace === null ? {} : { trace }), ...(requestId === null ? {} : { requestId }) }
    runs.set(header.runId, { header: { ...header, ...origin }, seq, events: [] })
  }
  const from = options.snapshotsFrom ?? SNAPSHOT_EVENTS
  const long = options.whole ? [] : [...runs].filter(([, { seq }]) => seq >= from).map(([runId, { seq }]) => ({ runId, seq }))
  for (const [runId, snapshot] of await loadSnapshots(db, long)) runs.get(runId)!.snapshot = snapshot
  const all = [...runs.values()]
  // Joined one by one, not `= any`: the partition of each run is then found by its id.
  const events = await db<StoredEvent[]>`
    select e.run_id, e.seq, e.type, e.path, e.at, e.data
      from unnest(
        ${[...runs.keys()]}::uuid[], ${all.map((run) => run.snapshot?.seq ?? 0)}::int[], ${all.map((run) => run.seq)}::int[]
      ) as r (id, after, seq)
      cross join lateral (select * from run_events e where e.run_id = r.id and e.seq > r.after and e.seq <= r.seq order by e.seq) as e`
  for (const event of events) runs.get(event.runId)!.events.push(event)
  return runs
}
