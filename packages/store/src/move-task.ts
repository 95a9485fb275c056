/**
 * Calls of those who work on tasks. Each locks the row, judges, writes the row and tells the run by its inbox, in one transaction: so a task is
 * held by one at a time, has one outcome, and what was answered stands in Postgres. Only its clock says whether a lease has run out.
 */
import type { InboxFact } from '@baton/contracts'
import { type Db, type Sql, withTransaction } from './connect.ts'
import { addAllToInbox } from './inbox.ts'
import {
  isRepeated,
  isTold,
  leaseExpired,
  moved,
  refusalOf,
  type TaskCall,
  type TaskCaller,
  type TaskRefusal,
  type TaskSeen,
} from './judge-task.ts'
import type { TaskRow } from './tasks.ts'

export { isRepeated, refusalOf, type TaskCall, type TaskCaller, type TaskRefusal, type TaskSeen } from './judge-task.ts'

export interface TaskRequest {
  namespace: string
  /** Bare. */
  id: string
  caller: TaskCaller
  asked: TaskCall
  /** That of the claim, if the caller sent it. */
  token?: number | undefined
}

/** `isTold`: the run has something new in its inbox. Not of every claim: a task that is claimed and given back again and again is told of no more. */
export type TaskMove = { task: TaskRow; isTold: boolean } | { refused: TaskRefusal; task: TaskSeen } | undefined

/** Does what was asked. Undefined: there is no such task. Wake the run (a fact `inbox`) when it was told. */
export function moveTask(sql: Sql, { namespace, id, caller, asked, token }: TaskRequest): Promise<TaskMove> {
  return withTransaction(sql, async (tx): Promise<TaskMove> => {
    const [task] = await tx<TaskSeen[]>`
      select ${seenColumns(tx)} from tasks t join runs r on r.id = t.run_id
       where t.namespace = ${namespace} and t.id = ${id} for no key update of t`
    if (!task) return undefined
    if (isRepeated(task, caller, asked, token)) return { task, isTold: false }
    const refused = refusalOf(task, caller, asked.call, token)
    if (refused) return { refused, task }
    return write(tx, moved(task, caller, asked))
  })
}

/** A task as it stands, with what a call is judged by. */
export async function seeTask(db: Db, namespace: string, id: string): Promise<TaskSeen | undefined> {
  const [task] = await db<TaskSeen[]>`
    select ${seenColumns(db)} from tasks t join runs r on r.id = t.run_id where t.namespace = ${namespace} and t.id = ${id}`
  return task
}

function seenColumns(db: Db) {
  return db`t.*, r.status as run_status, clock_timestamp()::timestamptz(3) as read_at`
}

/** Tasks that are looked at, so that whoever asks locks one alone and others who ask at that moment get the next ones. Many only when few were not enough. */
const CANDIDATES = [32, 1_024]

/**
 * Claims the most urgent open task that asks for nothing beyond these capabilities: by priority, then age. Undefined when there is none. One that
 * another is claiming at the moment is passed over.
 */
export function claimNext(sql: Sql, namespace: string, caller: TaskCaller, capabilities: readonly string[]) {
  return withTransaction(sql, async (tx) => {
    const able = [...new Set(capabilities)]
    for (const among of CANDIDATES) {
      const task = await lockNext(tx, namespace, caller.id, able, Math.max(8, Math.ceil(among / (able.length || 1))))
      if (task) return write(tx, moved(task, caller, { call: 'claim' }))
    }
    return undefined
  })
}

/** Locks the first of these candidates, so many of each capability, that nobody else has locked. */
async function lockNext(tx: Db, namespace: string, callerId: string, able: string[], each: number): Promise<TaskSeen | undefined> {
  const isOpen = tx`
    t.status = 'open' and t.capabilities <@ ${able}::text[] and (t.reserved_for is null or t.reserved_for = ${callerId})`
  const [task] = await tx<TaskSeen[]>`
    select ${seenColumns(tx)} from (
      select n.id, n.priority from unnest(${able}::text[]) as c (capability)
       cross join lateral (
         select t.id, t.priority from tasks t join runs r on r.id = t.run_id and r.status <> 'paused'
          where t.namespace = ${namespace} and t.capabilities[1] = c.capability and ${isOpen}
          order by t.priority desc, t.id limit ${each}
       ) as n
       order by n.priority desc, n.id limit ${able.length * each}
    ) as n join tasks t on t.id = n.id join runs r on r.id = t.run_id
     where ${isOpen}
     order by n.priority desc, n.id limit 1 for no key update of t skip locked`
  return task
}

async function write(tx: Db, { task, facts }: { task: TaskRow; facts: InboxFact[] }): Promise<{ task: TaskRow; isTold: boolean }> {
  await tx`
    update tasks set
      status = ${task.status}, capabilities = ${task.capabilities}::text[], reserved_for = ${task.reservedFor},
      reserved_name = ${task.reservedName}, holder = ${task.holder}, holder_name = ${task.holderName}, claims = ${task.claims},
      claimed_at = ${task.claimedAt}::timestamptz, lease_until = ${task.leaseUntil}::timestamptz, lease_expiries = ${task.leaseExpiries},
      progress = ${jsonOf(task.progress)}::text::json, progress_told = ${task.progressTold},
      progress_told_at = ${task.progressToldAt}::timestamptz, handoff = ${jsonOf(task.handoff)}::text::json,
      result = ${jsonOf(task.result)}::text::json, closed_at = ${task.closedAt}::timestamptz
     where id = ${task.id}`
  await addAllToInbox(
    tx,
    facts.map((fact) => ({ namespace: task.namespace, runId: task.runId, fact })),
  )
  return { task, isTold: facts.length > 0 }
}

function jsonOf(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value)
}

/**
 * Puts back tasks of runs of these partitions whose lease has run out, by the clock of Postgres. Safe from many at once. `runs`: those that have something new in their inbox.
 * The last holder stays in the row, so that it can be told why it comes too late.
 */
export async function expireLeases(sql: Sql, partitions: readonly number[], limit: number): Promise<{ expired: number; runs: string[] }> {
  // Nearly always none: that costs one round trip.
  const [some] = await sql`select from tasks where status = 'claimed' and lease_until <= now() limit 1`
  if (!some) return { expired: 0, runs: [] }
  return withTransaction(sql, async (tx) => {
    // now(), which stands still in the transaction: clock_timestamp() cannot bound the range of an index.
    const due = await tx<TaskRow[]>`
      select t.* from tasks t where t.status = 'claimed' and t.lease_until <= now()
         and partition_of(t.run_id) = any(${[...partitions]}::smallint[])
       order by t.lease_until limit ${limit} for no key update skip locked`
    if (due.length === 0) return { expired: 0, runs: [] }
    await tx`
      update tasks set status = 'open', claimed_at = null, lease_until = null, lease_expiries = lease_expiries + 1
       where id = any(${due.map(({ id }) => id)}::uuid[])`
    const runs = await addAllToInbox(
      tx,
      due
        .filter((task) => isTold(task, 'lease_expired'))
        .map((task) => ({ namespace: task.namespace, runId: task.runId, fact: leaseExpired(task) })),
    )
    return { expired: due.length, runs: [...new Set(runs)] }
  })
}
