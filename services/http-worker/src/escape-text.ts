/**
 * Postgres' jsonb takes neither U+0000 nor half a surrogate pair. Where an answer has one, it is written as six visible characters, as JSON
 * would escape it: U+0000 becomes `\u0000`, a lone U+D83D becomes `\ud83d`. Everything else stays as it is. The original cannot be told from
 * an answer that spelled these characters itself; ask for `response: base64` where every byte counts.
 */
import type { Json } from '@baton/contracts'

const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g

/** The text as jsonb takes it. */
export function escapeText(text: string): string {
  let escaped = text
  if (escaped.includes('\0')) escaped = escaped.replaceAll('\0', '\\u0000')
  if (!escaped.isWellFormed()) escaped = escaped.replace(LONE, (half) => `\\u${half.charCodeAt(0).toString(16)}`)
  return escaped
}

/** The same in every key and text of a value. */
export function escapeJson(value: Json): Json {
  return mapTexts(value, escapeText)
}

/** A copy of a value with every text and every key replaced. `number` may replace numbers too. */
export function mapTexts(value: Json, text: (text: string) => string, number?: (value: number) => Json): Json {
  if (typeof value === 'string') return text(value)
  if (typeof value === 'number') return number ? number(value) : value
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, text, number))
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), mapTexts(item, text, number)]))
}
