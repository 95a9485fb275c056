/** JSON Schema 2020-12: of inputs, forms, answers. Nothing is ever fetched; patterns are RE2. */
import type { Json, ProblemError } from '@baton/contracts'
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { canonicalJson } from './checksum.ts'
import { escapePointer } from './json-pointers.ts'
import { compilePattern } from './regular-expressions.ts'
import { addWorkKeyword, CHECKS_MAX, countChecks, FURTHER_CHECKS_MAX, TooManyChecks, withChecks } from './schema-work.ts'

/** Problems that one validation tells. */
const PROBLEMS_MAX = 50
const CACHED_MAX = 500

function createAjv(allErrors: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors,
    strict: false,
    // Schemas of different definitions may have the same $id.
    addUsedSchema: false,
    logger: false,
    code: { regExp: Object.assign((pattern: string) => createRegExp(pattern), { code: 're2' }) },
  })
  addFormats.default(ajv)
  addWorkKeyword(ajv)
  ajv.removeKeyword('uniqueItems')
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: areUnique,
    error: { message: 'must not have items that are equal' },
  })
  return ajv
}

function createRegExp(pattern: string): { test(text: string): boolean; toString(): string } {
  const compiled = compilePattern(pattern)
  // The library tells patterns apart by their text: without it, all of them would be the first one.
  return { test: (text) => compiled.test(text), toString: () => `/${pattern}/` }
}

/** In one pass; the library compares all pairs. */
function areUnique(wanted: boolean, list: Json[]): boolean {
  return !wanted || new Set(list.map(canonicalJson)).size === list.length
}

/** Stops at the first problem: the usual answer is that there is none, and collecting problems may cost without end. */
const quick = createAjv(false)
/** Looks for all problems, with far less work to spend. */
const thorough = createAjv(true)

interface Validators {
  quick: ValidateFunction
  /** Compiled when the first value does not match. */
  thorough(): ValidateFunction
}

const byObject = new WeakMap<object, Validators>()
const byText = new Map<string, Validators>()

/** The compiled schema, from the cache when it was seen. Throws an Error that says what is wrong with it. */
function compileSchema(schema: Json): Validators {
  const object: object = typeof schema === 'object' && schema !== null ? schema : { allOf: [schema] }
  const known = byObject.get(object)
  if (known) return known
  const text = canonicalJson(object as Json)
  let validators = byText.get(text)
  if (!validators) {
    validators = compileBoth(countChecks(object as Json) as object)
    if (byText.size >= CACHED_MAX) byText.delete(byText.keys().next().value!)
    byText.set(text, validators)
  }
  byObject.set(object, validators)
  return validators
}

function compileBoth(schema: object): Validators {
  let full: ValidateFunction | undefined
  return {
    quick: compileWith(quick, schema),
    thorough: () => {
      full ??= compileWith(thorough, schema)
      return full
    },
  }
}

/** The library keeps every schema for ever if it is let. */
function compileWith(ajv: Ajv2020, schema: object): ValidateFunction {
  try {
    return ajv.compile(schema)
  } finally {
    ajv.removeSchema(schema)
  }
}

/** What is wrong with a schema itself; pointers are relative to it. */
export function checkSchema(schema: Json): ProblemError[] {
  if (typeof schema === 'object' && schema !== null && '$async' in schema) return [{ pointer: '/$async', message: 'unknown key "$async"' }]
  if (typeof schema !== 'boolean' && !thorough.validateSchema(schema as object)) return firstOfEachPlace(problemsOf(thorough.errors, ''))
  try {
    compileSchema(schema)
    return []
  } catch (error) {
    const patterns = badPatterns(schema, '')
    return patterns.length > 0 ? patterns : [{ pointer: '', message: `not a usable JSON Schema: ${(error as Error).message}` }]
  }
}

/** The first complaint about a place says it; the others are of branches of the meta schema. */
function firstOfEachPlace(problems: ProblemError[]): ProblemError[] {
  return problems.filter((problem, i) => problems.findIndex((other) => other.pointer === problem.pointer) === i)
}

/** Keywords whose value is data, not schemas. */
const DATA_KEYWORDS: ReadonlySet<string> = new Set(['enum', 'const', 'default', 'examples'])

/** Patterns that RE2 does not take, each at its own place. */
function badPatterns(schema: Json, pointer: string): ProblemError[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([key, value]): ProblemError[] => {
    const at = `${pointer}/${escapePointer(key)}`
    if (key === 'pattern' && typeof value === 'string') return patternProblem(value, at)
    const names = key === 'patternProperties' && typeof value === 'object' && value !== null ? Object.keys(value) : []
    const own = names.flatMap((name) => patternProblem(name, `${at}/${escapePointer(name)}`))
    return DATA_KEYWORDS.has(key) ? [] : [...own, ...badPatterns(value, at)]
  })
}

function patternProblem(pattern: string, pointer: string): ProblemError[] {
  try {
    compilePattern(pattern)
    return []
  } catch (error) {
    return [{ pointer, message: `not an RE2 pattern: ${(error as Error).message}` }]
  }
}

/** What keeps a value from matching a schema; `at` goes before the pointers. A schema that cannot be used is one problem. */
export function validateAgainst(schema: Json, value: Json, at: string): ProblemError[] {
  try {
    const validators = compileSchema(schema)
    const { quick: first } = validators
    if (withChecks(CHECKS_MAX, () => first(value))) return []
    return allProblems(validators, value, at) ?? problemsOf(first.errors, at)
  } catch (error) {
    return [{ pointer: at, message: `the schema cannot be used: ${(error as Error).message}` }]
  }
}

/** All problems, or undefined when looking for them takes too much. */
function allProblems(validators: Validators, value: Json, at: string): ProblemError[] | undefined {
  const validate = validators.thorough()
  try {
    withChecks(FURTHER_CHECKS_MAX, () => validate(value))
    return problemsOf(validate.errors, at)
  } catch (error) {
    if (error instanceof TooManyChecks) return undefined
    throw error
  }
}

function problemsOf(errors: ErrorObject[] | null | undefined, at: string): ProblemError[] {
  return (errors ?? [])
    .slice(0, PROBLEMS_MAX)
    .map((error) => ({ pointer: at + error.instancePath + ownPlace(error), message: messageOf(error) }))
}

/** Missing and unknown properties are told at their own place. */
function ownPlace(error: ErrorObject): string {
  const { missingProperty, additionalProperty, unevaluatedProperty } = error.params as Record<string, string | undefined>
  const name = missingProperty ?? additionalProperty ?? unevaluatedProperty
  return name === undefined ? '' : `/${escapePointer(name)}`
}

function messageOf(error: ErrorObject): string {
  switch (error.keyword) {
    case 'required':
      return 'is required'
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return 'is not a known property'
    case 'enum':
      return `must be one of ${JSON.stringify((error.params as { allowedValues: Json }).allowedValues).slice(0, 200)}`
    case 'const':
      return `must be ${JSON.stringify((error.params as { allowedValue: Json }).allowedValue).slice(0, 200)}`
    default:
      return error.message ?? 'is not valid'
  }
}
