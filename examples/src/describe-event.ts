/** Events as lines for people. */
import type { CloudEvent, Json } from '@baton/client'

const TYPE_WIDTH = 20
const SUBJECT_WIDTH = 10
const DETAIL_CHARS_MAX = 100

/** `#4  +0.21s  step.succeeded  order  {"id":"big",…}`; `since` is when the clock of the lines began, in ms since 1970. */
export function describeEvent(event: CloudEvent, since: number): string {
  const seconds = ((Date.parse(event.time) - since) / 1_000).toFixed(2)
  const type = event.type.replace('dev.baton.', '').padEnd(TYPE_WIDTH)
  const subject = (event.subject ?? '').padEnd(SUBJECT_WIDTH)
  return `#${String(event.seq).padEnd(3)} ${seconds.padStart(6)}s  ${type} ${subject} ${detailOf(event)}`.trimEnd()
}

function detailOf(event: CloudEvent): string {
  const { title, decision, assignees, error, output } = event.data as Record<string, Json | undefined>
  if (event.type.endsWith('approval.opened')) return `${textOf(title)} — ${textOf(assignees)}`
  if (event.type.endsWith('approval.decided')) return textOf(decision)
  if (error !== undefined && error !== null) return textOf(error)
  const body = isObject(output) && isObject(output.body) ? output.body : output
  return body === undefined || body === null ? '' : textOf(body)
}

function textOf(value: Json | undefined): string {
  const text = typeof value === 'string' ? value : Array.isArray(value) ? value.join(', ') : JSON.stringify(value ?? null)
  return text.length > DETAIL_CHARS_MAX ? `${text.slice(0, DETAIL_CHARS_MAX)}…` : text
}

function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
