/** Makes the generated OpenAPI document smaller and plainer: nothing in it changes what it allows, save the patterns of times. */
type Node = { [key: string]: unknown } | unknown[]

const SAFE_MAX = Number.MAX_SAFE_INTEGER
const REF = '#/components/schemas/'

/** Drops the noise of generated schemas, joins shapes that are the same coming in and going out, and leaves out unused ones. */
export function tidyOpenApi<T extends object>(document: T): T {
  const tidy = walk(document, dropNoise) as T & { components?: { schemas?: Record<string, object> } }
  const schemas = tidy.components?.schemas
  if (!schemas) return tidy
  if (schemas.Json) schemas.Json = { description: 'any JSON value' }
  if (schemas.JsonInput) schemas.JsonInput = { description: 'any JSON value' }
  const same = new Set(
    Object.keys(schemas).filter((name) => name.endsWith('Input') && textOf(schemas[name]!) === textOf(schemas[name.slice(0, -5)]!)),
  )
  const joined = walk(tidy, (node) => {
    if (!('$ref' in node) || typeof node.$ref !== 'string') return node
    const name = node.$ref.slice(REF.length)
    return same.has(name) ? { ...node, $ref: REF + name.slice(0, -5) } : node
  }) as typeof tidy
  prune(joined as never)
  return dropSuffixes(joined)
}

/** `DefinitionInput` is `Definition` where nothing else has that name. */
function dropSuffixes<T extends { components?: { schemas?: Record<string, object> } }>(document: T): T {
  const names = new Set(Object.keys(document.components?.schemas ?? {}))
  const alone = [...names].filter((name) => name.endsWith('Input') && !names.has(name.slice(0, -5)))
  let text = JSON.stringify(document)
  for (const name of alone) {
    text = text.replaceAll(`"${REF}${name}"`, `"${REF}${name.slice(0, -5)}"`).replace(`"${name}":`, `"${name.slice(0, -5)}":`)
  }
  return JSON.parse(text) as T
}

function textOf(schema: object | undefined): string {
  return JSON.stringify(schema ?? null).replaceAll(/(#\/components\/schemas\/\w+?)Input"/g, '$1"')
}

function dropNoise(node: Record<string, unknown>): Record<string, unknown> {
  const { maximum, minimum, pattern, propertyNames, ...rest } = node
  if (maximum !== undefined && maximum !== SAFE_MAX) rest.maximum = maximum
  if (minimum !== undefined && minimum !== -SAFE_MAX) rest.minimum = minimum
  if (pattern !== undefined && node.format !== 'date-time') rest.pattern = pattern
  if (propertyNames !== undefined && JSON.stringify(propertyNames) !== '{"type":"string"}') rest.propertyNames = propertyNames
  return rest
}

function walk(value: unknown, change: (node: Record<string, unknown>) => Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => walk(item, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(change(value as Record<string, unknown>)).map(([key, item]) => [key, walk(item, change)]))
}

/** Leaves only the schemas that something refers to. */
function prune(document: { paths?: Node; components: { schemas: Record<string, object> } }): void {
  const { schemas } = document.components
  const used = new Set<string>()
  const visit = (value: unknown) => {
    for (const [, name] of JSON.stringify(value ?? null).matchAll(/#\/components\/schemas\/(\w+)"/g)) {
      if (used.has(name!)) continue
      used.add(name!)
      visit(schemas[name!])
    }
  }
  visit(document.paths)
  document.components.schemas = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)))
}
