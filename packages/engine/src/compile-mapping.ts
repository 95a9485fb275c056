/** Mappings and filters of triggers: templates and conditions outside of definitions, over variables that their caller names. */
import type { Json, ProblemError } from '@baton/contracts'
import { aType } from './cel-values.ts'
import { isObject } from './compilation.ts'
import { foldList, foldObject } from './compile-texts.ts'
import { ExpressionSyntaxError } from './expression-error.ts'
import { evaluateCondition, type ParsedExpression, parseExpression } from './expressions.ts'
import { escapePointer } from './json-pointers.ts'
import type { Env, Template } from './plan.ts'
import { conditionSource, parseText, renderTemplate } from './templates.ts'

/** Values of the variables by name. */
export type MappingVariables = Readonly<Record<string, Json>>

export interface Mapping {
  /** Throws ExpressionError. */
  render(variables: MappingVariables): Json
}

export interface Filter {
  /** Throws ExpressionError, also when the condition gives neither true nor false. */
  matches(variables: MappingVariables): boolean
}

/** What is compiled: the thing, or what is wrong with it. */
export type CompiledMapping<T> = { compiled: T; errors?: never } | { errors: ProblemError[]; compiled?: never }

interface Place {
  variables: readonly string[]
  errors: ProblemError[]
}

/** Compiles a JSON value whose texts may hold `${{ … }}` over these variables. `at` is the pointer that errors begin with. */
export function compileMapping(value: Json, variables: readonly string[], at: string): CompiledMapping<Mapping> {
  const place: Place = { variables, errors: [] }
  const template = compileValue(place, value, at)
  if (place.errors.length > 0) return { errors: place.errors }
  return { compiled: { render: (values) => renderTemplate(template, envOf(values)) } }
}

/** Compiles a condition, with or without `${{ }}` around it. */
export function compileFilter(source: string, variables: readonly string[], at: string): CompiledMapping<Filter> {
  const place: Place = { variables, errors: [] }
  const expression = attempt(place, at, () => parse(place, conditionSource(source).source))
  if (expression && expression.type !== 'bool' && expression.type !== 'dyn') {
    place.errors.push({ pointer: at, message: `the condition must be true or false, not ${aType(expression.type)}` })
  }
  if (!expression || place.errors.length > 0) return { errors: place.errors }
  return { compiled: { matches: (values) => evaluateCondition(expression, envOf(values)) } }
}

function compileValue(place: Place, value: Json, pointer: string): Template {
  if (typeof value === 'string') {
    const options = { parse: (source: string) => parse(place, source), secrets: false }
    return attempt(place, pointer, () => parseText(value, options)) ?? { type: 'literal', value }
  }
  if (Array.isArray(value)) return foldList(value.map((item, i) => compileValue(place, item, `${pointer}/${i}`)))
  if (!isObject(value)) return { type: 'literal', value }
  return foldObject(Object.keys(value).map((key) => [key, compileValue(place, value[key]!, `${pointer}/${escapePointer(key)}`)]))
}

/** Parses an expression that may mention nothing but the variables of its place. Throws ExpressionSyntaxError. */
function parse({ variables }: Place, source: string): ParsedExpression {
  const expression = parseExpression(source)
  const known = variables.join(', ')
  if (expression.steps.length > 0) throw new ExpressionSyntaxError(`steps are not known here, only ${known}`)
  if (expression.secrets.length > 0) throw new ExpressionSyntaxError('secrets may not stand here')
  const unknown = expression.variables.find((name) => !variables.includes(name))
  if (unknown !== undefined) throw new ExpressionSyntaxError(`unknown variable ${unknown}; known here: ${known}`)
  return expression
}

function attempt<T>(place: Place, pointer: string, compile: () => T): T | undefined {
  try {
    return compile()
  } catch (error) {
    if (!(error instanceof ExpressionSyntaxError)) throw error
    const at = error.offset > 0 ? ` (at character ${error.offset + 1})` : ''
    place.errors.push({ pointer, message: `${error.message}${at}` })
    return undefined
  }
}

function envOf(variables: MappingVariables): Env {
  return {
    // No expression mentions one: they are refused when it is compiled.
    step: () => ({ output: null, status: 'skipped', error: null }),
    variable: (name) => variables[name],
  }
}
