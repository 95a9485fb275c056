/** Texts and JSON values with `${{ … }}` in them. */
import type { Json, SecretSlot } from '@baton/contracts'
import { put } from './cel-values.ts'
import { ExpressionError, ExpressionSyntaxError, limitError } from './expression-error.ts'
import type { ParsedExpression } from './expressions.ts'
import { escapePointer } from './json-pointers.ts'
import type { Env, Expression, Template } from './plan.ts'

/** Where an expression stands in a text: `source` between `start` (of `${{`) and `end` (behind `}}`). */
export interface TextPart {
  source: string
  /** Index of the first character of `source` in the text. */
  offset: number
}

/**
 * Splits a text at its `${{ … }}`. An expression ends at the first `}}` outside strings and brackets; `$${{` is a literal `${{`. Throws
 * ExpressionSyntaxError when one has no end.
 */
export function splitText(text: string): (string | TextPart)[] {
  const parts: (string | TextPart)[] = []
  let literal = ''
  let at = 0
  for (;;) {
    const open = text.indexOf('${{', at)
    if (open === -1) break
    literal += text.slice(at, open)
    if (open > at && text[open - 1] === '$') {
      // `$${{`: the first `$` is in `literal` already and goes, the rest stays.
      literal = `${literal.slice(0, -1)}\${{`
      at = open + 3
      continue
    }
    const close = endOfExpression(text, open + 3)
    if (close === -1) throw new ExpressionSyntaxError('${{ has no }}', open)
    if (literal !== '') parts.push(literal)
    literal = ''
    parts.push({ source: text.slice(open + 3, close), offset: open + 3 })
    at = close + 2
  }
  literal += text.slice(at)
  if (literal !== '' || parts.length === 0) parts.push(literal)
  return parts
}

/** Index of the `}}` that ends the expression that begins at `from`, or -1. */
function endOfExpression(text: string, from: number): number {
  let depth = 0
  let at = from
  while (at < text.length) {
    const char = text[at]!
    if (char === '"' || char === "'") {
      at = endOfString(text, at)
      continue
    }
    if (char === '/' && text[at + 1] === '/') {
      const end = text.indexOf('\n', at)
      // A comment hides a `}}` only when more lines follow.
      if (end !== -1) {
        at = end
        continue
      }
    }
    if (char === '}' && depth === 0 && text[at + 1] === '}') return at
    if (char === '(' || char === '[' || char === '{') depth += 1
    else if (char === ')' || char === ']' || char === '}') depth = Math.max(0, depth - 1)
    at += 1
  }
  return -1
}

/** Index behind the string that begins at `at`. As the parser reads it: a backslash hides the next character, in raw strings too. */
function endOfString(text: string, at: number): number {
  const char = text[at]!
  const quote = text.startsWith(char.repeat(3), at) ? char.repeat(3) : char
  let end = at + quote.length
  while (end < text.length) {
    if (text[end] === '\\') end += 2
    else if (text.startsWith(quote, end)) return end + quote.length
    else end += 1
  }
  return text.length
}

/** The text that a value becomes inside a longer one. */
export function textOf(value: Json): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** What one rendering may make, in bytes of JSON, so that a few lines cannot ask for gigabytes. */
const RENDERED_BYTES_MAX = 64 * 1024 * 1024
const sizes = new WeakMap<object, number>()

/** About the length of the JSON of a value; counted once per object. */
function sizeOf(value: Json): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 8
  const known = sizes.get(value)
  if (known !== undefined) return known
  let size = 2
  if (Array.isArray(value)) for (const item of value) size += sizeOf(item) + 1
  else for (const key of Object.keys(value)) size += key.length + 4 + sizeOf(value[key]!)
  sizes.set(value, size)
  return size
}

interface Rendering {
  env: Env
  left: number
  secrets: SecretSlot[] | undefined
}

function spend(rendering: Rendering, bytes: number): void {
  rendering.left -= bytes
  if (rendering.left < 0) throw limitError('the rendered value is too large')
}

/** Renders a template without secrets. Throws ExpressionError. */
export function renderTemplate(template: Template, env: Env): Json {
  if (template.type === 'expression') return template.expression.evaluate(env)
  if (template.type === 'literal') return template.value
  return renderAll(template, { env, left: RENDERED_BYTES_MAX, secrets: undefined })
}

/** Renders a template; in `value` a secret stands as `${{ secrets.X }}`, and `secrets` says where each belongs. Throws ExpressionError. */
export function renderWithSecrets(template: Template, env: Env): { value: Json; secrets: SecretSlot[] } {
  const secrets: SecretSlot[] = []
  const value = renderAll(template, { env, left: RENDERED_BYTES_MAX, secrets })
  return { value, secrets }
}

