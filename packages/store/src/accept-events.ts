/**
 * Accepting events, and what follows from it, in one transaction: the events are kept, every step that waits for one of their type has it in
 * the inbox of its run, and event triggers start their runs. An event whose (source, id) was seen while it was kept does nothing.
 *
 * A waiter and an event cannot miss each other: this side holds the lock of the type (`event_lock_key`) shared, from before it looks for
 * waiters to its commit; who registers a waiter holds it alone, from before it looks for earlier events to its commit. While somebody waits,
 * those who accept events of the type do so one after the other: a waiter that has been told of an event was told of all with lower numbers.
 */
import type { Json } from '@baton/contracts'
import { type Db, type Sql, withTransaction } from './connect.ts'
import { jsons, texts } from './encode-columns.ts'
import type { EventTrigger } from './triggers.ts'

/** A CloudEvent that was checked: its texts are storable, `event` is the whole of it. */
export interface EventToAccept {
  source: string
  id: string
  type: string
  subject?: string | undefined
  event: Json
}

/** Starts, in the transaction `tx`, what the triggers want of new events (which carry whatever else the caller put on them). */
export type StartTriggered<Started, E extends EventToAccept = EventToAccept> = (
  tx: Db,
  fresh: (E & { seq: number })[],
  triggers: EventTrigger[],
) => Promise<Started[]>

/** `outcomes` is in the order of what came; `woken` are runs whose inbox has something new; `runs` is what the triggers started. */
export interface AcceptedEvents<Started = never> {
  accepted: number
  duplicates: number
  outcomes: ('accepted' | 'duplicate')[]
  woken: string[]
  runs: Started[]
}

/**
 * Accepts events, durably when it answers. Wake the runs that it names (a fact `inbox`), and announce those that were started. Without `start`,
 * events that have triggers are marked, and an orchestrator starts their runs (takeUntriggered).
 */
export function acceptEvents<Started = never, E extends EventToAccept = EventToAccept>(
  sql: Sql,
  namespace: string,
  events: readonly E[],
  start?: StartTriggered<Started, E>,
): Promise<AcceptedEvents<Started>> {
  return withTransaction(sql, (tx) => acceptEventsIn(tx, namespace, events, start))
}

/** The same in a transaction of the caller, which must not hold the lock of any of the types before, save in the order of their keys. */
export async function acceptEventsIn<Started = never, E extends EventToAccept = EventToAccept>(
  tx: Db,
  namespace: string,
  events: readonly E[],
  start?: StartTriggered<Started, E>,
): Promise<AcceptedEvents<Started>> {
  if (events.length === 0) return { accepted: 0, duplicates: 0, outcomes: [], woken: [], runs: [] }
  await lockTypes(tx, namespace, events)
  const { ord, seq, woken, triggers } = await keepAndTell(tx, namespace, events, start === undefined)
  const outcomes: AcceptedEvents['outcomes'] = events.map(() => 'duplicate')
  for (const index of ord) outcomes[index - 1] = 'accepted'
  const fresh = ord.map((index, at) => ({ ...events[index - 1]!, seq: seq[at]! }))
  const runs = start && triggers.length > 0 ? await start(tx, fresh, triggers) : []
  return { accepted: ord.length, duplicates: events.length - ord.length, outcomes, woken, runs }
}

/** Statements of their own: each must see what was committed while the one before it waited. */
async function lockTypes(tx: Db, namespace: string, events: readonly EventToAccept[]): Promise<void> {
  const types = texts([...new Set(events.map((event) => event.type))])
  await tx`
    with keys as materialized (
      select distinct event_lock_key(${namespace}, type) as key from unnest(${types}::text[]) as t (type) order by key
    )
    select pg_advisory_xact_lock_shared(key) from keys`
  await tx`
    with keys as materialized (
      select distinct event_lock_key('in order/' || ${namespace}, type) as key from unnest(${types}::text[]) as t (type)
       where exists (select from event_waiters w where w.namespace = ${namespace} and w.type = t.type) order by key
    )
    select pg_advisory_xact_lock(key) from keys`
}

