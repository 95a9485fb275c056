/** From the wire's request (its secrets in place) to what goes out. */
import { type HttpCall, type HttpRequest, idempotencyKeyOf, inTrace, type Json, spanIdOfStep } from '@baton/contracts'
import { VERSION } from '@baton/runtime'

export interface RenderedRequest {
  url: string
  method: string
  headers: Record<string, string>
  body: string | undefined
  /** Lower-case names of headers that must not follow a redirect to another origin. */
  sensitiveHeaders: string[]
}

const USER_AGENT = `baton/${VERSION}`
/** The connection is ours: these would break its framing. */
const NOT_OURS = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const FORM = /^application\/x-www-form-urlencoded\b/i

/** Headers that the step writes win over ours. `secretHeaders` are those that hold a secret. */
export function renderRequest(call: HttpCall, request: HttpRequest, secretHeaders: readonly string[]): RenderedRequest {
  const headers: Record<string, string> = { 'user-agent': USER_AGENT, 'idempotency-key': idempotencyKeyOf(call) }
  const traceparent = inTrace(call.trace, spanIdOfStep(call))
  if (traceparent !== undefined) headers['traceparent'] = traceparent
  for (const name in request.headers) {
    const lower = name.toLowerCase()
    if (!NOT_OURS.has(lower)) headers[lower] = request.headers[name]!
  }
  const sensitiveHeaders = [...secretHeaders]
  let url = request.query ? addQuery(request.url, request.query) : request.url
  const { auth } = request
  if (auth?.type === 'bearer') headers['authorization'] = `Bearer ${auth.token}`
  else if (auth?.type === 'basic') headers['authorization'] = `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`
  else if (auth?.type === 'apiKey' && auth.in === 'query') url = addQuery(url, { [auth.name]: auth.value })
  else if (auth?.type === 'apiKey') {
    headers[auth.name.toLowerCase()] = auth.value
    sensitiveHeaders.push(auth.name.toLowerCase())
  }
  const body = request.body === undefined ? undefined : encodeBody(request.body, headers)
  return { url, method: request.method, headers, body, sensitiveHeaders }
}

/** Appends to what the URL has, before its fragment. */
function addQuery(url: string, query: Readonly<Record<string, string | string[]>>): string {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) for (const item of [value].flat()) search.append(name, item)
  const text = search.toString()
  if (text === '') return url
  const hash = url.indexOf('#')
  const [base, fragment] = hash < 0 ? [url, ''] : [url.slice(0, hash), url.slice(hash)]
  const glue = !base.includes('?') ? '?' : /[?&]$/.test(base) ? '' : '&'
  return base + glue + text + fragment
}

/** JSON by default; a text as it is; an object as a form when the content-type says so. */
function encodeBody(body: Json, headers: Record<string, string>): string {
  const type = headers['content-type']
  if (typeof body === 'string') {
    if (type === undefined) headers['content-type'] = 'text/plain; charset=utf-8'
    return body
  }
  if (type !== undefined && FORM.test(type) && typeof body === 'object' && body !== null && !Array.isArray(body)) return encodeForm(body)
  if (type === undefined) headers['content-type'] = 'application/json'
  return JSON.stringify(body)
}

function encodeForm(body: Record<string, Json>): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(body)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== null) form.append(name, typeof item === 'string' ? item : JSON.stringify(item))
    }
  }
  return form.toString()
}
