/** What a key of `Idempotency-Key` stands for. Keys are written by create-runs.ts. */
import type { Db } from './connect.ts'

/** The run that a key was first used for, and the hash of the body that started it. */
export interface FirstRun {
  runId: string
  bodyHash: string
}

interface Keyed {
  namespace: string
  workflow: string
  idempotency?: { key: string; bodyHash: string }
}

/** The first runs of these keys. Every key must be one that is known. */
export async function findFirstRuns<T extends Keyed>(db: Db, items: readonly T[]): Promise<Map<T, FirstRun>> {
  const found = new Map<T, FirstRun>()
  if (items.length === 0) return found
  const keys = items.map((item) => item.idempotency!.key)
  const rows = await db<{ ord: number; runId: string; bodyHash: string }[]>`
    select q.ord, k.run_id, k.body_hash
      from unnest(${items.map((item) => item.namespace)}::text[], ${items.map((item) => item.workflow)}::text[], ${keys}::text[])
           with ordinality as q (namespace, workflow, key, ord)
      join idempotency_keys k on (k.namespace, k.workflow, k.key) = (q.namespace, q.workflow, q.key)`
  for (const { ord, ...first } of rows) found.set(items[ord - 1]!, first)
  return found
}

/** Removes up to `limit` keys that no longer count. Returns how many. */
export async function deleteExpiredKeys(db: Db, limit: number): Promise<number> {
  const { count } = await db`
    delete from idempotency_keys where ctid = any(array(
      select k.ctid from idempotency_keys k
       where k.created_at < now() - interval '24 hours'
         and not exists (select from runs r where r.id = k.run_id and r.ended_at is null)
       limit ${limit} for update skip locked))`
  return count
}
