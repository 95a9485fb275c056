/** Values that fit a JSON Schema, always the same ones: what mock models answer with. */
import type { Json } from '@baton/contracts'

type Schema = { [key: string]: Json }

const DEPTH_MAX = 12
const FORMATS: Record<string, string> = {
  'date-time': '2026-01-01T00:00:00.000Z',
  date: '2026-01-01',
  time: '00:00:00Z',
  duration: 'PT1M',
  email: 'mock@example.com',
  uri: 'https://example.com/mock',
  uuid: '00000000-0000-4000-8000-000000000000',
  ipv4: '192.0.2.1',
  hostname: 'example.com',
}

/** A value for `schema`: every property filled, the first of every choice, the smallest of every range. `name` goes into its texts. */
export function sampleValue(schema: Json, name = 'answer'): Json {
  return sample(schema, name, schema, 0)
}

function sample(schema: Json, name: string, root: Json, depth: number): Json {
  if (!isObject(schema) || depth > DEPTH_MAX) return `mock ${name}`
  if (typeof schema.$ref === 'string') return sample(followRef(schema.$ref, root), name, root, depth + 1)
  if ('const' in schema) return schema.const!
  for (const key of ['enum', 'examples']) {
    const choices = schema[key]
    if (Array.isArray(choices) && choices.length > 0) return choices[0]!
  }
  if ('default' in schema) return schema.default!
  const merged = mergeParts(schema, root)
  return sampleOfType(typeOf(merged), merged, name, root, depth)
}

function sampleOfType(type: string, schema: Schema, name: string, root: Json, depth: number): Json {
  switch (type) {
    case 'object':
      return sampleObject(schema, root, depth)
    case 'array':
      return sampleArray(schema, name, root, depth)
    case 'integer':
    case 'number':
      return sampleNumber(schema, type)
    case 'boolean':
      return true
    case 'null':
      return null
    default:
      return sampleText(schema, name)
  }
}

/** `allOf` is laid over the schema, `anyOf` and `oneOf` by their first choice. */
function mergeParts(schema: Schema, root: Json): Schema {
  const parts = [listOf(schema.allOf), listOf(schema.anyOf).slice(0, 1), listOf(schema.oneOf).slice(0, 1)].flat()
  let merged: Schema = { ...schema }
  for (const part of parts) {
    const known = isObject(part) && typeof part.$ref === 'string' ? followRef(part.$ref, root) : part
    if (!isObject(known)) continue
    const properties = {
      ...(isObject(merged.properties) ? merged.properties : {}),
      ...(isObject(known.properties) ? known.properties : {}),
    }
    merged = { ...merged, ...known, ...(Object.keys(properties).length > 0 ? { properties } : {}) }
  }
  return merged
}

function typeOf(schema: Schema): string {
  if (Array.isArray(schema.type)) return String(schema.type.find((type) => type !== 'null') ?? 'null')
  if (typeof schema.type === 'string') return schema.type
  if ('properties' in schema || 'required' in schema) return 'object'
  return 'items' in schema || 'prefixItems' in schema ? 'array' : 'string'
}

function sampleObject(schema: Schema, root: Json, depth: number): Json {
  const properties = isObject(schema.properties) ? schema.properties : {}
  const value: { [key: string]: Json } = {}
  for (const [key, inner] of Object.entries(properties)) value[key] = sample(inner, key, root, depth + 1)
  for (const key of listOf(schema.required)) {
    if (typeof key === 'string' && !(key in value)) value[key] = `mock ${key}`
  }
  return value
}

function sampleArray(schema: Schema, name: string, root: Json, depth: number): Json {
  const first = listOf(schema.prefixItems).map((item, index) => sample(item, `${name} ${index + 1}`, root, depth + 1))
  const length = Math.max(first.length, typeof schema.minItems === 'number' ? schema.minItems : 1)
  const rest = Array.from({ length: length - first.length }, (_, index) =>
    sample(schema.items ?? {}, `${name} ${first.length + index + 1}`, root, depth + 1),
  )
  return [...first, ...rest]
}

function sampleNumber(schema: Schema, type: string): number {
  const step = typeof schema.multipleOf === 'number' ? schema.multipleOf : 1
  if (typeof schema.minimum === 'number') return Math.ceil(schema.minimum / step) * step
  if (typeof schema.exclusiveMinimum === 'number') return (Math.floor(schema.exclusiveMinimum / step) + 1) * step
  const max = typeof schema.maximum === 'number' ? schema.maximum : Number.POSITIVE_INFINITY
  if (max < step) return type === 'integer' ? Math.floor(max / step) * step : max
  return step
}

function sampleText(schema: Schema, name: string): string {
  const format = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined
  if (format !== undefined) return format
  const min = typeof schema.minLength === 'number' ? schema.minLength : 0
  const max = typeof schema.maxLength === 'number' ? schema.maxLength : Number.POSITIVE_INFINITY
  return `mock ${name}`.padEnd(min, '.').slice(0, max)
}

/** `#/$defs/x`; anything else gives an empty schema. */
function followRef(ref: string, root: Json): Json {
  if (!ref.startsWith('#')) return {}
  let found: Json | undefined = root
  for (const part of ref.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    found = isObject(found) ? found[key] : undefined
  }
  return found ?? {}
}

function listOf(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : []
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
