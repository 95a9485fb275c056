/** From one page of a list to the request for the next: pure. Requests here are those of the wire, with their secrets in place. */
import type { HttpRequest, Json, Paginate } from '@baton/contracts'
import type { OutboundAnswer } from '@baton/runtime'
import { AnswerUnreadable } from './read-answer.ts'

/** A page that was read. */
export interface Page {
  /** What asked for it. */
  request: HttpRequest
  answer: Pick<OutboundAnswer, 'headers' | 'url'>
  body: Json
  /** How many items stood on it. */
  count: number
  /** 1 for the first. */
  number: number
}

/** The request for the first page. */
export function requestOfFirst(request: HttpRequest, { page }: Paginate): HttpRequest {
  return page ? numbered(request, page, page.start) : request
}

/** The request for the page behind this one; undefined when it was the last. Throws AnswerUnreadable. */
export function requestAfter(paginate: Paginate, seen: Page): HttpRequest | undefined {
  const { request, number, count } = seen
  if (paginate.page) {
    const { page } = paginate
    if (count === 0 || (page.size !== undefined && count < page.size.value)) return undefined
    return numbered(request, page, page.start + number)
  }
  if (paginate.cursor) {
    const cursor = cursorOf(placeIn(seen.body, paginate.cursor.path))
    return cursor === undefined ? undefined : withCursor(request, paginate.cursor, cursor)
  }
  const next = paginate.link === true ? nextLink(seen.answer.headers.link) : cursorOf(placeIn(seen.body, paginate.link!))
  return next === undefined ? undefined : linked(request, next, seen.answer.url)
}

/** The items of a page: at `path`, or the body itself. Throws AnswerUnreadable when there is no list; null is an empty one. */
export function itemsOf(body: Json, path: string | undefined): readonly Json[] {
  const items = path === undefined ? body : placeIn(body, path)
  if (Array.isArray(items)) return items
  if (items === null) return []
  const where =
    path === undefined
      ? 'the body is not a list; paginate.items says where in it the list stands'
      : `there is no list at ${path} of the body`
  throw new AnswerUnreadable(where)
}

/** What stands at a JSON Pointer (it begins with `/`), or under names joined by dots; undefined when nothing does. */
export function placeIn(body: Json, path: string): Json | undefined {
  const names = path.startsWith('/') ? path.slice(1).split('/').map(unescaped) : path.split('.')
  let at: Json | undefined = body
  for (const name of names) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined
    at = (at as Record<string, Json>)[name]
  }
  return at
}

/** RFC 6901 §4. */
function unescaped(name: string): string {
  return name.replaceAll('~1', '/').replaceAll('~0', '~')
}

function cursorOf(value: Json | undefined): string | undefined {
  if (value === undefined || value === null || value === '' || value === false) return undefined
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  throw new AnswerUnreadable('what leads to the next page is neither a text nor a number')
}

function numbered(request: HttpRequest, { param, size }: NonNullable<Paginate['page']>, number: number): HttpRequest {
  return withQuery(request, { [param]: String(number), ...(size ? { [size.param]: String(size.value) } : {}) })
}

function withCursor(request: HttpRequest, { param, in: where }: NonNullable<Paginate['cursor']>, cursor: string): HttpRequest {
  if (where === 'query') return withQuery(request, { [param]: cursor })
  const { body = {} } = request
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new AnswerUnreadable('a cursor in the body needs a body that is an object')
  return { ...request, body: { ...body, [param]: cursor } }
}

/** These parameters in place of what the URL or the step says of them. */
function withQuery(request: HttpRequest, query: Record<string, string>): HttpRequest {
  return { ...request, url: withoutQuery(request.url, Object.keys(query)), query: { ...request.query, ...query } }
}

/** The rest of the URL stays as it is written. */
function withoutQuery(url: string, names: readonly string[]): string {
  const [, base = '', search, hash = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(url) ?? []
  if (search === undefined) return url
  const kept = search.split('&').filter((pair) => !names.includes(new URLSearchParams(pair).keys().next().value ?? ''))
  return `${base}${kept.length > 0 ? `?${kept.join('&')}` : ''}${hash}`
}

/** The link is complete: the step's query is not added to it. An API key in the query is put in again, since few services repeat it. */
function linked(request: HttpRequest, next: string, base: string): HttpRequest {
  const url = URL.parse(next, base)
  if (url === null) throw new AnswerUnreadable('the link to the next page is not a URL')
  // The headers of the step, and with them its credentials, go to the origin that it names and to no other.
  if (url.origin !== URL.parse(request.url)?.origin)
    throw new AnswerUnreadable(`the link to the next page leads to another origin, ${url.origin}`)
  const { query: _, ...rest } = request
  const key = request.auth?.type === 'apiKey' && request.auth.in === 'query' ? [request.auth.name] : []
  return { ...rest, url: withoutQuery(url.href, key) }
}

/** The target of the first link with `rel="next"` (RFC 8288 §3) that speaks of the page itself. */
export function nextLink(header: string | readonly string[] | undefined): string | undefined {
  if (header === undefined) return undefined
  for (const { target, params } of linksOf([header].flat().join(','))) {
    const rels = params.get('rel')?.toLowerCase().split(/\s+/)
    if (rels?.includes('next') && !params.has('anchor')) return target
  }
  return undefined
}

function* linksOf(header: string): Generator<{ target: string; params: Map<string, string> }> {
  let at = 0
  for (;;) {
    const open = header.indexOf('<', at)
    const close = header.indexOf('>', open)
    if (open < 0 || close < 0) return
    const { params, end } = paramsOf(header, close + 1)
    yield { target: header.slice(open + 1, close), params }
    at = end
  }
}

/** Parameters from `at` to the comma that ends the link; of two with one name the first counts. */
function paramsOf(header: string, at: number): { params: Map<string, string>; end: number } {
  const params = new Map<string, string>()
  let text = ''
  let end = at
  const put = () => {
    const [name, ...value] = text.split('=')
    const key = name!.trim().toLowerCase()
    if (key !== '' && !params.has(key)) params.set(key, value.join('=').trim())
    text = ''
  }
  for (; end < header.length && header[end] !== ','; end++) {
    if (header[end] === ';') put()
    else if (header[end] === '"') {
      for (end++; end < header.length && header[end] !== '"'; end++) {
        if (header[end] === '\\') end++
        text += header[end] ?? ''
      }
    } else text += header[end]
  }
  put()
  return { params, end }
}
