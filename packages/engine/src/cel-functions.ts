/**
 * Functions and methods of expressions: those of CEL, and its string, list, math and encoding extensions. A method is a function whose first
 * argument is the receiver; here both stand in one table each by name, with the numbers of arguments they take.
 */

import { LIST_METHODS } from './cel-lists.ts'
import type { CelFunction } from './cel-node.ts'
import { checkInt } from './cel-operators.ts'
import { STRING_METHODS } from './cel-strings.ts'
import { parseCelDuration, parseTimestamp, TIME_FIELDS, timeField, timestampFromMs } from './cel-time.ts'
import { CelDuration, CelOptional, CelTypeValue, charge, chargeChars, isMap, NONE, typeOf, type Work } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

/** The error of a function that cannot take these values. */
export function noFunction(name: string, args: readonly unknown[]): ExpressionError {
  return new ExpressionError(`no such function: ${name}(${args.map(typeOf).join(', ')})`)
}

function size(args: readonly unknown[], work: Work): bigint {
  const [value] = args
  if (typeof value === 'string') {
    chargeChars(work, value.length)
    let count = 0n
    for (const _ of value) count += 1n
    return count
  }
  if (Array.isArray(value) || value instanceof Uint8Array) return BigInt(value.length)
  if (!isMap(value)) throw noFunction('size', args)
  const keys = Object.keys(value)
  charge(work, keys.length)
  return BigInt(keys.length)
}

const INT_TEXT = /^[+-]?\d{1,19}$/

function toInt(args: readonly unknown[]): bigint {
  const [value] = args
  if (typeof value === 'bigint') return value
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new ExpressionError('integer overflow')
    return checkInt(BigInt(Math.trunc(value)))
  }
  if (typeof value === 'string') {
    if (!INT_TEXT.test(value)) throw new ExpressionError(`not an integer: ${JSON.stringify(value.slice(0, 60))}`)
    return checkInt(BigInt(value.replace('+', '')))
  }
  if (value instanceof Date) return BigInt(Math.floor(value.getTime() / 1_000))
  throw noFunction('int', args)
}

const DOUBLE_TEXT = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
const SPECIAL_DOUBLES: Record<string, number> = { NaN: Number.NaN, Infinity: Infinity, '+Infinity': Infinity, '-Infinity': -Infinity }

function toDouble(args: readonly unknown[]): number {
  const [value] = args
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'string') throw noFunction('double', args)
  if (Object.hasOwn(SPECIAL_DOUBLES, value)) return SPECIAL_DOUBLES[value]!
  if (value.length > 400 || !DOUBLE_TEXT.test(value)) throw new ExpressionError(`not a number: ${JSON.stringify(value.slice(0, 60))}`)
  return Number(value)
}

function toText(args: readonly unknown[], work: Work): string {
  const [value] = args
  switch (typeOf(value)) {
    case 'string':
      return value as string
    case 'double':
    case 'int':
    case 'bool':
    case 'duration':
      return String(value)
    case 'timestamp':
      return (value as Date).toISOString()
    case 'bytes':
      chargeChars(work, (value as Uint8Array).length)
      return Buffer.from(value as Uint8Array).toString('utf8')
    case 'type':
      return (value as CelTypeValue).name
    default:
      throw noFunction('string', args)
  }
}

const BOOLS: Record<string, boolean> = {
  '1': true,
  t: true,
  true: true,
  True: true,
  TRUE: true,
  '0': false,
  f: false,
  false: false,
  False: false,
  FALSE: false,
}

function toBool(args: readonly unknown[]): boolean {
  const [value] = args
  if (typeof value === 'boolean') return value
  if (typeof value === 'string' && Object.hasOwn(BOOLS, value)) return BOOLS[value]!
  throw typeof value === 'string'
    ? new ExpressionError(`not true or false: ${JSON.stringify(value.slice(0, 60))}`)
    : noFunction('bool', args)
}

function toTimestamp(args: readonly unknown[]): Date {
  const [value] = args
  if (typeof value === 'string') return parseTimestamp(value)
  if (value instanceof Date) return value
  if (typeof value === 'bigint' || typeof value === 'number') return timestampFromMs(Number(value) * 1_000)
  throw noFunction('timestamp', args)
}

function toDuration(args: readonly unknown[]): CelDuration {
  const [value] = args
  if (typeof value === 'string') return parseCelDuration(value)
  if (value instanceof CelDuration) return value
  throw noFunction('duration', args)
}

function toBytes(args: readonly unknown[], work: Work): Uint8Array {
  const [value] = args
  if (value instanceof Uint8Array) return value
  if (typeof value !== 'string') throw noFunction('bytes', args)
  chargeChars(work, value.length)
  return new Uint8Array(Buffer.from(value, 'utf8'))
}

/** `type(x)`; the name of null's type is that of CEL. */
function typeValue(args: readonly unknown[]): CelTypeValue {
  const type = typeOf(args[0])
  return TYPE_VALUES.get(type) ?? new CelTypeValue(type)
}
/** Identifiers that stand for types. */
export const TYPE_VALUES: ReadonlyMap<string, CelTypeValue> = new Map([
  ...['bool', 'int', 'double', 'string', 'bytes', 'list', 'map', 'type'].map((name) => [name, new CelTypeValue(name)] as const),
  ...(['null', 'null_type'] as const).map((name) => [name, new CelTypeValue('null_type')] as const),
  ['timestamp', new CelTypeValue('google.protobuf.Timestamp')],
  ['duration', new CelTypeValue('google.protobuf.Duration')],
])

