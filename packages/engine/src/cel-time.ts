/** Timestamps and durations of CEL. */

import { CelDuration } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/
const MIN_MS = -62_135_596_800_000
const MAX_MS = 253_402_300_799_999
const UNIT_NANOS: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
}
const DURATION_PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)/y
const DURATION_CHARS_MAX = 100

/** Milliseconds since 1970 as a timestamp; years 1 to 9999. */
export function timestampFromMs(ms: number): Date {
  if (!(ms >= MIN_MS && ms <= MAX_MS)) throw new ExpressionError('timestamp out of range')
  return new Date(Math.floor(ms))
}

/** True when the text is a time that `timestamp()` reads. */
export function isTimestampText(text: string): boolean {
  return RFC3339.test(text) && !Number.isNaN(Date.parse(text))
}

/** `timestamp("2026-01-02T03:04:05Z")`. */
export function parseTimestamp(text: string): Date {
  if (!isTimestampText(text)) throw new ExpressionError(`not an RFC 3339 time: ${JSON.stringify(text.slice(0, 60))}`)
  return timestampFromMs(Date.parse(text))
}

/** `duration("1h30m")`: a sequence of numbers with a unit, `d` for days beside those of CEL. */
export function parseCelDuration(text: string): CelDuration {
  const negative = text.startsWith('-')
  const body = negative || text.startsWith('+') ? text.slice(1) : text
  let nanos = 0n
  let at = 0
  while (at < body.length && body.length <= DURATION_CHARS_MAX) {
    DURATION_PART.lastIndex = at
    const part = DURATION_PART.exec(body)
    if (!part) break
    const [whole = '', fraction = ''] = part[1]!.split('.')
    const unit = UNIT_NANOS[part[2]!]!
    nanos += BigInt(whole || '0') * unit + (BigInt(fraction.slice(0, 12).padEnd(12, '0')) * unit) / 1_000_000_000_000n
    at = DURATION_PART.lastIndex
  }
  if (at === 0 || at < body.length)
    throw new ExpressionError(`not a duration: ${JSON.stringify(text.slice(0, 60))}; write 1h30m, 45s or 7d`)
  return new CelDuration(negative ? -nanos : nanos)
}

/** A timestamp moved by a duration; timestamps hold milliseconds. */
export function shiftTimestamp(time: Date, by: CelDuration, sign: 1 | -1): Date {
  return timestampFromMs(time.getTime() + sign * (Number(by.nanos) / 1_000_000))
}

type Part = 'year' | 'month' | 'day' | 'weekday' | 'hour' | 'minute' | 'second'
const ZONES_CACHED_MAX = 50
const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone)
  if (known) return known
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch (cause) {
    throw new ExpressionError(`unknown time zone ${JSON.stringify(zone.slice(0, 60))}`, 'BTN_EXPRESSION', { cause })
  }
  if (formats.size >= ZONES_CACHED_MAX) formats.clear()
  formats.set(zone, format)
  return format
}

/** The wall clock of a zone at a time, as a Date whose UTC fields are that wall clock. */
function wallClock(time: Date, zone: string | undefined): Date {
  if (zone === undefined || zone === 'UTC') return time
  const parts: Partial<Record<Part, number>> = {}
  for (const { type, value } of formatOf(zone).formatToParts(time)) parts[type as Part] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  const wall = new Date(0)
  wall.setUTCFullYear(year, month - 1, day)
  wall.setUTCHours(hour, minute, second, time.getUTCMilliseconds())
  return wall
}

const DAY_MS = 86_400_000

function dayOfYear(wall: Date): number {
  const start = new Date(0)
  start.setUTCFullYear(wall.getUTCFullYear(), 0, 1)
  return Math.floor((wall.getTime() - start.getTime()) / DAY_MS)
}

const FIELDS: Record<string, (wall: Date) => number> = {
  getFullYear: (wall) => wall.getUTCFullYear(),
  getMonth: (wall) => wall.getUTCMonth(),
  getDate: (wall) => wall.getUTCDate(),
  getDayOfMonth: (wall) => wall.getUTCDate() - 1,
  getDayOfWeek: (wall) => wall.getUTCDay(),
  getDayOfYear: dayOfYear,
  getHours: (wall) => wall.getUTCHours(),
  getMinutes: (wall) => wall.getUTCMinutes(),
  getSeconds: (wall) => wall.getUTCSeconds(),
  getMilliseconds: (wall) => wall.getUTCMilliseconds(),
}
const DURATION_FIELDS: Record<string, bigint> = {
  getHours: UNIT_NANOS.h!,
  getMinutes: UNIT_NANOS.m!,
  getSeconds: UNIT_NANOS.s!,
  getMilliseconds: UNIT_NANOS.ms!,
}
export const TIME_FIELDS = Object.keys(FIELDS)

/** `t.getHours("Europe/Berlin")`, and `d.getHours()` of a duration (the whole span in that unit). */
export function timeField(name: string, value: Date | CelDuration, zone: string | undefined): bigint | undefined {
  if (value instanceof Date) return BigInt(FIELDS[name]!(wallClock(value, zone)))
  const unit = DURATION_FIELDS[name]
  return unit === undefined || zone !== undefined ? undefined : value.nanos / unit
}
