/** Kinds with steps inside: `switch`, `forEach`, `loop`. */
import { type Json, KIND_BODIES } from '@baton/contracts'
import { isObject, report, typeName } from './compilation.ts'
import { checkShape } from './compile-shape.ts'
import { compileCondition, compileText, compileValue, type Place } from './compile-texts.ts'
import { escapePointer } from './json-pointers.ts'
import type { ForEachPlan, LoopPlan, Scope, SwitchPlan } from './plan.ts'

const ForEachShape = KIND_BODIES.forEach.omit({ steps: true })
const LoopShape = KIND_BODIES.loop.omit({ steps: true })
/** Names that `as:` may not take: they stand for something else in every expression. */
const TAKEN: ReadonlySet<string> = new Set([
  ...['input', 'steps', 'run', 'workflow', 'vars', 'now', 'secrets', 'item', 'index', 'iteration', 'last', 'error', 'event', 'callback'],
  ...['cel', 'optional', 'math', 'lists', 'base64', 'in', 'true', 'false', 'null', 'has'],
])

function asObject(place: Place, raw: Json, pointer: string): Record<string, Json> | undefined {
  if (isObject(raw)) return raw
  report(place.c, pointer, `must be an object, not ${typeName(raw)}`)
  return undefined
}

function inside(place: Place, steps: Json | undefined, pointer: string, variables: readonly string[]): Scope {
  return place.c.compileScope(place.c, steps, pointer, place.scope, variables)
}

function checkKeys(place: Place, raw: Record<string, Json>, known: readonly string[], pointer: string): void {
  for (const key of Object.keys(raw)) {
    if (!known.includes(key)) report(place.c, `${pointer}/${escapePointer(key)}`, `unknown key ${JSON.stringify(key)}`, { of: 'key' })
  }
}

/** Compiles the body of `switch`. */
export function compileSwitch(place: Place, raw: Json, pointer: string): SwitchPlan | undefined {
  const body = asObject(place, raw, pointer)
  if (!body) return undefined
  checkKeys(place, body, ['cases', 'default'], pointer)
  const { cases, default: otherwise } = body
  if (!Array.isArray(cases))
    report(place.c, `${pointer}/cases`, cases === undefined ? 'is required' : `must be a list, not ${typeName(cases)}`)
  else if (cases.length === 0) report(place.c, `${pointer}/cases`, 'at least one case is required')
  const compiled = (Array.isArray(cases) ? cases : []).flatMap((branch, i) => compileCase(place, branch, `${pointer}/cases/${i}`))
  const last = otherwise === undefined ? undefined : asObject(place, otherwise, `${pointer}/default`)
  if (!last) return { kind: 'switch', cases: compiled }
  checkKeys(place, last, ['steps'], `${pointer}/default`)
  return { kind: 'switch', cases: compiled, default: inside(place, last.steps, `${pointer}/default/steps`, []) }
}

function compileCase(place: Place, raw: Json, pointer: string): SwitchPlan['cases'] {
  const branch = asObject(place, raw, pointer)
  if (!branch) return []
  checkKeys(place, branch, ['if', 'steps'], pointer)
  const test = branch.if
  const usable = typeof test === 'boolean' || (typeof test === 'string' && test !== '')
  if (!usable) report(place.c, `${pointer}/if`, test === undefined ? 'is required' : `must be an expression, not ${typeName(test)}`)
  const condition = compileCondition(place, usable ? test : false, `${pointer}/if`)
  return [{ condition, scope: inside(place, branch.steps, `${pointer}/steps`, []) }]
}

/** Compiles the body of `forEach`. */
export function compileForEach(place: Place, raw: Json, pointer: string): ForEachPlan | undefined {
  const body = asObject(place, raw, pointer)
  if (!body) return undefined
  const { steps, ...rest } = body
  const shape = checkShape(place.c, ForEachShape, rest, pointer)
  const as = shape?.as
  if (as !== undefined && TAKEN.has(as)) report(place.c, `${pointer}/as`, `${as} has a meaning of its own; choose another name`)
  const variables = as === undefined ? ['item', 'index'] : [as, `${as}Index`]
  const list = shape && compileValue(place, rest.in!, `${pointer}/in`)
  if (list && list.type !== 'expression' && !Array.isArray(rest.in)) report(place.c, `${pointer}/in`, 'must be a list or one expression')
  const scope = inside(place, steps, `${pointer}/steps`, variables)
  if (!shape || !list) return undefined
  return {
    kind: 'forEach',
    in: list,
    ...(as === undefined ? {} : { as }),
    scope,
    concurrency: shape.concurrency,
    onItemError: shape.onItemError,
  }
}

/** Compiles the body of `loop`. */
export function compileLoop(place: Place, raw: Json, pointer: string): LoopPlan | undefined {
  const body = asObject(place, raw, pointer)
  if (!body) return undefined
  const { steps, ...rest } = body
  const variables = ['iteration', 'last']
  const shape = checkShape(place.c, LoopShape, rest, pointer)
  const scope = inside(place, steps, `${pointer}/steps`, variables)
  if (!shape) return undefined
  if (shape.while === undefined && shape.until === undefined) report(place.c, pointer, 'give while or until')
  const known: Place = { ...place, variables }
  return {
    kind: 'loop',
    scope,
    ...(shape.while === undefined ? {} : { while: compileCondition(known, shape.while, `${pointer}/while`) }),
    ...(shape.until === undefined ? {} : { until: compileCondition(known, shape.until, `${pointer}/until`) }),
    max: shape.max,
    ...(shape.delay === undefined ? {} : { delay: compileText(known, shape.delay, `${pointer}/delay`) }),
  }
}