function renderAll(template: Template, rendering: Rendering): Json {
  try {
    return render(template, rendering, '')
  } catch (error) {
    if (error instanceof RangeError) throw limitError('the rendered value is too large or too deep')
    throw error
  }
}

function render(template: Template, rendering: Rendering, pointer: string): Json {
  switch (template.type) {
    case 'literal':
      return template.value
    case 'expression': {
      const value = template.expression.evaluate(rendering.env)
      spend(rendering, sizeOf(value))
      return value
    }
    case 'text':
      return template.parts.map((part) => renderPart(part, rendering)).join('')
    case 'secret':
      return renderSecret(template.parts, rendering, pointer)
    case 'list':
      return template.items.map((item, i) => render(item, rendering, `${pointer}/${i}`))
    case 'object':
      return renderObject(template.entries, rendering, pointer)
  }
}

function renderObject(entries: readonly (readonly [string, Template])[], rendering: Rendering, pointer: string): Json {
  const object: Record<string, Json> = {}
  for (const [key, entry] of entries) put(object, key, render(entry, rendering, `${pointer}/${escapePointer(key)}`))
  return object
}

function renderPart(part: string | Expression, rendering: Rendering): string {
  if (typeof part === 'string') return part
  const value = part.evaluate(rendering.env)
  spend(rendering, sizeOf(value))
  return textOf(value)
}

type SecretPart = string | Expression | { secret: string }
function isSecretPart(part: SecretPart): part is { secret: string } {
  return typeof part === 'object' && 'secret' in part && !('evaluate' in part)
}

function renderSecret(parts: readonly SecretPart[], rendering: Rendering, pointer: string): string {
  if (!rendering.secrets) throw new ExpressionError('secrets may not stand here')
  const rendered: SecretSlot['parts'] = []
  for (const part of parts) {
    if (isSecretPart(part)) {
      rendered.push({ secret: part.secret })
      continue
    }
    const text = renderPart(part, rendering)
    const last = rendered.at(-1)
    if (typeof last === 'string') rendered[rendered.length - 1] = last + text
    else if (text !== '') rendered.push(text)
  }
  rendering.secrets.push({ pointer, parts: rendered })
  return rendered.map((part) => (typeof part === 'string' ? part : `\${{ secrets.${part.secret} }}`)).join('')
}

/** How a text is read: `parse` gives its expressions (and checks what they mention), `secrets` whether those may stand in it. */
export interface TextOptions {
  parse(source: string, offset: number): ParsedExpression
  secrets: boolean
  /** True when the result must be text even if it is exactly one expression. */
  asText?: boolean
}

/** The template of a text. Throws ExpressionSyntaxError. */
export function parseText(text: string, options: TextOptions): Template {
  if (!text.includes('${{')) return { type: 'literal', value: text }
  const parts = splitText(text).map((part) => (typeof part === 'string' ? part : parsePart(part, options)))
  if (parts.every((part) => typeof part === 'string')) return { type: 'literal', value: parts.join('') }
  if (parts.some((part) => typeof part === 'object' && isSecretPart(part))) return { type: 'secret', parts }
  const plain = parts as (string | ParsedExpression)[]
  const [only] = plain
  if (plain.length === 1 && typeof only === 'object' && !options.asText) return { type: 'expression', expression: only }
  return { type: 'text', parts: plain }
}

function parsePart(part: TextPart, options: TextOptions): ParsedExpression | { secret: string } {
  const expression = options.parse(part.source.trim(), part.offset)
  if (expression.secrets.length === 0) return expression
  if (!options.secrets) {
    throw new ExpressionSyntaxError(
      'secrets may stand only in http url, headers, query, body and auth, agent tool settings and notify',
      part.offset,
    )
  }
  if (expression.secret === undefined) {
    throw new ExpressionSyntaxError('a secret stands alone: ${{ secrets.NAME }}, not inside an expression', part.offset)
  }
  return { secret: expression.secret }
}

/** The expression of a condition: bare, or as one `${{ … }}`. Throws ExpressionSyntaxError. */
export function conditionSource(text: string): TextPart {
  const trimmed = text.trim()
  if (!trimmed.startsWith('${{')) return { source: trimmed, offset: text.indexOf(trimmed) }
  const parts = splitText(trimmed)
  const [only] = parts
  if (parts.length !== 1 || typeof only !== 'object') {
    throw new ExpressionSyntaxError('write one expression, with or without ${{ }} around all of it', 0)
  }
  return { source: only.source.trim(), offset: text.indexOf(trimmed) + only.offset }
}
