/**
 * CloudEvents 1.0 out of a request: structured and batch (JSON Event Format 1.0.2, §3 and §4), and binary (HTTP Protocol Binding 1.0.2, §3.1).
 * Everything that is wrong is told at its place: of a structured event `/source`, of a batch `/3/source`, of a binary one `/headers/ce-source`.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Json, ProblemError } from '@baton/contracts'
import { pointerOf, problem } from '@baton/runtime'
import type { EventToAccept } from '@baton/store'
import { checkEvent, type EventLimits } from './check-event.ts'
import { parseJson } from './parse-json.ts'
import { invalidRequest } from './route.ts'

export const EVENT_TYPES = ['application/cloudevents+json', 'application/cloudevents-batch+json', 'application/json']

export interface EventsLimits extends EventLimits {
  eventsMax: number
}

/** The events of a request, checked. Throws 400, 413, 415 or 422. */
export function readCloudEvents(headers: IncomingHttpHeaders, body: Buffer, limits: EventsLimits): EventToAccept[] {
  const type = mediaTypeOf(headers['content-type'])
  if (type === 'application/cloudevents+json') return [readOne(parseJson(body), '', limits)]
  if (type === 'application/cloudevents-batch+json') return readBatch(parseJson(body), limits)
  if (type.startsWith('application/cloudevents')) throw problem('BTN_MEDIA_TYPE', 'events are taken in JSON, or in binary mode')
  if (Object.keys(headers).some((name) => name.startsWith('ce-'))) return [readBinary(headers, body, limits)]
  if (type !== 'application/json') {
    throw problem(
      'BTN_MEDIA_TYPE',
      `send ${EVENT_TYPES.slice(0, 2).join(' or ')}, or the headers ce-id, ce-source, ce-type and ce-specversion`,
    )
  }
  const value = parseJson(body)
  return Array.isArray(value) ? readBatch(value, limits) : [readOne(value, '', limits)]
}

/** The media type without its parameters, in lower case; '' without one. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase()
}

function readOne(value: Json, at: string, limits: EventLimits): EventToAccept {
  const { event, errors } = checkEvent(value, (name) => at + pointerOf([name]), at, limits)
  if (errors) throw invalidRequest(errors)
  return event
}

function readBatch(value: Json, limits: EventsLimits): EventToAccept[] {
  if (!Array.isArray(value)) throw invalidRequest([{ pointer: '', message: 'a batch is a list of events' }])
  if (value.length > limits.eventsMax) {
    throw invalidRequest([{ pointer: '', message: `has ${value.length} events, more than ${limits.eventsMax} (BATON_EVENTS_BATCH_MAX)` }])
  }
  const checked = value.map((item, index) => checkEvent(item, (name) => `/${index}${pointerOf([name])}`, `/${index}`, limits))
  const errors = checked.flatMap((one) => one.errors ?? [])
  if (errors.length > 0) throw invalidRequest(errors.slice(0, 100))
  return checked.map((one) => one.event!)
}

function readBinary(headers: IncomingHttpHeaders, body: Buffer, limits: EventLimits): EventToAccept {
  const event: Record<string, Json> = {}
  const errors: ProblemError[] = []
  for (const [header, value] of Object.entries(headers)) {
    if (!header.startsWith('ce-') || value === undefined) continue
    const name = header.slice('ce-'.length)
    try {
      event[name] = decodeHeader(String(value))
    } catch {
      errors.push({ pointer: `/headers/${header}`, message: 'is not percent-encoded UTF-8' })
    }
    if (name === 'datacontenttype') errors.push({ pointer: `/headers/${header}`, message: 'is the header content-type in binary mode' })
    if (name === 'data' || name === 'data_base64')
      errors.push({ pointer: `/headers/${header}`, message: 'the data are the body in binary mode' })
  }
  if (errors.length > 0) throw invalidRequest(errors)
  Object.assign(event, dataOf(headers['content-type'], body))
  const checked = checkEvent(event, (name) => (name === 'data' ? '' : `/headers/ce-${name}`), '', limits)
  if (checked.errors) throw invalidRequest(checked.errors)
  return checked.event
}

/** §3.1.3.2: quotes are taken away, then percent-decoding is undone once. Node gives the octets of a header as Latin-1. */
function decodeHeader(value: string): string {
  const text = /^".*"$/s.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : value
  const raw = text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(raw, 'latin1'))
}

const JSON_TYPE = /^[\w.+-]+\/(?:[\w.-]+\+)?json$/
const TEXT_TYPE = /^text\/|^application\/(?:[\w.-]+\+)?(?:xml|yaml|javascript|x-www-form-urlencoded|graphql)$/

/** The body by its media type: JSON as it is, text as text, everything else in base64. */
function dataOf(contentType: string | undefined, body: Buffer): Record<string, Json> {
  if (body.length === 0) return contentType === undefined ? {} : { datacontenttype: contentType }
  if (contentType === undefined) throw problem('BTN_MEDIA_TYPE', 'a body needs a content-type')
  const type = mediaTypeOf(contentType)
  if (JSON_TYPE.test(type)) return { datacontenttype: contentType, data: parseJson(body) }
  if (TEXT_TYPE.test(type)) {
    try {
      return { datacontenttype: contentType, data: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body) }
    } catch {
      // Text in another encoding stays what it is.
    }
  }
  return { datacontenttype: contentType, data_base64: body.toString('base64') }
}
