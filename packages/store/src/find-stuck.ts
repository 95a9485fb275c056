/** Runs that stand still, and have nothing of their own in the tables that would move them: what is left of them is for the eyes of an operator. */
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor, writeCursor } from './cursors.ts'
import type { RunRow } from './runs.ts'

/**
 * Open runs, longest still first, that have not moved for this long and wait for nothing that has a row: no fact of the inbox, no timer, no
 * pending approval, no open task, no event, no slot. Calls that are out and child runs have none; whoever folds the runs sees those. Paused runs are left out.
 */
export async function findUnmoved(db: Db, namespace: string, forMs: number, { limit, cursor }: Page): Promise<Listed<RunRow>> {
  const after = readCursor<[number, string]>(cursor, ['number', 'uuid'])
  const rows = await db<RunRow[]>`
    select r.* from runs r
     where r.namespace = ${namespace} and r.status in ('queued', 'running', 'waiting')
       and r.updated_at < clock_timestamp() - ${forMs} * interval '1 ms'
       ${after ? db`and (r.updated_at, r.id) > (${after[0]}::timestamptz, ${after[1]}::uuid)` : db``}
       and not exists (select from inbox i where i.run_id = r.id)
       and not exists (select from timers m where m.run_id = r.id)
       and not exists (select from approvals a where a.run_id = r.id and a.status = 'pending')
       and not exists (select from tasks t where t.run_id = r.id and t.closed_at is null)
       and not exists (select from event_waiters w where w.run_id = r.id)
       and not exists (select from concurrency_slots s where s.run_id = r.id and not s.held)
     order by r.updated_at, r.id limit ${limit + 1}`
  return pageOf(rows, limit, unmovedKey)
}

const unmovedKey = ({ updatedAt, id }: RunRow) => [updatedAt, id] as const

/** The cursor for those that stand behind this one. */
export function cursorBehind(row: RunRow): string {
  return writeCursor(unmovedKey(row))
}
