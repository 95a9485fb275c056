/** The identity of a definition: SHA-256 of its canonical JSON. */
import { createHash } from 'node:crypto'
import type { Json } from '@baton/contracts'

/** JSON with the keys of every object sorted (by UTF-16 unit) and no white space; equal definitions give equal text. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.keys(value).sort()
  return `{${entries.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key]!)}`).join(',')}}`
}

/** `sha256:<hex>` of the canonical JSON of a definition. */
export function checksumOf(definition: Json): string {
  return checksumOfText(canonicalJson(definition))
}

/** `sha256:<hex>` of a text that is canonical already. */
export function checksumOfText(canonical: string): string {
  return `sha256:${createHash('sha256').update(canonical).digest('hex')}`
}

/** About the bytes of the JSON of a value; stops counting once it is over `bytesMax` (aliases may make a small text huge). */
export function jsonBytes(value: Json, bytesMax: number): number {
  let bytes = 0
  const add = (item: Json): void => {
    if (bytes > bytesMax) return
    if (typeof item === 'string') bytes += Buffer.byteLength(item) + 2
    else if (typeof item !== 'object' || item === null) bytes += String(item).length
    else if (Array.isArray(item)) {
      bytes += 2 + Math.max(0, item.length - 1)
      for (const inner of item) add(inner)
    } else {
      const keys = Object.keys(item)
      bytes += 2 + Math.max(0, keys.length - 1)
      for (const key of keys) {
        bytes += Buffer.byteLength(key) + 3
        add(item[key]!)
      }
    }
  }
  add(value)
  return bytes
}
