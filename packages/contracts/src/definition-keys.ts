/** Every key of a definition as a row: for docs/reference, and for the test that each of them stands in an example. */
import { z } from 'zod'
import { CommonKeys, Definition, KIND_BODIES, TYPE_NAMES } from './definition.ts'
import { STEP_KINDS, type StepKind } from './states.ts'
import { UNSUPPORTED } from './supported.ts'

/** One key. */
export interface DefinitionKey {
  /** Names from the body down, joined by dots: `auth.oauth2.scope`; lists add nothing. */
  path: string
  /** In words of users. */
  type: string
  /** The values of a choice; empty where any value of the type may stand. */
  values: readonly string[]
  /** What stands when it is left out, as JSON. */
  standard?: string
  isRequired: boolean
  meaning: string
}

type Def = { innerType?: z.ZodType; element?: z.ZodType; options?: z.ZodType[]; entries?: Record<string, string>; values?: unknown[] }
const defOf = (schema: z.ZodType) => schema._zod.def as unknown as Def & { type: string; shape?: z.ZodRawShape; defaultValue?: unknown }

/** The keys of an object, each followed by those inside it. Steps are not looked into. */
export function keysOf(schema: z.ZodType, prefix = ''): DefinitionKey[] {
  const shape = defOf(schema).shape
  if (!shape) return []
  return Object.entries(shape).flatMap(([key, value]) => keyAndInner(`${prefix}${key}`, value as z.ZodType))
}

/** The keys of a body that this version runs. */
export function runningKeysOf(kind: StepKind): DefinitionKey[] {
  return keysOf(KIND_BODIES[kind]).filter(({ path }) => runs(`${kind}.${path}`))
}

/** The kinds that this version runs. */
export function runningKinds(): StepKind[] {
  return STEP_KINDS.filter(runs)
}

/** The keys at the top of a definition. */
export function topKeys(): DefinitionKey[] {
  return keysOf(Definition)
}

/** The keys of every step beside its kind. */
export function commonKeys(): DefinitionKey[] {
  return keysOf(CommonKeys)
}

/** False when the table of what is refused has the name, or what it is part of. */
function runs(name: string): boolean {
  return !UNSUPPORTED.some((feature) => name === feature || name.startsWith(`${feature}.`))
}

function keyAndInner(path: string, written: z.ZodType): DefinitionKey[] {
  const { schema, standard, isOptional } = unwrap(written)
  const key: DefinitionKey = {
    path,
    type: typeOf(schema),
    values: valuesOf(schema),
    ...(standard === undefined ? {} : { standard: JSON.stringify(standard) }),
    isRequired: !isOptional,
    meaning: (z.globalRegistry.get(written) ?? z.globalRegistry.get(schema))?.description ?? '',
  }
  const inner = innerObjects(schema)
  const keys = inner.flatMap((object) => keysOf(object, `${path}.`))
  // Of several objects that it may be, each has its own keys: none of them has to be there.
  return [key, ...(inner.length > 1 ? keys.map((own) => (depthOf(own) === depthOf(key) + 1 ? { ...own, isRequired: false } : own)) : keys)]
}

function depthOf({ path }: DefinitionKey): number {
  return path.split('.').length
}

/** What stands inside `optional` and `default`. */
function unwrap(written: z.ZodType): { schema: z.ZodType; standard?: unknown; isOptional: boolean } {
  let schema = written
  let standard: unknown
  let isOptional = false
  for (let def = defOf(schema); def.type === 'optional' || def.type === 'default'; def = defOf(schema)) {
    isOptional = true
    if (def.type === 'default') standard = def.defaultValue
    schema = def.innerType!
  }
  return { schema, ...(standard === undefined ? {} : { standard }), isOptional }
}

/** The objects with keys of their own that a value may be, or be a list of. Types with a name are not looked into. */
function innerObjects(schema: z.ZodType): z.ZodType[] {
  if (TYPE_NAMES.get(schema)) return []
  const { type, element, options } = defOf(schema)
  if (type === 'object') return [schema]
  if (type === 'array') return innerObjects(unwrap(element!).schema)
  // A list beside the same thing alone has no keys that the other has not.
  const seen = new Set<string>()
  return (options ?? []).flatMap(innerObjects).filter((inner) => {
    const names = Object.keys(defOf(inner).shape!).join()
    return !seen.has(names) && seen.add(names)
  })
}

function valuesOf(schema: z.ZodType): string[] {
  if (TYPE_NAMES.get(schema)) return []
  const { type, entries, values, options } = defOf(schema)
  if (type === 'enum') return Object.values(entries!)
  if (type === 'literal') return values!.map(String)
  if (type === 'boolean') return ['true', 'false']
  const of = [...new Set((options ?? []).flatMap(valuesOf))]
  // Where true and false are other words for a choice, the choice says it all.
  const words = of.filter((value) => value !== 'true' && value !== 'false')
  return words.length > 0 ? words : of
}

/** The type in words. */
function typeOf(schema: z.ZodType): string {
  const name = TYPE_NAMES.get(schema)?.name
  const { type, element, options, entries, values } = defOf(schema)
  if (name) return `${name}${boundsOf(schema)}`
  switch (type) {
    case 'lazy':
      return typeOf((schema as z.ZodLazy<z.ZodType>).unwrap())
    case 'enum':
      return Object.values(entries!).map(quoted).join(', ')
    case 'literal':
      return values!.map(quoted).join(', ')
    case 'array':
      return `list of ${bracketed(typeOf(element!))}${boundsOf(schema)}`
    case 'union':
      return [...new Set(options!.map(typeOf))].join(' or ')
    case 'boolean':
      return 'true or false'
    case 'object':
    case 'record':
      return 'object'
    case 'string':
      return `plain text${boundsOf(schema)}`
    case 'number':
      return `${isInteger(schema) ? 'whole number' : 'number'}${boundsOf(schema)}`
    default:
      return type
  }
}

function quoted(value: unknown): string {
  return `\`${String(value)}\``
}

function bracketed(type: string): string {
  return type.includes(' or ') ? `(${type})` : type
}

function isInteger(schema: z.ZodType): boolean {
  return z.toJSONSchema(schema).type === 'integer'
}

/** ` (1–100)`, ` (up to 200 characters)`; nothing where there is no bound worth telling. */
function boundsOf(schema: z.ZodType): string {
  const found = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as Record<string, number | undefined>
  const { minimum, exclusiveMinimum, maxLength, maxItems } = found
  const maximum = found.maximum === Number.MAX_SAFE_INTEGER ? undefined : found.maximum
  if (maxLength !== undefined) return ` (up to ${maxLength} characters)`
  if (maxItems !== undefined) return ` (up to ${maxItems})`
  if (minimum !== undefined && maximum !== undefined) return ` (${minimum}–${maximum})`
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) return ` (${minimum} or more)`
  if (exclusiveMinimum !== undefined) return ` (above ${exclusiveMinimum}${maximum === undefined ? '' : `, up to ${maximum}`})`
  return ''
}
