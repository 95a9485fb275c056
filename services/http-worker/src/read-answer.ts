/** From the bytes of an answer to the output of a step. */
import type { IncomingHttpHeaders } from 'node:http'
import type { HttpRequest, Json } from '@baton/contracts'
import { escapeJson, escapeText } from './escape-text.ts'

/** The body is not what `response` says. */
export class AnswerUnreadable extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'AnswerUnreadable'
  }
}

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\b/i
const TEXT_TYPE = /^(?:text\/|application\/(?:[\w.-]+\+)?(?:xml|yaml|x-yaml|javascript|x-www-form-urlencoded|x-ndjson|graphql)\b)/i
/** As deep as the engine and jsonb follow without trouble. */
const DEPTH_MAX = 1_000

const utf8 = new TextDecoder('utf-8')
const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/** The body as `response` asks; an empty one is null, or an empty text. Throws AnswerUnreadable. */
export function readBody(response: HttpRequest['response'], contentType: string | undefined, body: Buffer): Json {
  switch (response) {
    case 'json':
      return body.length === 0 ? null : readJson(body)
    case 'text':
      return escapeText(readText(body, contentType))
    case 'base64':
      return body.toString('base64')
    default:
      return readByType(contentType, body)
  }
}

function readByType(contentType: string | undefined, body: Buffer): Json {
  if (body.length === 0) return null
  if (contentType === undefined) return readUntyped(body)
  if (JSON_TYPE.test(contentType)) return readJson(body)
  if (TEXT_TYPE.test(contentType)) return escapeText(readText(body, contentType))
  return body.toString('base64')
}

function readUntyped(body: Buffer): Json {
  try {
    return escapeText(strictUtf8.decode(body))
  } catch {
    return body.toString('base64')
  }
}

function readJson(body: Buffer): Json {
  // Buffer.toString keeps a byte order mark, which JSON.parse refuses.
  let text = body.toString('utf8')
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
  if (text.length > 2 * DEPTH_MAX && isTooDeep(text)) throw new AnswerUnreadable(`the JSON is nested deeper than ${DEPTH_MAX}`)
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (error) {
    throw new AnswerUnreadable('the answer is not valid JSON', error)
  }
  // Only an escape can make what jsonb refuses: raw bytes that are not UTF-8 have become U+FFFD.
  return text.includes('\\u') ? escapeJson(value) : value
}

function isTooDeep(text: string): boolean {
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > DEPTH_MAX) return true
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return false
}

/** By the charset of the content-type; UTF-8 without one, or with one that nobody knows. */
export function readText(body: Buffer, contentType: string | undefined): string {
  const charset = /;\s*charset="?([^";\s]+)/i.exec(contentType ?? '')?.[1]?.toLowerCase()
  if (charset === undefined || charset === 'utf-8' || charset === 'utf8') return utf8.decode(body)
  try {
    return new TextDecoder(charset).decode(body)
  } catch {
    return utf8.decode(body)
  }
}

/** Lower-case names; several values of one header are joined by a comma, save `set-cookie`, which is always a list. */
export function readHeaders(headers: IncomingHttpHeaders): Record<string, Json> {
  const read: Record<string, Json> = {}
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined) continue
    if (name === 'set-cookie') read[name] = [value].flat().map(escapeText)
    else read[name] = escapeText(typeof value === 'string' ? value : value.join(', '))
  }
  return read
}

/** True when `status` is among the expected: `200`, or a class like `2xx` (the default). */
export function isExpected(status: number, expected: readonly string[] | undefined): boolean {
  if (expected === undefined || expected.length === 0) return status >= 200 && status < 300
  const text = String(status)
  return expected.some((one) => one === text || (/^[1-5]xx$/i.test(one) && one[0] === text[0]))
}

/** Answers that may be other ones a little later (CONTRACT §2, `retry`). */
export function isRetryable(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500
}

/** Milliseconds of a Retry-After header, in seconds or as a date (RFC 9110 §10.2.3). */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1_000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
