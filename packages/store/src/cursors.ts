/** Key-set cursors: the sort key of the last row that was given, so that rows which come in between shift nothing. */
import { InvalidCursor } from './errors.ts'

/** What every list takes. */
export interface Page {
  /** Rows of a page. */
  limit: number
  cursor?: string | undefined
}

/** What every list gives. */
export interface Listed<T> {
  items: T[]
  nextCursor: string | null
}

const CHECKS = {
  uuid: (value: unknown) => typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value),
  text: (value: unknown) => typeof value === 'string' && value.isWellFormed() && !value.includes('\u0000'),
  number: (value: unknown) => typeof value === 'number' && Number.isSafeInteger(value) && Math.abs(value) < 8.64e15,
}
type Kind = keyof typeof CHECKS

/** The key in a cursor, or undefined without one. Throws InvalidCursor. */
export function readCursor<T extends readonly (string | number)[]>(cursor: string | undefined, kinds: readonly Kind[]): T | undefined {
  if (cursor === undefined) return undefined
  let key: unknown
  try {
    key = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch {
    throw new InvalidCursor()
  }
  const isKey = Array.isArray(key) && key.length === kinds.length && kinds.every((kind, index) => CHECKS[kind]((key as unknown[])[index]))
  if (!isKey) throw new InvalidCursor()
  return key as unknown as T
}

/** Cuts a page out of up to `limit + 1` rows; `keyOf` gives what the next page goes on after. */
export function pageOf<T>(rows: readonly T[], limit: number, keyOf: (last: T) => readonly (string | number)[]): Listed<T> {
  const items = rows.slice(0, limit)
  if (rows.length <= limit) return { items, nextCursor: null }
  return { items, nextCursor: writeCursor(keyOf(items.at(-1)!)) }
}

/** The cursor that goes on after this key. */
export function writeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url')
}
