/** Schedules. Which slots there are is not known here: callers work them out. Invariant: `next_at` moves on in the transaction that fires. */
import type { Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

export interface ScheduleRow {
  namespace: string
  name: string
  workflow: string
  enabled: boolean
  /** As it was PUT, without what has a column of its own. */
  settings: Json
  /** The next slot that has not been dealt with. */
  nextAt: number | null
  /** The newest slot that started a run, and that run. */
  lastAt: number | null
  lastRun: string | null
  lastError: string | null
  lastErrorAt: number | null
  createdBy: string
  createdAt: number
  updatedAt: number
}

export interface ScheduleToPut
  extends Pick<ScheduleRow, 'namespace' | 'name' | 'workflow' | 'enabled' | 'settings' | 'nextAt' | 'createdBy'> {
  /** Keep the slot that the row is at, because what decides on slots has not changed. */
  keepSlot: boolean
}

const columns = (db: Db) => db`
  namespace, name, workflow, enabled, settings, next_at, last_at, last_run, last_error, last_error_at, created_by, created_at, updated_at`
const moment = (ms: number | null) => (ms === null ? null : new Date(ms))

/** Saves a schedule. Call it in the transaction that has read the row (lockSchedule) when `keepSlot` is set. */
export async function putSchedule(db: Db, item: ScheduleToPut): Promise<ScheduleRow & { created: boolean }> {
  const [row] = await db<(ScheduleRow & { created: boolean })[]>`
    insert into schedules as s (namespace, name, workflow, enabled, settings, next_at, created_by)
    values (${item.namespace}, ${item.name}, ${item.workflow}, ${item.enabled}, ${JSON.stringify(item.settings)}::text::json,
            ${moment(item.nextAt)}, ${item.createdBy})
    on conflict (namespace, name) do update
       set workflow = excluded.workflow, enabled = excluded.enabled, settings = excluded.settings, last_error = null, last_error_at = null,
           next_at = case when ${item.keepSlot} then s.next_at else excluded.next_at end, updated_at = now()
    returning ${columns(db)}, xmax = 0 as created`
  return row!
}

/** The schedule, which nobody fires or changes until the transaction ends. */
export async function lockSchedule(tx: Db, namespace: string, name: string): Promise<ScheduleRow | undefined> {
  const [row] = await tx<ScheduleRow[]>`select ${columns(tx)} from schedules where namespace = ${namespace} and name = ${name} for update`
  return row
}

export async function getSchedule(db: Db, namespace: string, name: string): Promise<ScheduleRow | undefined> {
  const [row] = await db<ScheduleRow[]>`select ${columns(db)} from schedules where namespace = ${namespace} and name = ${name}`
  return row
}

/** Schedules of the namespace, newest first. Throws InvalidCursor. */
export async function listSchedules(db: Db, namespace: string, page: Page): Promise<Listed<ScheduleRow>> {
  const after = readCursor<[number, string]>(page.cursor, ['number', 'text'])
  const beyond = after ? db`and (created_at, name) < (${new Date(after[0])}, ${after[1]})` : db``
  const rows = await db<ScheduleRow[]>`
    select ${columns(db)} from schedules where namespace = ${namespace} ${beyond}
     order by created_at desc, name desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.createdAt, last.name])
}

/** False when there is none. */
export async function deleteSchedule(db: Db, namespace: string, name: string): Promise<boolean> {
  const { count } = await db`delete from schedules where namespace = ${namespace} and name = ${name}`
  return count > 0
}

/** What there is to do: ms until the next slot is due (0 or less: now; null: no slot at all), and whether events wait for their triggers. */
export async function readAgenda(db: Db): Promise<{ dueInMs: number | null; untriggered: boolean }> {
  const [row] = await db<{ dueInMs: number | null; untriggered: boolean }[]>`
    select (select extract(epoch from next_at - clock_timestamp())::float8 * 1000 from schedules
             where next_at is not null order by next_at limit 1) as due_in_ms,
           exists (select from custom_events where untriggered) as untriggered`
  return row!
}

/** A schedule that is due; `now` is when it was claimed, in ms by the clock of Postgres. */
export type DueSchedule = ScheduleRow & { nextAt: number; now: number }

/**
 * Up to `limit` schedules that are due, for this transaction alone. Slots from before `since`, when the caller began to watch, are left for two
 * seconds to those who watched when they came: who claims them later knows that they were missed.
 */
export async function claimDue(tx: Db, limit: number, since: number): Promise<DueSchedule[]> {
  return tx<DueSchedule[]>`
    select ${columns(tx)}, clock_timestamp() as now from schedules
     where next_at <= clock_timestamp() and (next_at >= ${new Date(since)} or next_at < clock_timestamp() - interval '2 seconds')
     order by next_at limit ${limit} for update skip locked`
}

/** What became of a schedule when it was due. */
export interface ScheduleMove {
  namespace: string
  name: string
  nextAt: number | null
  /** The newest slot that started a run. */
  last: { at: number; run: string } | undefined
  error: string | undefined
}

/** Moves schedules on; call it in the transaction that claimed them. */
export async function moveSchedules(tx: Db, moves: readonly ScheduleMove[]): Promise<void> {
  if (moves.length === 0) return
  const rows = moves.map(({ namespace, name, nextAt, last, error }) => ({
    namespace,
    name,
    next_at: nextAt === null ? null : new Date(nextAt).toISOString(),
    last_at: last ? new Date(last.at).toISOString() : null,
    last_run: last?.run ?? null,
    error: error ?? null,
  }))
  await tx`
    update schedules s
       set next_at = m.next_at, last_at = coalesce(m.last_at, s.last_at), last_run = coalesce(m.last_run, s.last_run),
           last_error = coalesce(m.error, s.last_error), last_error_at = case when m.error is null then s.last_error_at else now() end
      from json_to_recordset(${JSON.stringify(rows)}::text::json)
           as m (namespace text, name text, next_at timestamptz, last_at timestamptz, last_run uuid, error text)
     where s.namespace = m.namespace and s.name = m.name`
}