interface Kept {
  /** Places (from 1) of the events that are new, in their order, and what number each was given. */
  ord: number[]
  seq: number[]
  woken: string[]
  triggers: EventTrigger[]
}

/**
 * Rows are written in the order of their key, so that two batches with the same events wait for each other and do not deadlock; numbers are
 * given in the order in which the events came.
 */
async function keepAndTell(tx: Db, namespace: string, events: readonly EventToAccept[], mark: boolean): Promise<Kept> {
  const [kept] = await tx.unsafe<[Kept]>(
    STATEMENT,
    [
      namespace,
      texts(events.map((event) => event.source)),
      texts(events.map((event) => event.id)),
      texts(events.map((event) => event.type)),
      texts(events.map((event) => event.subject ?? null)),
      jsons(events.map((event) => event.event)),
      String(mark),
    ],
    { prepare: true },
  )
  return kept
}

const STATEMENT = `
  with e as materialized (
    select e.*, nextval(pg_get_serial_sequence('custom_events', 'seq')) as seq from rows from (
      unnest($2::text[], $3::text[], $4::text[], $5::text[]), json_array_elements($6::text::json)
    ) with ordinality as e (source, event_id, type, subject, event, ord)
  ),
  fresh as (
    insert into custom_events (seq, namespace, source, event_id, type, subject, event, untriggered)
    overriding system value
    select seq, $1, source, event_id, type, subject, event,
           $7::text::boolean and exists (select from triggers t where t.namespace = $1 and t.enabled and t.event_type = e.type)
      from e order by source, event_id, ord
    on conflict (namespace, source, event_id) do nothing
    returning seq, type, event
  ),
  told as (
    insert into inbox (namespace, run_id, fact)
    select $1, w.run_id,
           json_build_object('kind', 'event', 'path', w.path, 'generation', w.generation, 'seq', f.seq, 'event', f.event)
      from fresh f join event_waiters w on w.namespace = $1 and w.type = f.type
     order by f.seq, w.run_id, w.path
    returning run_id
  ),
  wanted as (
    select t.namespace, t.name, t.workflow, t.event_type, t.settings from triggers t
     where t.namespace = $1 and t.enabled and t.event_type in (select type from fresh)
     order by t.name
  )
  select (select coalesce(json_agg(e.ord order by e.ord), '[]') from e join fresh using (seq)) as ord,
         (select coalesce(json_agg(e.seq order by e.ord), '[]') from e join fresh using (seq)) as seq,
         (select coalesce(json_agg(distinct run_id::text), '[]') from told) as woken,
         coalesce((select json_agg(json_build_object('namespace', namespace, 'name', name, 'workflow', workflow,
                                                     'eventType', event_type, 'settings', settings)) from wanted), '[]') as triggers`

/** An event whose triggers have not been looked for. */
export interface UntriggeredEvent {
  seq: number
  namespace: string
  type: string
  event: Json
}

/** Takes the mark from up to `limit` events that were accepted without their triggers; call it in the transaction that starts their runs. */
export async function takeUntriggered(tx: Db, limit: number): Promise<UntriggeredEvent[]> {
  return tx<UntriggeredEvent[]>`
    with due as materialized (select seq from custom_events where untriggered order by seq limit ${limit} for update skip locked),
    taken as (
      update custom_events c set untriggered = false from due where c.seq = due.seq returning c.seq, c.namespace, c.type, c.event
    )
    select * from taken order by seq`
}

/** Removes up to `limit` events that were accepted longer ago than this. Returns how many. */
export async function deleteOldEvents(db: Db, olderThanMs: number, limit: number): Promise<number> {
  const { count } = await db`
    delete from custom_events where seq = any(array(
      select seq from custom_events where accepted_at < now() - ${olderThanMs} * interval '1 ms'
       order by accepted_at limit ${limit} for update skip locked))`
  return count
}
