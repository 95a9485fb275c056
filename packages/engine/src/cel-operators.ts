/** Binary and unary operators. JSON numbers are doubles; with an int beside them they compute as doubles and compare exactly. */
import { shiftTimestamp } from './cel-time.ts'
import { CelDuration, type CelType, charge, chargeChars, isEqual, keyOf, typeOf, type Work } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

export type Operator = (a: unknown, b: unknown, work: Work) => unknown

const INT_MAX = 9_223_372_036_854_775_807n
const INT_MIN = -9_223_372_036_854_775_808n

function noOverload(a: unknown, operator: string, b: unknown): ExpressionError {
  return new ExpressionError(`no such operation: ${typeOf(a)} ${operator} ${typeOf(b)}`)
}

/** An int within 64 bits. Throws on overflow. */
export function checkInt(value: bigint): bigint {
  if (value > INT_MAX || value < INT_MIN) throw new ExpressionError('integer overflow')
  return value
}

type Arithmetic = { int(a: bigint, b: bigint): bigint; double(a: number, b: number): number }
const ARITHMETIC: Record<string, Arithmetic> = {
  '+': { int: (a, b) => a + b, double: (a, b) => a + b },
  '-': { int: (a, b) => a - b, double: (a, b) => a - b },
  '*': { int: (a, b) => a * b, double: (a, b) => a * b },
  '/': { int: (a, b) => a / nonZero(b, 'division by zero'), double: (a, b) => a / b },
  '%': { int: (a, b) => a % nonZero(b, 'modulus by zero'), double: (a, b) => a % nonZero(b, 'modulus by zero') },
}

function nonZero<T extends bigint | number>(value: T, message: string): T {
  if (Number(value) === 0) throw new ExpressionError(message)
  return value
}

function arithmetic(operator: string, other: Operator): Operator {
  const { int, double } = ARITHMETIC[operator]!
  return (a, b, work) => {
    if (typeof a === 'number') {
      if (typeof b === 'number') return double(a, b)
      if (typeof b === 'bigint') return double(a, Number(b))
    } else if (typeof a === 'bigint') {
      if (typeof b === 'bigint') return checkInt(int(a, b))
      if (typeof b === 'number') return double(Number(a), b)
    }
    return other(a, b, work)
  }
}

const refuse =
  (operator: string): Operator =>
  (a, b) => {
    throw noOverload(a, operator, b)
  }

const add: Operator = (a, b, work) => {
  if (typeof a === 'string' && typeof b === 'string') {
    chargeChars(work, a.length + b.length)
    return a + b
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    charge(work, 1 + a.length + b.length)
    return a.concat(b)
  }
  if (a instanceof Date && b instanceof CelDuration) return shiftTimestamp(a, b, 1)
  if (a instanceof CelDuration && b instanceof Date) return shiftTimestamp(b, a, 1)
  if (a instanceof CelDuration && b instanceof CelDuration) return new CelDuration(checkInt(a.nanos + b.nanos))
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    chargeChars(work, a.length + b.length)
    return new Uint8Array(Buffer.concat([a, b]))
  }
  throw noOverload(a, '+', b)
}

const subtract: Operator = (a, b) => {
  if (a instanceof Date && b instanceof Date) return new CelDuration(BigInt(a.getTime() - b.getTime()) * 1_000_000n)
  if (a instanceof Date && b instanceof CelDuration) return shiftTimestamp(a, b, -1)
  if (a instanceof CelDuration && b instanceof CelDuration) return new CelDuration(checkInt(a.nanos - b.nanos))
  throw noOverload(a, '-', b)
}

type Comparable = number | bigint | string
/** What stands for a value when it is compared, of the same type on both sides. Undefined when the two have no order. */
function comparable(a: unknown, b: unknown): [Comparable, Comparable] | undefined {
  if (a instanceof Date && b instanceof Date) return [a.getTime(), b.getTime()]
  if (a instanceof CelDuration && b instanceof CelDuration) return [a.nanos, b.nanos]
  if (typeof a === 'boolean' && typeof b === 'boolean') return [Number(a), Number(b)]
  if (a instanceof Uint8Array && b instanceof Uint8Array) return [Buffer.compare(a, b), 0]
  return undefined
}

function comparison(operator: string, test: (a: Comparable, b: Comparable) => boolean): Operator {
  return (a, b, work) => {
    const isNumberA = typeof a === 'number' || typeof a === 'bigint'
    if (isNumberA && (typeof b === 'number' || typeof b === 'bigint')) return test(a, b)
    if (typeof a === 'string' && typeof b === 'string') {
      chargeChars(work, Math.min(a.length, b.length))
      return test(a, b)
    }
    const pair = comparable(a, b)
    if (!pair) throw noOverload(a, operator, b)
    return test(pair[0], pair[1])
  }
}

const membership: Operator = (a, b, work) => {
  if (Array.isArray(b)) return b.some((item) => isEqual(a, item, work))
  if (typeOf(b) !== 'map') throw noOverload(a, 'in', b)
  const key = keyOf(a)
  return key !== undefined && Object.hasOwn(b as object, key)
}

export const OPERATORS: Record<string, Operator> = {
  '+': arithmetic('+', add),
  '-': arithmetic('-', subtract),
  '*': arithmetic('*', refuse('*')),
  '/': arithmetic('/', refuse('/')),
  '%': arithmetic('%', refuse('%')),
  '<': comparison('<', (a, b) => a < b),
  '<=': comparison('<=', (a, b) => a <= b),
  '>': comparison('>', (a, b) => a > b),
  '>=': comparison('>=', (a, b) => a >= b),
  '==': (a, b, work) => isEqual(a, b, work),
  '!=': (a, b, work) => !isEqual(a, b, work),
  in: membership,
}

/** `-x`. */
export function negate(value: unknown): unknown {
  if (typeof value === 'number') return -value
  if (typeof value === 'bigint') return checkInt(-value)
  if (value instanceof CelDuration) return new CelDuration(-value.nanos)
  throw new ExpressionError(`no such operation: -${typeOf(value)}`)
}

const NUMBERS: ReadonlySet<CelType> = new Set(['int', 'double'])
const ORDERED: ReadonlySet<CelType> = new Set(['int', 'double', 'string', 'bool', 'timestamp', 'duration', 'bytes'])
const SUMS: Record<string, CelType> = {
  'string+string': 'string',
  'list+list': 'list',
  'bytes+bytes': 'bytes',
  'timestamp+duration': 'timestamp',
  'duration+timestamp': 'timestamp',
  'duration+duration': 'duration',
  'timestamp-timestamp': 'duration',
  'timestamp-duration': 'timestamp',
  'duration-duration': 'duration',
}

/** The static type of `a operator b`; undefined when that can never work. */
export function typeOfBinary(operator: string, a: CelType, b: CelType): CelType | undefined {
  if (operator === '==' || operator === '!=') return 'bool'
  const unknown = a === 'dyn' || b === 'dyn'
  if (operator === 'in') return b === 'dyn' || b === 'list' || b === 'map' ? 'bool' : undefined
  const numeric = NUMBERS.has(a) && NUMBERS.has(b)
  if (operator.startsWith('<') || operator.startsWith('>')) return unknown || numeric || (a === b && ORDERED.has(a)) ? 'bool' : undefined
  if (numeric) return a === 'int' && b === 'int' ? 'int' : 'double'
  return unknown ? 'dyn' : SUMS[`${a}${operator}${b}`]
}
