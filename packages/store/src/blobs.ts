/** Payloads over 64 KiB, by content (`sha256:<hex>` of their JSON text). Open to workers, who write what they got before they refer to it. */
import type { Json } from '@baton/contracts'
import type { Db } from './connect.ts'

/** Stores JSON texts under their ids; one that is there is touched, so that it is not collected while something new refers to it. */
export async function putBlobs(db: Db, namespace: string, blobs: ReadonlyMap<string, string>): Promise<void> {
  if (blobs.size === 0) return
  const ids = [...blobs.keys()].sort() // in order, or two writers of the same payloads deadlock
  const contents = ids.map((id) => blobs.get(id)!)
  await db`
    insert into blobs (namespace, sha256, bytes, content)
    select ${namespace}, b.sha256, octet_length(b.content), b.content from unnest(${ids}::text[], ${contents}::text[]) as b (sha256, content)
    on conflict (namespace, sha256) do update set touched_at = now() where blobs.touched_at < now() - interval '1 hour'`
}

/** The payloads that exist, parsed. */
export async function getBlobs(db: Db, namespace: string, ids: readonly string[]): Promise<Map<string, Json>> {
  const texts = await getBlobTexts(db, namespace, ids)
  return new Map([...texts].map(([id, text]) => [id, JSON.parse(text) as Json]))
}

/** The payloads that exist, as the JSON texts that were stored. */
export async function getBlobTexts(db: Db, namespace: string, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await db<{ sha256: string; content: string }[]>`
    select sha256, content from blobs where namespace = ${namespace} and sha256 = any(${[...ids]}::text[])`
  return new Map(rows.map((row) => [row.sha256, row.content]))
}
