/**
 * Decisions that reach beyond their own run: steps that wait for events or tell of them, child runs, facts for other runs, and concurrency
 * slots. They are committed in a transaction with the batch, so that either all of it is there or none; whoever has something new in the inbox
 * is told afterwards. Locks are taken first and in one order, before the rows of the runs: accept-events.ts says what they keep apart.
 */
import type { Decision, SlotWish } from '@baton/engine'
import { acceptEventsIn, type EventToAccept } from './accept-events.ts'
import { lockTasks, writeTasks } from './commit-tasks.ts'
import { changeSlots } from './concurrency-slots.ts'
import type { Db } from './connect.ts'
import { createRuns, type NewRun } from './create-runs.ts'
import { numbers, texts } from './encode-columns.ts'
import { addAllToInbox } from './inbox.ts'

/** What one decision changes outside its own run. */
export interface Beyond
  extends Pick<Decision, 'waitersSet' | 'waitersCleared' | 'callbacksClosed' | 'told'>,
    Partial<Pick<Decision, 'callbacksGivenUp' | 'tasksOpened' | 'tasksClosed'>> {
  emitted: readonly EventToAccept[]
  children: readonly NewRun[]
  slot?: SlotWish & { priority: number }
}

/** A run of the batch, and what its decision changes outside of it. */
export interface Reaching {
  runId: string
  namespace: string
  workflow: string
  beyond: Beyond
}

/** Earlier events that a waiter is told of at a time. */
const PAGE = 500

/** Locks all that the decisions may touch. Call it first of all in the transaction. Gives the runs that can no longer do what they decided. */
export async function lockBeyond(tx: Db, all: readonly Reaching[]): Promise<Set<string>> {
  await lockKeys(tx, all)
  return lockTasks(tx, all)
}

async function lockKeys(tx: Db, all: readonly Reaching[]): Promise<void> {
  const types = all.flatMap(({ namespace, beyond }) =>
    [...beyond.waitersSet, ...beyond.emitted].map(({ type }) => [namespace, type] as const),
  )
  const asked = all.flatMap(({ namespace, workflow, beyond: { slot } }) =>
    slot?.act === 'ask' ? [[namespace, workflow, slot.key] as const] : [],
  )
  const leaving = all.flatMap(({ runId, beyond: { slot } }) => (slot?.act === 'leave' ? [runId] : []))
  if (types.length + asked.length + leaving.length === 0) return
  await tx`
    with keys as materialized (
      select event_lock_key(e.namespace, e.type) as key
        from unnest(${texts(types.map(([namespace]) => namespace))}::text[], ${texts(types.map(([, type]) => type))}::text[]) as e (namespace, type)
      union
      select slot_lock_key(a.namespace, a.workflow, a.key)
        from unnest(${texts(asked.map(([namespace]) => namespace))}::text[], ${texts(asked.map(([, workflow]) => workflow))}::text[],
                    ${texts(asked.map(([, , key]) => key))}::text[]) as a (namespace, workflow, key)
      union
      select slot_lock_key(s.namespace, s.workflow, s.key) from concurrency_slots s where s.run_id = any(${texts(leaving)}::uuid[])
       order by 1
    )
    select pg_advisory_xact_lock(key) from keys`
}

/** Writes what the decisions of these runs change. Returns the ids of runs that have something new in their inbox. */
export async function writeBeyond(tx: Db, won: readonly Reaching[]): Promise<Set<string>> {
  const woken = new Set<string>()
  await clearWaiters(tx, won)
  for (const id of await setWaiters(tx, won)) woken.add(id)
  for (const [namespace, events] of emittedBy(won)) for (const id of (await acceptEventsIn(tx, namespace, events)).woken) woken.add(id)
  await writeTasks(tx, won)
  const children = won.flatMap(({ beyond }) => beyond.children)
  if (children.length > 0) await createRuns(tx, children)
  for (const id of await tell(tx, won)) woken.add(id)
  for (const run of won) if (run.beyond.slot) for (const id of await changeSlots(tx, run, run.beyond.slot)) woken.add(id)
  return woken
}

async function clearWaiters(tx: Db, won: readonly Reaching[]): Promise<void> {
  const gone = won.flatMap(({ runId, beyond }) => beyond.waitersCleared.map((path) => ({ runId, path })))
  if (gone.length === 0) return
  await tx`
    delete from event_waiters w using unnest(${texts(gone.map((row) => row.runId))}::uuid[], ${texts(gone.map((row) => row.path))}::text[])
      as g (run_id, path) where w.run_id = g.run_id and w.path = g.path`
}

/** Waiters, each with the first page of what was accepted since its run was created. */
async function setWaiters(tx: Db, won: readonly Reaching[]): Promise<string[]> {
  const set = won.flatMap(({ runId, namespace, beyond }) => beyond.waitersSet.map((waiter) => ({ ...waiter, runId, namespace })))
  if (set.length === 0) return []
  const rows = await tx<{ runId: string }[]>`
    with w as materialized (
      select * from unnest(
        ${texts(set.map((waiter) => waiter.namespace))}::text[], ${texts(set.map((waiter) => waiter.type))}::text[],
        ${texts(set.map((waiter) => waiter.runId))}::uuid[], ${texts(set.map((waiter) => waiter.path))}::text[],
        ${numbers(set.map((waiter) => waiter.generation))}::int[], ${numbers(set.map((waiter) => waiter.after))}::bigint[]
      ) as w (namespace, type, run_id, path, generation, after)
    ),
    written as (
      insert into event_waiters (namespace, type, run_id, path, generation)
      select namespace, type, run_id, path, generation from w
      on conflict (run_id, path) do update set type = excluded.type, generation = excluded.generation
    ),
    earlier as (
      select w.namespace, w.run_id, w.path, w.generation, c.seq, c.event, c.place
        from w join runs r on r.id = w.run_id
       cross join lateral (
         select c.seq, c.event, row_number() over (order by c.seq) as place from custom_events c
          where c.namespace = w.namespace and c.type = w.type and c.seq > w.after and c.accepted_at >= r.created_at
          order by c.seq limit ${PAGE}
       ) as c
    )
    insert into inbox (namespace, run_id, fact)
    select namespace, run_id,
           case when place = ${PAGE}
                then json_build_object('kind', 'event', 'path', path, 'generation', generation, 'seq', seq, 'event', event, 'more', true)
                else json_build_object('kind', 'event', 'path', path, 'generation', generation, 'seq', seq, 'event', event) end
      from earlier order by seq, run_id, path
    returning run_id`
  return rows.map((row) => row.runId)
}

function emittedBy(won: readonly Reaching[]): Map<string, EventToAccept[]> {
  const byNamespace = new Map<string, EventToAccept[]>()
  for (const { namespace, beyond } of won) {
    if (beyond.emitted.length > 0) byNamespace.set(namespace, [...(byNamespace.get(namespace) ?? []), ...beyond.emitted])
  }
  return byNamespace
}

async function tell(tx: Db, won: readonly Reaching[]): Promise<string[]> {
  const told = won.flatMap(({ namespace, beyond }) => beyond.told.map(({ runId, fact }) => ({ namespace, runId, fact })))
  return addAllToInbox(tx, told)
}
