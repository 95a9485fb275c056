/**
 * Tasks in the commits of their runs. A task is withdrawn only if nobody has ended it: its row is locked before the run moves, and a run one of
 * whose tasks has ended meanwhile loses as if by the fence; decided again, with the inbox at hand, it takes what came of the task.
 */
import type { TaskOpening } from '@baton/engine'
import type { Db } from './connect.ts'
import { jsons, numbers, texts } from './encode-columns.ts'

/** A run of the batch, with the tasks that its decision opens and withdraws. */
interface Offering {
  runId: string
  namespace: string
  workflow: string
  beyond: { tasksOpened?: readonly TaskOpening[]; tasksClosed?: readonly string[] }
}

/** Locks the tasks that are to be withdrawn. Gives the runs that come too late. Before the rows of runs: who ends a task has no lock on its run. */
export async function lockTasks(tx: Db, all: readonly Offering[]): Promise<Set<string>> {
  const closing = all.flatMap(({ runId, beyond }) => (beyond.tasksClosed ?? []).map((id) => ({ id, runId })))
  if (closing.length === 0) return new Set()
  const locked = await tx<{ id: string }[]>`
    select t.id from tasks t where t.id = any(${texts(closing.map(({ id }) => id))}::uuid[]) and t.closed_at is null
     order by t.id for no key update`
  const open = new Set(locked.map(({ id }) => id))
  return new Set(closing.filter(({ id }) => !open.has(id)).map(({ runId }) => runId))
}

/** Writes what the decisions of these runs make of tasks; those that they withdraw are locked. */
export async function writeTasks(tx: Db, won: readonly Offering[]): Promise<void> {
  const closed = won.flatMap(({ beyond }) => beyond.tasksClosed ?? [])
  if (closed.length > 0) {
    await tx`
      update tasks set status = 'cancelled', lease_until = null, closed_at = clock_timestamp() where id = any(${texts(closed)}::uuid[])`
  }
  const opened = won.flatMap(({ runId, namespace, workflow, beyond }) =>
    (beyond.tasksOpened ?? []).map((task) => ({ ...task, runId, namespace, workflow })),
  )
  if (opened.length === 0) return
  await tx.unsafe(
    `insert into tasks (id, namespace, run_id, path, generation, attempt, workflow, lease_ms, priority, capabilities, payload)
     select o.id, o.namespace, o.run_id, o.path, o.generation, o.attempt, o.workflow, o.lease_ms, o.priority,
            array(select json_array_elements_text(o.json -> 0)), o.json -> 1
       from rows from (
         unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::int[], $6::int[], $7::text[], $8::int[], $9::int[]),
         json_array_elements($10::text::json)
       ) as o (id, namespace, run_id, path, generation, attempt, workflow, lease_ms, priority, json)`,
    [
      texts(opened.map((task) => task.id)),
      texts(opened.map((task) => task.namespace)),
      texts(opened.map((task) => task.runId)),
      texts(opened.map((task) => task.path)),
      numbers(opened.map((task) => task.generation)),
      numbers(opened.map((task) => task.attempt)),
      texts(opened.map((task) => task.workflow)),
      numbers(opened.map((task) => task.leaseMs)),
      numbers(opened.map((task) => task.priority)),
      jsons(opened.map((task) => [task.capabilities, task.payload])),
    ],
    { prepare: true },
  )
}
