/** Triggers: what a webhook or an event starts. Of a webhook's token only the hash is kept. */
import type { Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'
import { texts } from './encode-columns.ts'

export interface TriggerRow {
  namespace: string
  name: string
  type: 'webhook' | 'event'
  workflow: string
  enabled: boolean
  /** As it was PUT, without what has a column of its own. */
  settings: Json
  /** Null for webhooks. */
  eventType: string | null
  lastError: string | null
  lastErrorAt: number | null
  createdBy: string
  createdAt: number
  updatedAt: number
}

/** An enabled trigger of one type of events. */
export type EventTrigger = Pick<TriggerRow, 'namespace' | 'name' | 'workflow' | 'settings'> & { eventType: string }

export interface TriggerToPut extends Pick<TriggerRow, 'namespace' | 'name' | 'type' | 'workflow' | 'enabled' | 'settings' | 'eventType'> {
  /** SHA-256 (hex) of the token that a webhook gets if it has none; null for events. */
  tokenHash: string | null
  createdBy: string
}

const columns = (db: Db) =>
  db`namespace, name, type, workflow, enabled, settings, event_type, last_error, last_error_at, created_by, created_at, updated_at`

/** Saves a trigger. `tokenTaken`: its token is the one that was given; a webhook that had one keeps it. */
export async function putTrigger(db: Db, item: TriggerToPut): Promise<TriggerRow & { created: boolean; tokenTaken: boolean }> {
  const [row] = await db<(TriggerRow & { created: boolean; tokenTaken: boolean })[]>`
    insert into triggers as t (namespace, name, type, workflow, enabled, settings, event_type, token_hash, created_by)
    values (${item.namespace}, ${item.name}, ${item.type}, ${item.workflow}, ${item.enabled}, ${JSON.stringify(item.settings)}::text::json,
            ${item.eventType}, ${item.tokenHash}, ${item.createdBy})
    on conflict (namespace, name) do update
       set type = excluded.type, workflow = excluded.workflow, enabled = excluded.enabled, settings = excluded.settings,
           event_type = excluded.event_type, last_error = null, last_error_at = null, updated_at = now(),
           token_hash = case when excluded.token_hash is null then null else coalesce(t.token_hash, excluded.token_hash) end
    returning ${columns(db)}, xmax = 0 as created, token_hash is not distinct from ${item.tokenHash} as token_taken`
  return row!
}

/** Gives a webhook another token; the old one is unknown from then on. Undefined when there is no such webhook. */
export async function rotateToken(db: Db, namespace: string, name: string, tokenHash: string): Promise<TriggerRow | undefined> {
  const [row] = await db<TriggerRow[]>`
    update triggers set token_hash = ${tokenHash}, updated_at = now()
     where namespace = ${namespace} and name = ${name} and type = 'webhook' returning ${columns(db)}`
  return row
}

export async function getTrigger(db: Db, namespace: string, name: string): Promise<TriggerRow | undefined> {
  const [row] = await db<TriggerRow[]>`select ${columns(db)} from triggers where namespace = ${namespace} and name = ${name}`
  return row
}

/** The webhook that a token belongs to, whatever its namespace; `now` is when it was asked for, by the clock of Postgres. */
export async function findWebhook(db: Db, tokenHash: string): Promise<(TriggerRow & { now: number }) | undefined> {
  const [row] = await db<(TriggerRow & { now: number })[]>`
    select ${columns(db)}, clock_timestamp() as now from triggers where token_hash = ${tokenHash}`
  return row
}

/** The enabled triggers of these types of events, by name. */
export async function findEventTriggers(db: Db, namespace: string, types: readonly string[]): Promise<EventTrigger[]> {
  return db<EventTrigger[]>`
    select namespace, name, workflow, settings, event_type from triggers
     where namespace = ${namespace} and enabled and event_type = any(${texts(types)}::text[]) order by name`
}

/** Triggers of the namespace, newest first. Throws InvalidCursor. */
export async function listTriggers(db: Db, namespace: string, page: Page): Promise<Listed<TriggerRow>> {
  const after = readCursor<[number, string]>(page.cursor, ['number', 'text'])
  const beyond = after ? db`and (created_at, name) < (${new Date(after[0])}, ${after[1]})` : db``
  const rows = await db<TriggerRow[]>`
    select ${columns(db)} from triggers where namespace = ${namespace} ${beyond}
     order by created_at desc, name desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.createdAt, last.name])
}

/** False when there is none. */
export async function deleteTrigger(db: Db, namespace: string, name: string): Promise<boolean> {
  const { count } = await db`delete from triggers where namespace = ${namespace} and name = ${name}`
  return count > 0
}

/** Notes why a trigger could not start a run; at most once a second, so that a flood of them does not queue up for one row. */
export async function noteTriggerError(db: Db, namespace: string, name: string, message: string): Promise<void> {
  await db`
    update triggers set last_error = ${message}, last_error_at = now()
     where namespace = ${namespace} and name = ${name} and (last_error_at is null or last_error_at < now() - interval '1 second')`
}
