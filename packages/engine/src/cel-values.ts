/**
 * Values while an expression runs: JSON as it comes (numbers are CEL doubles), bigint = CEL int, Date = timestamp, and the classes below.
 * Only own properties of JSON objects are ever read, so that nothing of JavaScript shows through.
 */
import type { Json } from '@baton/contracts'
import { ExpressionError, limitError } from './expression-error.ts'

export type CelType =
  | 'dyn'
  | 'null'
  | 'bool'
  | 'int'
  | 'double'
  | 'string'
  | 'bytes'
  | 'list'
  | 'map'
  | 'timestamp'
  | 'duration'
  | 'optional'
  | 'type'

/** A span of time, in nanoseconds. */
export class CelDuration {
  readonly nanos: bigint
  constructor(nanos: bigint) {
    this.nanos = nanos
  }
  /** Seconds with a fraction, as protobuf writes them in JSON: `3600s`, `1.5s`. */
  toString(): string {
    const magnitude = this.nanos < 0n ? -this.nanos : this.nanos
    const fraction = String(magnitude % 1_000_000_000n)
      .padStart(9, '0')
      .replace(/0+$/, '')
    return `${this.nanos < 0n ? '-' : ''}${magnitude / 1_000_000_000n}${fraction ? `.${fraction}` : ''}s`
  }
}

/** A value that may be absent: what `a.?b` gives. */
export class CelOptional {
  readonly value: unknown
  readonly present: boolean
  constructor(present: boolean, value?: unknown) {
    this.present = present
    this.value = value
  }
}
export const NONE = new CelOptional(false)

/** A type as a value: what `type(x)` gives. */
export class CelTypeValue {
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

/** What an evaluation may still spend; one unit is about one node of the expression or one item of a list. */
export interface Work {
  left: number
}

/** Spends work. Throws BTN_EXPRESSION_LIMIT when nothing is left. */
export function charge(work: Work, units: number): void {
  work.left -= units
  if (work.left < 0) throw limitError('the expression does more work than it may')
}

/** Characters that cost one unit of work when they are copied or searched. */
export const CHARS_PER_UNIT = 32

export function chargeChars(work: Work, chars: number): void {
  charge(work, 1 + chars / CHARS_PER_UNIT)
}

/** The CEL type of a value. */
export function typeOf(value: unknown): CelType {
  switch (typeof value) {
    case 'string':
      return 'string'
    case 'number':
      return 'double'
    case 'bigint':
      return 'int'
    case 'boolean':
      return 'bool'
  }
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return 'list'
  if (value instanceof Date) return 'timestamp'
  if (value instanceof CelDuration) return 'duration'
  if (value instanceof CelOptional) return 'optional'
  if (value instanceof CelTypeValue) return 'type'
  if (value instanceof Uint8Array) return 'bytes'
  return 'map'
}

/** Sets an own property, whatever its name. */
export function put(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
  else object[key] = value
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeOf(value) === 'map'
}

/** CEL equality: numbers across int and double, lists and maps by content, different types are unequal. */
export function isEqual(a: unknown, b: unknown, work: Work): boolean {
  charge(work, 1)
  if (typeof a === 'string') {
    if (typeof b !== 'string' || a.length !== b.length) return false
    charge(work, a.length / CHARS_PER_UNIT)
    return a === b
  }
  if (a === b) return true
  if (typeof a === 'number' || typeof a === 'bigint') {
    // biome-ignore lint/suspicious/noDoubleEquals: == compares an int and a double exactly
    return (typeof b === 'number' || typeof b === 'bigint') && a == b
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  const type = typeOf(a)
  if (type !== typeOf(b)) return false
  if (type === 'list') return areListsEqual(a as unknown[], b as unknown[], work)
  if (type === 'map') return areMapsEqual(a as Record<string, unknown>, b as Record<string, unknown>, work)
  return areObjectsEqual(a, b, work)
}

function areListsEqual(a: unknown[], b: unknown[], work: Work): boolean {
  return a.length === b.length && a.every((item, i) => isEqual(item, b[i], work))
}

function areMapsEqual(a: Record<string, unknown>, b: Record<string, unknown>, work: Work): boolean {
  const keys = Object.keys(a)
  charge(work, keys.length)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key], work))
}

function areObjectsEqual(a: object, b: object, work: Work): boolean {
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime()
  if (a instanceof CelDuration && b instanceof CelDuration) return a.nanos === b.nanos
  if (a instanceof CelTypeValue && b instanceof CelTypeValue) return a.name === b.name
  if (a instanceof CelOptional && b instanceof CelOptional) return a.present === b.present && isEqual(a.value, b.value, work)
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    chargeChars(work, a.length)
    return Buffer.compare(a, b) === 0
  }
  return false
}

/** A map key as JSON has it. */
export function keyOf(key: unknown): string | undefined {
  if (typeof key === 'string') return key
  return typeof key === 'bigint' || typeof key === 'number' || typeof key === 'boolean' ? String(key) : undefined
}

/**
 * The JSON of a result. Values that are JSON already are given back as they are, not copied. ints become numbers (an error when they are not
 * exact), times RFC 3339, durations `3600s`, bytes base64, types their name, an absent optional null.
 */
export function toJson(value: unknown, work: Work): Json {
  switch (typeof value) {
    case 'string':
      chargeChars(work, value.length)
      return value
    case 'number':
      if (Number.isFinite(value)) return value
      throw new ExpressionError(`the result ${value} is not a JSON number`)
    case 'bigint':
      if (value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)) return Number(value)
      throw new ExpressionError(`the integer ${value} is too large for a JSON number; string() keeps all of its digits`)
    case 'boolean':
      return value
  }
  if (value === null || value === undefined) return null
  charge(work, 1)
  if (Array.isArray(value)) return listToJson(value, work)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof CelDuration) return value.toString()
  if (value instanceof CelTypeValue) return value.name
  if (value instanceof CelOptional) return value.present ? toJson(value.value, work) : null
  if (value instanceof Uint8Array) {
    chargeChars(work, value.length)
    return Buffer.from(value).toString('base64')
  }
  return mapToJson(value as Record<string, unknown>, work)
}

function listToJson(list: unknown[], work: Work): Json {
  let copy: Json[] | undefined
  for (let i = 0; i < list.length; i++) {
    const item = toJson(list[i], work)
    if (copy) copy.push(item)
    else if (item !== list[i]) {
      copy = list.slice(0, i) as Json[]
      copy.push(item)
    }
  }
  return copy ?? (list as Json[])
}

function mapToJson(map: Record<string, unknown>, work: Work): Json {
  let copy: Record<string, Json> | undefined
  for (const key of Object.keys(map)) {
    chargeChars(work, key.length)
    const item = toJson(map[key], work)
    if (item === map[key]) continue
    copy ??= copyOf(map)
    put(copy, key, item)
  }
  return copy ?? (map as Record<string, Json>)
}

function copyOf(map: Record<string, unknown>): Record<string, Json> {
  const copy: Record<string, Json> = {}
  for (const key of Object.keys(map)) put(copy, key, map[key])
  return copy
}

/** A timestamp from what the environment gives: a Date, ms since 1970 or RFC 3339 text. */
export function timestampOf(value: unknown): Date | undefined {
  const date = value instanceof Date ? value : typeof value === 'number' || typeof value === 'string' ? new Date(value) : undefined
  return date && !Number.isNaN(date.getTime()) ? date : undefined
}

/** A type with its article, for messages. */
export function aType(type: string): string {
  if (type === 'null') return type
  return /^[aeio]/.test(type) ? `an ${type}` : `a ${type}`
}
