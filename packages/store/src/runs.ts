/** Reading the summaries of runs. They are written by createRuns and commitBatch alone. */
import type { BatonError, BlobRef, Ending, Json, RunStatus } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

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
}

/** Which runs: all that is given must hold. `since` (inclusive) and `until` (exclusive) bound the creation, as RFC 3339 or ms. */
export interface RunsFilter {
  workflow?: string | undefined
  status?: readonly RunStatus[] | undefined
  /** `key:value`; a key may not hold a colon. */
  label?: readonly string[] | undefined
  since?: string | number | undefined
  until?: string | number | undefined
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

/** Runs of the namespace, newest first. Throws InvalidCursor. */
export async function listRuns(db: Db, namespace: string, filter: RunsFilter, page: Page): Promise<Listed<RunRow>> {
  const [after] = readCursor<[string]>(page.cursor, ['uuid']) ?? []
  const beyond = after === undefined ? db`` : db`and r.id < ${after}`
  const limit = page.limit + 1
  const rows = filter.status?.length
    ? // Each status by itself, newest first out of its own index, rather than all runs filtered by status.
      await db<RunRow[]>`
        select r.* from unnest(${[...new Set(filter.status)]}::text[]) as wanted (status)
          cross join lateral (
            select r.* from runs r where ${matches(db, namespace, filter)} and r.status = wanted.status ${beyond}
             order by r.id desc limit ${limit}
          ) as r
         order by r.id desc limit ${limit}`
    : await db<RunRow[]>`select r.* from runs r where ${matches(db, namespace, filter)} ${beyond} order by r.id desc limit ${limit}`
  return pageOf(rows, page.limit, (last) => [last.id])
}

/** How many runs match. */
export async function countRuns(db: Db, namespace: string, filter: RunsFilter): Promise<number> {
  const status = filter.status?.length ? db`and r.status = any(${[...filter.status]}::text[])` : db``
  const [row] = await db<{ count: number }[]>`select count(*) from runs r where ${matches(db, namespace, filter)} ${status}`
  return row!.count
}

/** Ids carry the clock of whoever made them: bounds on them only narrow the search, by a day more than any clock may be wrong. */
const SKEW = '1 day'

/** Everything of a filter but the status. */
function matches(db: Db, namespace: string, filter: RunsFilter) {
  const { workflow, label, since, until } = filter
  return db`
    r.namespace = ${namespace}
    ${workflow === undefined ? db`` : db`and r.workflow = ${workflow}`}
    ${label?.length ? db`and r.labels <> '{}' and r.labels @> ${labelsOf(label)}::text::jsonb` : db``}
    ${since === undefined ? db`` : db`and r.created_at >= ${time(since)}::timestamptz and r.id >= uuid_floor(${time(since)}::timestamptz - ${SKEW}::interval)`}
    ${until === undefined ? db`` : db`and r.created_at < ${time(until)}::timestamptz and r.id < uuid_floor(${time(until)}::timestamptz + ${SKEW}::interval)`}`
}

function time(value: string | number): string {
  return new Date(value).toISOString()
}

/** The labels that a run must have. One key with two values is an array, which no label is: nothing matches. */
function labelsOf(wanted: readonly string[]): string {
  const labels = new Map<string, string | string[]>()
  for (const text of wanted) {
    const colon = text.indexOf(':')
    const [key, value] = [text.slice(0, colon), text.slice(colon + 1)]
    const known = labels.get(key)
    labels.set(key, known === undefined || known === value ? value : [value])
  }
  return JSON.stringify(Object.fromEntries(labels))
}

/** A partition, and the time (ms, by the clock of Postgres) before which something in it must have happened to count. */
export interface PartitionCut {
  partition: number
  before: number
}

const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/** Ids of queued runs that nobody took up since the cut of their partition: their start fact was lost, or they wait for a slot. By id, after `afterId`. */
export async function findUnstarted(db: Db, cuts: readonly PartitionCut[], afterId: string | null, limit: number): Promise<string[]> {
  const rows = await db<{ id: string }[]>`
    select r.id
      from unnest(${cuts.map((cut) => cut.partition)}::smallint[], ${cuts.map((cut) => cut.before)}::float8[]) as p (partition, before)
      cross join lateral (
        select r.id from runs r
         where partition_of(r.id) = p.partition and r.status = 'queued' and r.status in ('queued', 'running', 'paused')
           and r.updated_at < to_timestamp(p.before / 1000) and r.id > ${afterId ?? FIRST_ID}
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