/** `f(x)`. */
export const FUNCTIONS: Record<string, CelFunction> = {
  size: { takes: [1], gives: 'int', call: size },
  int: { takes: [1], gives: 'int', call: toInt },
  uint: { takes: [1], gives: 'int', call: toInt },
  double: { takes: [1], gives: 'double', call: toDouble },
  string: { takes: [1], gives: 'string', call: toText },
  bool: { takes: [1], gives: 'bool', call: toBool },
  bytes: { takes: [1], gives: 'bytes', call: toBytes },
  timestamp: { takes: [1], gives: 'timestamp', call: toTimestamp },
  duration: { takes: [1], gives: 'duration', call: toDuration },
  type: { takes: [1], gives: 'type', call: typeValue },
  dyn: { takes: [1], gives: 'dyn', call: (args) => args[0] },
}

const timeMethods = Object.fromEntries(
  TIME_FIELDS.map((name): [string, CelFunction] => [
    name,
    {
      takes: [0, 1],
      gives: 'int',
      call(args, work) {
        const [value, zone] = args
        const usable = (value instanceof Date || value instanceof CelDuration) && (zone === undefined || typeof zone === 'string')
        if (zone !== undefined) charge(work, 50)
        const field = usable ? timeField(name, value, zone) : undefined
        if (field === undefined) throw noFunction(name, args)
        return field
      },
    },
  ]),
)

function optionalOf(name: string, args: readonly unknown[]): CelOptional {
  if (args[0] instanceof CelOptional) return args[0]
  throw noFunction(name, args)
}
const optionalMethods: Record<string, CelFunction> = {
  hasValue: { takes: [0], gives: 'bool', call: (args) => optionalOf('hasValue', args).present },
  value: {
    takes: [0],
    gives: 'dyn',
    call(args) {
      const optional = optionalOf('value', args)
      if (!optional.present) throw new ExpressionError('the optional has no value')
      return optional.value
    },
  },
}

const bytesMethods: Record<string, CelFunction> = {
  string: { takes: [0], gives: 'string', call: toText },
  hex: { takes: [0], gives: 'string', call: (args, work) => encode('hex', args, work) },
  base64: { takes: [0], gives: 'string', call: (args, work) => encode('base64', args, work) },
}

function encode(encoding: 'hex' | 'base64', args: readonly unknown[], work: Work): string {
  const bytes = toBytes(args, work)
  chargeChars(work, bytes.length * 2)
  return Buffer.from(bytes).toString(encoding)
}

/** `x.f(y)`. */
export const METHODS: Record<string, CelFunction> = {
  size: { takes: [0], gives: 'int', call: size },
  ...STRING_METHODS,
  ...LIST_METHODS,
  ...timeMethods,
  ...optionalMethods,
  ...bytesMethods,
}

function toNumber(name: string, value: unknown): number {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
  throw noFunction(name, [value])
}
function rounding(name: string, round: (value: number) => number): CelFunction {
  return { takes: [1], gives: 'dyn', call: ([value]) => (typeof value === 'bigint' ? value : round(toNumber(name, value))) }
}
function extreme(name: string, better: (a: number, b: number) => boolean): CelFunction {
  return {
    takes: [1, 2, 3, 4, 5, 6, 7, 8],
    gives: 'dyn',
    call(args, work) {
      const values: readonly unknown[] = args.length === 1 && Array.isArray(args[0]) ? args[0] : args
      if (values.length === 0) throw new ExpressionError(`${name} of an empty list`)
      charge(work, values.length)
      return values.reduce((best, value) => (better(toNumber(name, value), toNumber(name, best)) ? value : best))
    },
  }
}

/** `math.abs(x)`: functions with a namespace. */
export const NAMESPACED: Record<string, CelFunction> = {
  'optional.of': { takes: [1], gives: 'optional', call: (args) => new CelOptional(true, args[0]) },
  'optional.none': { takes: [0], gives: 'optional', call: () => NONE },
  'math.abs': {
    takes: [1],
    gives: 'dyn',
    call: ([value]) => (typeof value === 'bigint' ? (value < 0n ? checkInt(-value) : value) : Math.abs(toNumber('math.abs', value))),
  },
  'math.ceil': rounding('math.ceil', Math.ceil),
  'math.floor': rounding('math.floor', Math.floor),
  'math.trunc': rounding('math.trunc', Math.trunc),
  // Half away from zero, as CEL says; Math.round takes halves up.
  'math.round': rounding('math.round', (value) => Math.sign(value) * Math.round(Math.abs(value))),
  'math.greatest': extreme('math.greatest', (a, b) => a > b),
  'math.least': extreme('math.least', (a, b) => a < b),
  'lists.range': {
    takes: [1],
    gives: 'list',
    call(args, work) {
      const length = Number(toInt(args))
      charge(work, Math.max(0, length))
      return Array.from({ length: Math.max(0, length) }, (_, i) => BigInt(i))
    },
  },
  'base64.encode': { takes: [1], gives: 'string', call: (args, work) => encode('base64', args, work) },
  'base64.decode': {
    takes: [1],
    gives: 'bytes',
    call(args, work) {
      if (typeof args[0] !== 'string') throw noFunction('base64.decode', args)
      chargeChars(work, args[0].length)
      return new Uint8Array(Buffer.from(args[0], 'base64'))
    },
  },
}
export const NAMESPACES: ReadonlySet<string> = new Set(Object.keys(NAMESPACED).map((name) => name.split('.')[0]!))
