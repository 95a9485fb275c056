/** Payloads over the inline limit stand as `{"$blob": …}` where they are referred to; here they become whole again. */
import { isBlobRef, type Json } from '@baton/contracts'
import { getBlobs, type Sql } from '@baton/store'

/** References may lie in payloads that were referred to: a container's output holds those of its steps. */
const ROUNDS_MAX = 10

/** The value with every stored payload in its place. What is no longer stored stays a reference. */
export async function resolveBlobs(sql: Sql, namespace: string, value: Json): Promise<Json> {
  const missing = new Set<string>()
  let whole = value
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const wanted = findRefs(whole).filter((sha) => !missing.has(sha))
    if (wanted.length === 0) break
    const blobs = await getBlobs(sql, namespace, [...new Set(wanted)])
    for (const sha of wanted) if (!blobs.has(sha)) missing.add(sha)
    whole = replaceRefs(whole, blobs)
  }
  return whole
}

/** Ids of the payloads that a value refers to, as often as it does. */
export function findRefs(value: Json): string[] {
  if (typeof value !== 'object' || value === null) return []
  if (isBlobRef(value)) return [value.$blob]
  return (Array.isArray(value) ? value : Object.values(value)).flatMap(findRefs)
}

function replaceRefs(value: Json, blobs: ReadonlyMap<string, Json>): Json {
  if (typeof value !== 'object' || value === null) return value
  if (isBlobRef(value)) return blobs.has(value.$blob) ? blobs.get(value.$blob)! : value
  if (Array.isArray(value)) return value.map((item) => replaceRefs(item, blobs))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaceRefs(item, blobs)]))
}
