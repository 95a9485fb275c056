/** Reading the summaries of runs. They are written by createRuns and commitBatch alone; lists of them are in find-runs.ts. */
import type { BatonError, BlobRef, Ending, Json, RunStatus } from '@baton/contracts'
import type { Db } from './connect.ts'

/** A row of `runs`. Ids are bare, times are ms since 1970, `seq` is that of the last event. */
export interface RunRow {
  id: string
  namespace: string
  workflow: string
  version: number
  checksum: string
  definitionVersion: number
  status: RunStatus
  ending: Ending | null
  seq: number
  priority: number
  labels: Record<string, string>
  input: Json | BlobRef
  output: Json | BlobRef
  error: BatonError | null
  startedBy: string
  trace: string | null
  requestId: string | null
  createdAt: number
  startedAt: number | null
  endedAt: number | null
  updatedAt: number
  forkedFrom: string | null
  parentRun: string | null
  parentStep: string | null
  parentGeneration: number | null
  depth: number
}

/** A run of the namespace, or undefined. */
export async function getRun(db: Db, namespace: string, id: string): Promise<RunRow | undefined> {
  const [row] = await db<RunRow[]>`select * from runs where id = ${id} and namespace = ${namespace}`
  return row
}

/** Runs by their ids, in no order, of whatever namespace. */
export async function getRunsByIds(db: Db, ids: readonly string[]): Promise<RunRow[]> {
  if (ids.length === 0) return []
  return db<RunRow[]>`select * from runs where id = any(${[...ids]}::uuid[])`
}

/** The number of the last event of each run that exists. */
export async function lastSeqs(db: Db, ids: readonly string[]): Promise<Map<string, number>> {
  if (ids.length === 0) return new Map()
  const rows = await db<{ id: string; seq: number }[]>`select id, seq from runs where id = any(${[...ids]}::uuid[])`
  return new Map(rows.map((row) => [row.id, row.seq]))
}

/** A partition, and the time (ms, by the clock of Postgres) before which something in it must have happened to count. */
export interface PartitionCut {
  partition: number
  before: number
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/**
 * Ids of queued runs that nobody took up since the cut of their partition: their start fact was lost. Those that have asked for a slot are told
 * by their inbox. By id, after `afterId`.
 */
export async function findUnstarted(db: Db, cuts: readonly PartitionCut[], afterId: string | null, limit: number): Promise<string[]> {
  const rows = await db<{ id: string }[]>`
    select r.id
      from unnest(${cuts.map((cut) => cut.partition)}::smallint[], ${cuts.map((cut) => cut.before)}::float8[]) as p (partition, before)
      cross join lateral (
        select r.id from runs r
         where partition_of(r.id) = p.partition and r.status = 'queued' and r.status in ('queued', 'running', 'paused')
           and r.updated_at < to_timestamp(p.before / 1000) and r.id > ${afterId ?? FIRST_ID}
           and not exists (select from concurrency_slots s where s.run_id = r.id)
         order by r.id limit ${limit}
      ) as r
     order by r.id limit ${limit}`
  return rows.map((row) => row.id)
}

/** Runs of these partitions and statuses that have not moved since the time, after `afterId` in the order of ids: those whose calls may be lost. */
export async function findActive(
  db: Db,
  partitions: readonly number[],
  statuses: readonly ('running' | 'paused')[],
  before: number,
  afterId: string | null,
  limit: number,
): Promise<{ id: string; seq: number }[]> {
  return db<{ id: string; seq: number }[]>`
    select r.id, r.seq
      from unnest(${[...partitions]}::smallint[]) as p (partition)
      cross join lateral (
        select r.id, r.seq from runs r
         where partition_of(r.id) = p.partition and r.status = any(${[...statuses]}::text[]) and r.status in ('queued', 'running', 'paused')
           and r.updated_at < to_timestamp(${before}::float8 / 1000) and r.id > ${afterId ?? FIRST_ID}
         order by r.id limit ${limit}
      ) as r
     order by r.id limit ${limit}`
}
