/** Methods of lists (`reverse` is one of strings too). */
import type { CelFunction } from './cel-node.ts'
import { OPERATORS } from './cel-operators.ts'
import { aType, charge, chargeChars, isEqual, typeOf, type Work } from './cel-values.ts'
import { ExpressionError } from './expression-error.ts'

function listOf(name: string, args: readonly unknown[], work: Work): readonly unknown[] {
  if (!Array.isArray(args[0])) throw new ExpressionError(`no such function: ${typeOf(args[0])}.${name}()`)
  charge(work, args[0].length)
  return args[0]
}

function join(args: readonly unknown[], work: Work): string {
  const list = listOf('join', args, work)
  const separator = args[1] ?? ''
  if (typeof separator !== 'string') throw new ExpressionError(`no such function: list.join(${typeOf(separator)})`)
  let chars = list.length * separator.length
  for (const item of list) {
    if (typeof item !== 'string') throw new ExpressionError(`join takes a list of strings; it has ${aType(typeOf(item))}`)
    chars += item.length
  }
  chargeChars(work, chars)
  return list.join(separator)
}

function sort(args: readonly unknown[], work: Work): unknown[] {
  const list = listOf('sort', args, work)
  const less = OPERATORS['<']!
  return [...list].sort((a, b) => {
    charge(work, 1)
    return less(a, b, work) === true ? -1 : less(b, a, work) === true ? 1 : 0
  })
}

function distinct(args: readonly unknown[], work: Work): unknown[] {
  const kept: unknown[] = []
  for (const item of listOf('distinct', args, work)) if (!kept.some((other) => isEqual(other, item, work))) kept.push(item)
  return kept
}

function flatten(args: readonly unknown[], work: Work): unknown[] {
  const flat = listOf('flatten', args, work).flat()
  charge(work, flat.length)
  return flat
}

function slice(args: readonly unknown[], work: Work): unknown[] {
  const list = listOf('slice', args, work)
  const [start, end] = [Number(args[1]), Number(args[2])]
  const fits = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= list.length
  if (!fits) throw new ExpressionError(`slice out of range: ${start} to ${end} of ${list.length}`)
  return list.slice(start, end)
}

function sum(args: readonly unknown[], work: Work): unknown {
  const list = listOf('sum', args, work)
  return list.reduce((total, item) => OPERATORS['+']!(total, item, work), 0n)
}

function reverse(args: readonly unknown[], work: Work): unknown {
  if (typeof args[0] !== 'string') return [...listOf('reverse', args, work)].reverse()
  chargeChars(work, args[0].length)
  charge(work, args[0].length / 4)
  return [...args[0]].reverse().join('')
}

export const LIST_METHODS: Record<string, CelFunction> = {
  join: { takes: [0, 1], gives: 'string', call: join },
  sort: { takes: [0], gives: 'list', call: sort },
  distinct: { takes: [0], gives: 'list', call: distinct },
  flatten: { takes: [0], gives: 'list', call: flatten },
  slice: { takes: [2], gives: 'list', call: slice },
  sum: { takes: [0], gives: 'dyn', call: sum },
  reverse: { takes: [0], gives: 'dyn', call: reverse },
}
