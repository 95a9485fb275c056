/** Runs as the engine needs them. */
import type { StoredEvent } from '@baton/contracts'
import { type RunHeader, SNAPSHOT_EVENTS, type StateSnapshot } from '@baton/engine'
import type { Db } from './connect.ts'
import type { RunRow } from './runs.ts'
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
  const rows = await db<(HeaderRow & { runId: string })[]>`
    select id as run_id, namespace, workflow, version, checksum, input, labels, priority, started_by, created_at, trace, request_id, seq,
           parent_run, parent_step, parent_generation, depth
      from runs where id = any(${[...runIds]}::uuid[])`
  for (const row of rows) runs.set(row.runId, { header: headerOf(row, row.runId), seq: row.seq, events: [] })
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

type HeaderField = 'namespace' | 'workflow' | 'version' | 'checksum' | 'input' | 'labels' | 'priority' | 'startedBy' | 'createdAt'
type OriginField = 'trace' | 'requestId' | 'parentRun' | 'parentStep' | 'parentGeneration' | 'depth'
type HeaderRow = Pick<RunRow, HeaderField | OriginField | 'seq'>

/** What a run was born with, out of its row. */
export function headerOf(row: Pick<RunRow, HeaderField | OriginField>, runId: string): RunHeader {
  const { namespace, workflow, version, checksum, input, labels, priority, startedBy, createdAt } = row
  const header: RunHeader = { runId, namespace, workflow, version, checksum, input, labels, priority, startedBy, createdAt }
  if (row.trace !== null) header.trace = row.trace
  if (row.requestId !== null) header.requestId = row.requestId
  if (row.parentRun !== null) header.parent = { runId: row.parentRun, path: row.parentStep ?? '', generation: row.parentGeneration }
  if (row.depth > 0) header.depth = row.depth
  return header
}
