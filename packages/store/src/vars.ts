/** Variables of a namespace: plain values that expressions read as `vars.<NAME>`. */
import type { Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

export interface VarRow {
  name: string
  value: Json
  createdAt: number
  updatedAt: number
}

/** Sets a variable. `created` is false when it was there. */
export async function putVar(db: Db, namespace: string, name: string, value: Json): Promise<VarRow & { created: boolean }> {
  const [row] = await db<(VarRow & { created: boolean })[]>`
    insert into vars as v (namespace, name, value) values (${namespace}, ${name}, ${JSON.stringify(value)}::text::json)
    on conflict (namespace, name) do update set value = excluded.value, updated_at = now()
    returning v.name, v.value, v.created_at, v.updated_at, v.xmax = 0 as created`
  return row!
}

export async function getVar(db: Db, namespace: string, name: string): Promise<VarRow | undefined> {
  const [row] = await db<VarRow[]>`select name, value, created_at, updated_at from vars where namespace = ${namespace} and name = ${name}`
  return row
}

/** All variables of the namespace by name, as the engine takes them. */
export async function listAllVars(db: Db, namespace: string): Promise<Record<string, Json>> {
  const rows = await db<VarRow[]>`select name, value from vars where namespace = ${namespace}`
  return Object.fromEntries(rows.map((row) => [row.name, row.value]))
}

/** Variables of the namespace, newest first. Throws InvalidCursor. */
export async function listVars(db: Db, namespace: string, page: Page): Promise<Listed<VarRow>> {
  const after = readCursor<[number, string]>(page.cursor, ['number', 'text'])
  const beyond = after ? db`and (created_at, name) < (${new Date(after[0])}, ${after[1]})` : db``
  const rows = await db<VarRow[]>`
    select name, value, created_at, updated_at from vars where namespace = ${namespace} ${beyond}
     order by created_at desc, name desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.createdAt, last.name])
}

/** False when there is none. */
export async function deleteVar(db: Db, namespace: string, name: string): Promise<boolean> {
  const { count } = await db`delete from vars where namespace = ${namespace} and name = ${name}`
  return count > 0
}
