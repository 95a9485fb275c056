/** What mappings see of a delivery to a webhook, and what names it. */
import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type Json, LIMITS, type Verify } from '@baton/contracts'
import { parseJson } from './parse-json.ts'
import { mediaTypeOf } from './read-cloud-events.ts'
import { isStorable } from './storable.ts'

export const DELIVERY_VARIABLES = ['body', 'headers', 'query'] as const
export type DeliveryVariables = Record<(typeof DELIVERY_VARIABLES)[number], Json>

/** Credentials of whoever stands between; a run would keep them. */
const WITHHELD = new Set(['authorization', 'proxy-authorization', 'cookie'])

/** Body, headers and query as mappings see them. Throws 400 for JSON that is none. */
export function readDelivery(request: { headers: IncomingHttpHeaders; body: Buffer; query: unknown }): DeliveryVariables {
  const { headers, body, query } = request
  const shown = Object.entries(headers).filter(([name, value]) => value !== undefined && !WITHHELD.has(name))
  return {
    body: readBody(headers['content-type'], body),
    headers: Object.fromEntries(shown) as Json,
    query: { ...(query as object) } as Json,
  }
}

/** JSON as it is, forms as objects (also the JSON in their field `payload`), text as text, nothing as null, the rest in base64. */
function readBody(contentType: string | undefined, body: Buffer): Json {
  if (body.length === 0) return null
  const type = mediaTypeOf(contentType)
  if (/^[\w.+-]+\/(?:[\w.-]+\+)?json$/.test(type) || type === '') return parseJson(body)
  if (type === 'application/x-www-form-urlencoded') return readForm(body)
  return type.startsWith('text/') || type.endsWith('xml') ? body.toString('utf8') : body.toString('base64')
}

function readForm(body: Buffer): Json {
  const fields = new URLSearchParams(body.toString('utf8'))
  const payload = fields.get('payload')
  if (payload !== null && [...fields.keys()].length === 1) return parseJson(Buffer.from(payload))
  const form: [string, Json][] = [...new Set(fields.keys())].map((name) => {
    const values = fields.getAll(name)
    return [name, values.length === 1 ? values[0]! : values]
  })
  return Object.fromEntries(form)
}

/** What names this delivery, so that it starts one run however often it comes; undefined when nothing does. */
export function deliveryIdOf(verify: Verify, deliveryHeader: string | undefined, { headers, body }: DeliveryVariables): string | undefined {
  const given = deliveryHeader === undefined ? ownIdOf(verify, { headers, body }) : fieldOf(headers, deliveryHeader.toLowerCase())
  if (typeof given !== 'string' || given === '') return undefined
  if (given.length <= LIMITS.idempotencyKeyCharsMax && isStorable(given)) return given
  return `sha256:${createHash('sha256').update(given).digest('hex')}`
}

function ownIdOf(verify: Verify, { headers, body }: Pick<DeliveryVariables, 'headers' | 'body'>): Json | undefined {
  if (verify === 'none') return undefined
  if ('github' in verify) return fieldOf(headers, 'x-github-delivery')
  if ('stripe' in verify) return fieldOf(body, 'id')
  return 'slack' in verify ? fieldOf(body, 'event_id') : undefined
}

function fieldOf(value: Json, name: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

/** The answer that Slack waits for when it is given the address. */
export function challengeOf(verify: Verify, body: Json): string | undefined {
  if (verify === 'none' || !('slack' in verify) || fieldOf(body, 'type') !== 'url_verification') return undefined
  const challenge = fieldOf(body, 'challenge')
  return typeof challenge === 'string' ? challenge : undefined
}
