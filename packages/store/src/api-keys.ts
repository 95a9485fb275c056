/** API keys: only their hash is stored. A key belongs to one namespace. */
import { createHash } from 'node:crypto'
import type { Role } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'
import { isUniqueViolation } from './errors.ts'

/** A key as lists show it; `id` is bare. */
export interface ApiKeyRow {
  id: string
  namespace: string
  name: string
  role: Role
  groups: string[]
  createdAt: number
  revokedAt: number | null
}
export interface NewApiKeyRow {
  id: string
  namespace: string
  name: string
  role: Role
  groups: readonly string[]
  hash: Buffer
}

/** SHA-256 of a key: enough, because keys are random and not chosen by people. */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

/** Stores a key; undefined when a live key of the namespace has its name. */
export async function createApiKey(db: Db, key: NewApiKeyRow): Promise<ApiKeyRow | undefined> {
  try {
    const [row] = await db<ApiKeyRow[]>`
      insert into api_keys (id, namespace, name, role, groups, hash)
      values (${key.id}, ${key.namespace}, ${key.name}, ${key.role}, ${[...key.groups]}::text[], ${key.hash})
      returning ${columns(db)}`
    return row!
  } catch (error) {
    if (isUniqueViolation(error, 'api_keys_name')) return undefined
    throw error
  }
}

/** The live key with this hash. */
export async function findApiKey(db: Db, hash: Buffer): Promise<ApiKeyRow | undefined> {
  const [row] = await db<ApiKeyRow[]>`select ${columns(db)} from api_keys where hash = ${hash} and revoked_at is null`
  return row
}

/** A live key of the namespace by its name, or by its public id. */
export async function findLiveKey(db: Db, namespace: string, nameOrId: string): Promise<ApiKeyRow | undefined> {
  const [row] = await db<ApiKeyRow[]>`
    select ${columns(db)} from api_keys
     where namespace = ${namespace} and revoked_at is null and (name = ${nameOrId} or 'key_' || id::text = ${nameOrId})
     order by (name = ${nameOrId}) desc limit 1`
  return row
}

export async function getApiKey(db: Db, namespace: string, id: string): Promise<ApiKeyRow | undefined> {
  const [row] = await db<ApiKeyRow[]>`select ${columns(db)} from api_keys where namespace = ${namespace} and id = ${id}`
  return row
}

/** Keys of the namespace, newest first, revoked ones too. Throws InvalidCursor. */
export async function listApiKeys(db: Db, namespace: string, page: Page): Promise<Listed<ApiKeyRow>> {
  const [after] = readCursor<[string]>(page.cursor, ['uuid']) ?? []
  const rows = await db<ApiKeyRow[]>`
    select ${columns(db)} from api_keys where namespace = ${namespace} ${after === undefined ? db`` : db`and id < ${after}`}
     order by id desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [last.id])
}

/** Revokes a key; gives the hash, by which other services forget it. Undefined when there is no such key; revoking twice is no error. */
export async function revokeApiKey(db: Db, namespace: string, id: string): Promise<(ApiKeyRow & { hash: Buffer }) | undefined> {
  const [row] = await db<(ApiKeyRow & { hash: Buffer })[]>`
    update api_keys set revoked_at = coalesce(revoked_at, now()) where namespace = ${namespace} and id = ${id}
    returning ${columns(db)}, hash`
  return row
}

function columns(db: Db) {
  return db`id, namespace, name, role, groups, created_at, revoked_at`
}
