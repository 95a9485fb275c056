/** Methods of strings. Positions count UTF-16 units; `size` counts code points. */
import type { CelFunction } from './cel-node.ts'
import { type CelType, CHARS_PER_UNIT, charge, chargeChars, typeOf, type Work } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'
import { compilePattern } from './regular-expressions.ts'

type StringCall = (text: string, args: readonly unknown[], work: Work) => unknown

/** A method of strings; `takes` has the types of its arguments, with `?` when it may be left out. */
function method(
  name: string,
  gives: CelType,
  takes: readonly ('string' | 'int' | 'int?' | 'string?')[],
  call: StringCall,
): [string, CelFunction] {
  const least = takes.filter((type) => !type.endsWith('?')).length
  return [
    name,
    {
      takes: Array.from({ length: takes.length - least + 1 }, (_, i) => least + i),
      gives,
      call(args, work) {
        const [text, ...rest] = args
        const fits = typeof text === 'string' && rest.every((arg, i) => isA(takes[i]!, arg))
        if (!fits) throw new ExpressionError(`no such function: ${typeOf(text)}.${name}(${rest.map(typeOf).join(', ')})`)
        chargeChars(work, text.length)
        return call(text, rest, work)
      },
    },
  ]
}

function isA(type: string, value: unknown): boolean {
  return type.startsWith('string') ? typeof value === 'string' : typeof value === 'bigint' || Number.isInteger(value)
}

function position(value: unknown, text: string, what: string): number {
  const index = Number(value)
  if (index < 0 || index > text.length) throw new ExpressionError(`${what} out of range: ${index}`)
  return index
}

/** A search for `args[0]`: engines take characters × pattern in the worst case. */
function searching(call: StringCall): StringCall {
  return (text, args, work) => {
    charge(work, (text.length * (args[0] as string).length) / SEARCH_STEPS_PER_UNIT)
    return call(text, args, work)
  }
}
const SEARCH_STEPS_PER_UNIT = 512

const substring: StringCall = (text, [from, to]) => {
  const start = position(from, text, 'start')
  const end = to === undefined ? text.length : position(to, text, 'end')
  if (end < start) throw new ExpressionError(`end out of range: ${end}`)
  return text.slice(start, end)
}

const split: StringCall = (text, [separator, limit], work) => {
  const most = limit === undefined ? -1 : Number(limit)
  if (most === 0) return []
  const parts = text.split(separator as string)
  charge(work, parts.length)
  if (most < 0 || parts.length <= most) return parts
  return [...parts.slice(0, most - 1), parts.slice(most - 1).join(separator as string)]
}

const replace: StringCall = (text, [from, to, limit], work) => {
  const parts = text.split(from as string)
  const most = limit === undefined || Number(limit) < 0 ? parts.length - 1 : Math.min(Number(limit), parts.length - 1)
  charge(work, parts.length + (most * (to as string).length) / CHARS_PER_UNIT)
  if (most === parts.length - 1) return parts.join(to as string)
  return [...parts.slice(0, most), parts.slice(most).join(from as string)].join(to as string)
}

const matches: StringCall = (text, [pattern], work) => {
  let compiled: ReturnType<typeof compilePattern>
  try {
    compiled = compilePattern(pattern as string)
  } catch (cause) {
    throw new ExpressionError(`bad pattern: ${(cause as Error).message}`, 'BTN_EXPRESSION', { cause })
  }
  // RE2 takes at most characters × instructions; the usual is far less.
  charge(work, (text.length * Math.min(compiled.programSize(), 64)) / CHARS_PER_UNIT)
  return compiled.test(text)
}

const ascii = (text: string, from: RegExp, change: (letters: string) => string) => text.replace(from, change)

export const STRING_METHODS: Record<string, CelFunction> = Object.fromEntries([
  method(
    'contains',
    'bool',
    ['string'],
    searching((text, [part]) => text.includes(part as string)),
  ),
  method('startsWith', 'bool', ['string'], (text, [part]) => text.startsWith(part as string)),
  method('endsWith', 'bool', ['string'], (text, [part]) => text.endsWith(part as string)),
  method('matches', 'bool', ['string'], matches),
  method(
    'indexOf',
    'int',
    ['string', 'int?'],
    searching((text, [part, from]) => BigInt(text.indexOf(part as string, from === undefined ? 0 : position(from, text, 'start')))),
  ),
  method(
    'lastIndexOf',
    'int',
    ['string', 'int?'],
    searching((text, [part, from]) =>
      BigInt(text.lastIndexOf(part as string, from === undefined ? text.length : position(from, text, 'start'))),
    ),
  ),
  method('substring', 'string', ['int', 'int?'], substring),
  method('charAt', 'string', ['int'], (text, [at]) => text.charAt(position(at, text, 'index'))),
  method('split', 'list', ['string', 'int?'], searching(split)),
  method('replace', 'string', ['string', 'string', 'int?'], searching(replace)),
  method('trim', 'string', [], (text) => text.trim()),
  method('lowerAscii', 'string', [], (text) => ascii(text, /[A-Z]+/g, (letters) => letters.toLowerCase())),
  method('upperAscii', 'string', [], (text) => ascii(text, /[a-z]+/g, (letters) => letters.toUpperCase())),
])
