/**
 * A bound on what one validation does. A few lines of JSON Schema can ask for an endless number of checks (`allOf` of two references to the
 * next of sixty), so every subschema gets a keyword of ours that counts.
 */
import type { Json } from '@baton/contracts'
import type { Ajv } from 'ajv'
import { segmentsOf } from './json-pointers.ts'

/** Checks of one validation, and of the second one that only looks for further problems. */
export const CHECKS_MAX = 1_000_000
export const FURTHER_CHECKS_MAX = 100_000

const KEYWORD = 'baton-checks'
let left = CHECKS_MAX

/** A validation did more than it may. */
export class TooManyChecks extends Error {}

/** Adds the counting keyword. */
export function addWorkKeyword(ajv: Ajv): void {
  ajv.addKeyword({
    keyword: KEYWORD,
    schemaType: 'number',
    errors: false,
    validate(checks: number) {
      left -= checks
      if (left < 0) throw new TooManyChecks('it takes more checks than a validation may do')
      return true
    },
  })
}

/** Runs a validation with a new account. */
export function withChecks<T>(checksMax: number, run: () => T): T {
  left = checksMax
  return run()
}

const SCHEMA_KEYS = [
  'additionalProperties',
  'unevaluatedProperties',
  'items',
  'unevaluatedItems',
  'contains',
  'propertyNames',
  'not',
  'if',
  'then',
  'else',
]
const LIST_KEYS = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const MAP_KEYS = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']

type Schema = Record<string, Json>

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A copy of a schema that counts, in every subschema and in whatever a local `$ref` points at. */
export function countChecks(schema: Json): Json {
  const copy = structuredClone(schema)
  const waiting: unknown[] = [copy]
  const seen = new Set<unknown>()
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (!isSchema(next) || seen.has(next)) continue
    seen.add(next)
    waiting.push(...subschemas(next), ...referred(copy, next))
    next[KEYWORD] = costOf(next)
  }
  return copy
}

function subschemas(schema: Schema): unknown[] {
  return [
    ...SCHEMA_KEYS.map((key) => schema[key]),
    ...LIST_KEYS.flatMap((key) => (Array.isArray(schema[key]) ? schema[key] : [])),
    ...MAP_KEYS.flatMap((key) => (isSchema(schema[key]) ? Object.values(schema[key]) : [])),
  ]
}

function referred(root: Json, schema: Schema): unknown[] {
  const { $ref } = schema
  if (typeof $ref !== 'string' || !$ref.startsWith('#/')) return []
  let at: unknown = root
  for (const segment of segmentsOf($ref.slice(1))) {
    const key = safeDecode(segment)
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as Record<string, unknown>)[key] : undefined
  }
  return [at]
}

function safeDecode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** Checks that one pass over a subschema makes by itself. */
function costOf(schema: Schema): number {
  const lists = [schema.enum, schema.required].filter(Array.isArray).reduce((sum, list) => sum + list.length, 0)
  const maps = [schema.properties, schema.patternProperties].filter(isSchema).reduce((sum, map) => sum + Object.keys(map).length, 0)
  return 1 + lists + maps
}
