/** Texts, values and conditions of a definition to templates and expressions, with every reference checked where it stands. */
import type { Json } from '@baton/contracts'
import { aType } from './cel-values.ts'
import { type Compilation, isObject, type OpenScope, report, type StepDraft } from './compilation.ts'
import { findPlaces } from './compile-places.ts'
import { ExpressionSyntaxError } from './expression-error.ts'
import type { ParsedExpression } from './expressions.ts'
import { escapePointer } from './json-pointers.ts'
import type { Template } from './plan.ts'
import { conditionSource, parseText, type TextOptions } from './templates.ts'

/** What the expressions at a place may mention. */
export interface Place {
  c: Compilation
  /** Undefined where no steps may be mentioned. */
  scope: OpenScope | undefined
  /** Variables that are known here beside those of everywhere and of the scope. */
  variables?: readonly string[]
  /** Takes the names of those of `variables` that are mentioned. */
  mentioned?: Set<string>
  secrets?: boolean
  /** True where a step may mention itself (and a mention makes it wait for nothing). */
  afterwards?: boolean
}

const EVERYWHERE: ReadonlySet<string> = new Set(['input', 'run', 'workflow', 'vars', 'now'])
const ELSEWHERE: Record<string, string> = {
  item: 'item is known only inside forEach',
  index: 'index is known only inside forEach',
  iteration: 'iteration is known only inside loop',
  last: 'last is known only inside loop',
  error: 'error is known only in retry.on',
  event: 'event is known only in where of waitFor',
  callback: 'callback is known only in a http step with callback: true',
}

/** The template of any JSON value. Literals are folded. */
export function compileValue(place: Place, value: Json, pointer: string): Template {
  if (typeof value === 'string') return compileText(place, value, pointer, false)
  if (Array.isArray(value)) {
    const items = value.map((item, i) => compileValue(place, item, `${pointer}/${i}`))
    return foldList(items)
  }
  if (!isObject(value)) return { type: 'literal', value }
  return foldObject(Object.keys(value).map((key) => [key, compileValue(place, value[key]!, `${pointer}/${escapePointer(key)}`)]))
}

/** A list template, a literal when all of it is. */
export function foldList(items: readonly Template[]): Template {
  if (!items.every((item) => item.type === 'literal')) return { type: 'list', items }
  return { type: 'literal', value: items.map((item) => (item as { value: Json }).value) }
}

/** An object template, a literal when all of it is. */
export function foldObject(entries: readonly (readonly [string, Template])[]): Template {
  if (!entries.every(([, template]) => template.type === 'literal')) return { type: 'object', entries }
  return { type: 'literal', value: Object.fromEntries(entries.map(([key, template]) => [key, (template as { value: Json }).value])) }
}

/** The template of a text; with `asText` its result is text even when it is exactly one expression. */
export function compileText(place: Place, text: string, pointer: string, asText = true): Template {
  const options: TextOptions = { parse: (source) => checkedParse(place, source, pointer), secrets: place.secrets ?? false, asText }
  try {
    return parseText(text, options)
  } catch (error) {
    return reportSyntax(place.c, error, pointer) ?? { type: 'literal', value: text }
  }
}

/** The entries of an object template from texts that may be left out. */
export function textEntries(
  place: Place,
  body: Record<string, unknown>,
  keys: readonly string[],
  pointer: string,
): (readonly [string, Template])[] {
  return keys.flatMap((key) => {
    const value = body[key]
    return typeof value === 'string' ? [[key, compileText(place, value, `${pointer}/${key}`)] as const] : []
  })
}

/** The expression of a condition. */
export function compileCondition(place: Place, value: string | boolean, pointer: string): ParsedExpression {
  try {
    const { source } = typeof value === 'boolean' ? { source: String(value) } : conditionSource(value)
    const expression = checkedParse({ ...place, secrets: false }, source, pointer)
    if (expression.secrets.length > 0) report(place.c, pointer, 'secrets may not stand in a condition')
    else if (expression.type !== 'bool' && expression.type !== 'dyn') {
      report(place.c, pointer, `the condition must be true or false, not ${aType(expression.type)}`)
    }
    return expression
  } catch (error) {
    reportSyntax(place.c, error, pointer)
    return place.c.parse('false')
  }
}

function reportSyntax(c: Compilation, error: unknown, pointer: string): undefined {
  if (!(error instanceof ExpressionSyntaxError)) throw error
  const at = error.offset > 0 ? ` (at character ${error.offset + 1})` : ''
  report(c, pointer, `${error.message}${at}`, { code: 'BTN_EXPRESSION' })
  return undefined
}

/** Parses an expression and checks all that it mentions. */
function checkedParse(place: Place, source: string, pointer: string): ParsedExpression {
  const expression = place.c.parse(source)
  for (const name of expression.variables) checkVariable(place, name, pointer)
  for (const id of expression.steps) checkStep(place, id, pointer)
  const step = place.scope?.current
  if (expression.vars.length > 0) place.c.usesVars = true
  if (step) noteUses(step, expression)
  return expression
}

function noteUses(step: StepDraft, expression: ParsedExpression): void {
  for (const name of expression.vars) step.vars.add(name)
  if (expression.variables.includes('now')) step.usesNow = true
}

function checkVariable(place: Place, name: string, pointer: string): void {
  if (place.variables?.includes(name)) return void place.mentioned?.add(name)
  if (EVERYWHERE.has(name)) return
  for (let scope = place.scope; scope; scope = scope.outer) if (scope.variables.has(name)) return
  const isStep = place.scope && levelOf(place.scope, name)
  const hint = ELSEWHERE[name] ?? (isStep ? `unknown variable ${name}; write steps.${name}.output` : `unknown variable ${name}`)
  report(place.c, pointer, hint, { code: 'BTN_EXPRESSION' })
}

/** The innermost scope that has the step. */
function levelOf(scope: OpenScope, id: string): OpenScope | undefined {
  for (let at: OpenScope | undefined = scope; at; at = at.outer) if (at.ids.has(id)) return at
  return undefined
}

function checkStep(place: Place, id: string, pointer: string): void {
  const { c } = place
  if (!place.scope) {
    report(c, pointer, 'steps are not known here', { code: 'BTN_EXPRESSION' })
    return
  }
  const level = levelOf(place.scope, id)
  if (!level) {
    const container = findPlaces(c).get(id)
    const hint = container ? `the step ${id} is inside ${container} and cannot be mentioned from outside it` : `unknown step ${id}`
    report(c, pointer, hint, { code: 'BTN_EXPRESSION' })
    return
  }
  // At its own level that is the step itself, further out the container that it stands in.
  const waiting = level.current
  if (!waiting || place.afterwards) return
  if (waiting.id === id) {
    report(c, pointer, level === place.scope ? `the step ${id} cannot mention itself` : `a step inside ${id} cannot mention ${id}`, {
      code: 'BTN_EXPRESSION',
    })
    return
  }
  waiting.mentions.add(level.ids.get(id)!)
}
