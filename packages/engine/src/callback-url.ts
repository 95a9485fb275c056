/**
 * `callback.url`: an address that only whoever is called may know, so it stands in no event, no job and no view. While a request is rendered a
 * mark that nobody can have written stands in its place; what is recorded says where it belongs, as for secrets, and the worker puts it there.
 */
import type { Json, RequestSlot } from '@baton/contracts'
import { put } from './cel-values.ts'
import type { Deciding } from './deciding.ts'
import { ExpressionError } from './expression-error.ts'
import { escapePointer } from './json-pointers.ts'
import type { Env, Template } from './plan.ts'
import { renderWithSecrets } from './templates.ts'

/** What readers see where the address belongs. */
const SHOWN = '${{ callback.url }}'

/** Renders the request of a step with a callback. Throws ExpressionError. */
export function renderWithCallback(d: Deciding, request: Template, env: Env): { value: Json; secrets: RequestSlot[] } {
  const mark = `https://callback.invalid/${d.ctx.newUuid()}`
  const callback = { url: mark }
  const { value, secrets } = renderWithSecrets(request, {
    ...env,
    variable: (name) => (name === 'callback' ? callback : env.variable(name)),
  })
  const slots = new Map<string, RequestSlot>(secrets.map((slot) => [slot.pointer, slot]))
  return { value: withoutMark(value, '', mark, slots), secrets: [...slots.values()] }
}

/** The value as it is shown; `slots` gets the places of the mark. */
function withoutMark(value: Json, pointer: string, mark: string, slots: Map<string, RequestSlot>): Json {
  if (typeof value === 'string') return value.includes(mark) ? withoutMarkIn(value, pointer, mark, slots) : value
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item, i) => withoutMark(item, `${pointer}/${i}`, mark, slots))
  const shown: Record<string, Json> = {}
  for (const [key, item] of Object.entries(value)) {
    if (key.includes(mark)) throw new ExpressionError('callback.url cannot be the name of a field')
    put(shown, key, withoutMark(item, `${pointer}/${escapePointer(key)}`, mark, slots))
  }
  return shown
}

function withoutMarkIn(text: string, pointer: string, mark: string, slots: Map<string, RequestSlot>): string {
  const parts = slots.get(pointer)?.parts ?? [text]
  slots.set(pointer, { pointer, parts: parts.flatMap((part) => (typeof part === 'string' ? partsOf(part, mark) : [part])) })
  return text.replaceAll(mark, SHOWN)
}

function partsOf(text: string, mark: string): RequestSlot['parts'] {
  const parts: RequestSlot['parts'] = []
  for (const [i, piece] of text.split(mark).entries()) {
    if (i > 0) parts.push({ callback: 'url' })
    if (piece !== '') parts.push(piece)
  }
  return parts
}
