/** What CloudEvents 1.0.2 asks of the attributes of an event, and what we ask of its size. */
import { EventTypeName, type Json, type ProblemError } from '@baton/contracts'
import { problem } from '@baton/runtime'
import type { EventToAccept } from '@baton/store'
import { z } from 'zod'
import { isDeeperThan } from './read-input.ts'
import { isStorable, UNSTORABLE } from './storable.ts'

export interface EventLimits {
  /** Bytes of the JSON of one event. */
  eventBytesMax: number
  depthMax: number
}

/** `place` gives the pointer of an attribute, `at` is that of the event. */
type Place = (name: string) => string
export type CheckedEvent = { event: EventToAccept; errors?: never } | { errors: ProblemError[]; event?: never }

/** Keys of the index that finds duplicates: together they have to fit into a page of it. */
const KEY_BYTES_MAX = 1_024
const EXTENSION = /^[a-z0-9]{1,20}$/
const INT32_MAX = 2 ** 31 - 1

const text = z
  .string()
  .min(1, 'is empty')
  .refine(isStorable, UNSTORABLE)
  .refine((value) => !/\p{Cc}/u.test(value), 'holds control characters')
const key = text.refine((value) => Buffer.byteLength(value) <= KEY_BYTES_MAX, `takes more than ${KEY_BYTES_MAX} bytes`)
const uri = (schema: z.ZodType<string>) => schema.refine((value) => !/\s/.test(value), 'is not a URI reference: it holds spaces')

const ATTRIBUTES: Readonly<Record<string, z.ZodType>> = {
  specversion: z.literal('1.0', 'must be 1.0'),
  id: key,
  source: uri(key),
  type: text.pipe(EventTypeName),
  subject: text.refine((value) => Buffer.byteLength(value) <= KEY_BYTES_MAX, `takes more than ${KEY_BYTES_MAX} bytes`),
  time: z.iso.datetime({ offset: true, error: 'is not an RFC 3339 time' }),
  datacontenttype: text.refine((value) => /^[^\s/;]+\/[^\s/;]+(\s*;.*)?$/.test(value), 'is not a media type'),
  dataschema: uri(text),
}
const REQUIRED = ['specversion', 'id', 'source', 'type']

/** Checks one event; an attribute that is null counts as absent (JSON Event Format §2.2), and is left out. Throws 413 when it is too large. */
export function checkEvent(value: Json, place: Place, at: string, limits: EventLimits): CheckedEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { errors: [{ pointer: at, message: 'an event is an object' }] }
  if (isDeeperThan(value, limits.depthMax)) return { errors: [{ pointer: at, message: `is nested deeper than ${limits.depthMax} levels` }] }
  const event = Object.fromEntries(Object.entries(value).filter(([name, attribute]) => name === 'data' || attribute !== null))
  const missing = REQUIRED.filter((name) => !Object.hasOwn(event, name)).map((name) => ({ pointer: place(name), message: 'is required' }))
  const errors = [...missing, ...Object.entries(event).flatMap(([name, attribute]) => checkAttribute(name, attribute, place))]
  if (Object.hasOwn(event, 'data') && Object.hasOwn(event, 'data_base64')) {
    errors.push({ pointer: place('data_base64'), message: 'an event has data or data_base64, not both' })
  }
  if (errors.length > 0) return { errors }
  const bytes = Buffer.byteLength(JSON.stringify(event))
  if (bytes > limits.eventBytesMax) {
    throw problem('BTN_TOO_LARGE', `${at || 'the event'} takes ${bytes} bytes, more than ${limits.eventBytesMax} (BATON_EVENT_BYTES_MAX)`)
  }
  const { source, id, type, subject } = event as Record<string, string>
  return { event: { source: source!, id: id!, type: type!, subject, event } }
}

function checkAttribute(name: string, value: Json, place: Place): ProblemError[] {
  if (name === 'data') return []
  const message = name === 'data_base64' ? checkBase64(value) : checkNamed(name, value)
  return message === undefined ? [] : [{ pointer: place(name), message }]
}

function checkNamed(name: string, value: Json): string | undefined {
  const schema = ATTRIBUTES[name]
  if (schema) return schema.safeParse(value).error?.issues[0]?.message
  return EXTENSION.test(name) ? checkExtension(value) : 'the name of an extension attribute has 1 to 20 characters of a-z and 0-9'
}

function checkExtension(value: Json): string | undefined {
  if (typeof value === 'boolean') return undefined
  if (typeof value === 'number') {
    return Number.isInteger(value) && Math.abs(value) <= INT32_MAX + 1
      ? undefined
      : 'a number of an extension attribute is an integer of 32 bits'
  }
  if (typeof value !== 'string') return 'the value of an extension attribute is a string, a boolean or an integer'
  return isStorable(value) ? undefined : UNSTORABLE
}

function checkBase64(value: Json): string | undefined {
  const isBase64 = typeof value === 'string' && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)
  return isBase64 ? undefined : 'is not base64'
}
