/** A list that a service gives page by page is one output; what does not lead on as it says fails the attempt. */
import type { Json, Paginate } from '@baton/contracts'
import type { Outbound } from '@baton/runtime'
import { type StubAnswer, stubServer, type Teardown } from '@baton/testing'
import t from 'tap'
import { createAnswerRoom } from '../src/answer-room.ts'
import { callPages } from '../src/call-pages.ts'
import { nextLink } from '../src/next-page.ts'
import { caller, callOf, outputOf } from './calls.ts'

const paginate = (more: Partial<Paginate>): Paginate => ({ max: 100, onMax: 'fail', ...more })
const LIST = Array.from({ length: 7 }, (_, n) => n)

/** Numbers of three a page: by `page` and `size`, by `after`, with a Link header and the URL of the next page in the body. */
function serveList(base: () => string) {
  return ({ path, body }: { path: string; body: unknown }): StubAnswer => {
    const url = new URL(path, base())
    const after = url.searchParams.get('after') ?? (body as { after?: string } | undefined)?.after
    const size = Number(url.searchParams.get('size') ?? 3)
    const from = after === undefined ? (Number(url.searchParams.get('page') ?? 1) - 1) * size : Number(after)
    const items = LIST.slice(from, from + size)
    const last = from + size >= LIST.length
    url.searchParams.set('page', String(from / size + 2))
    return {
      headers: last ? {} : { link: `</first>; rel="first", <${url.pathname}${url.search}>; title="a, \\"b\\""; rel="last next"` },
      body:
        url.pathname === '/bare'
          ? items
          : { items, meta: { 'next.cursor': last ? null : String(from + size) }, next: last ? '' : url.href },
    }
  }
}

async function serve(t: Teardown) {
  const stub = await stubServer(
    t,
    serveList(() => stub.url),
  )
  return stub
}

const asked = (stub: { requests: { path: string }[] }) => stub.requests.map(({ path }) => path)

t.test('pages are followed by the Link header', async (t) => {
  const stub = await serve(t)
  const { make } = caller(t)
  const output = outputOf(await make(callOf({ url: `${stub.url}/bare?q=a%20b`, query: { z: '1' }, paginate: paginate({ link: true }) })))
  t.match(output, { status: 200, body: LIST, pages: 3, headers: { 'content-type': 'application/json' }, durationMs: Number })
  t.notOk('more' in output)
  t.notOk('link' in output.headers, 'the headers are those of the last page')
  t.same(asked(stub), ['/bare?q=a%20b&z=1', '/bare?q=a+b&z=1&page=2', '/bare?q=a+b&z=1&page=3'])
})

t.test('pages are followed by a URL in the body', async (t) => {
  const stub = await serve(t)
  const { make } = caller(t)
  const auth = { type: 'apiKey' as const, in: 'query' as const, name: 'key', value: 'k&' }
  const output = outputOf(await make(callOf({ url: stub.url, auth, paginate: paginate({ link: 'next', items: 'items' }) })))
  t.same(output.body, LIST)
  t.same(asked(stub), ['/?key=k%26', '/?page=2&key=k%26', '/?page=3&key=k%26'], 'the API key stands once in each')
})

t.test('pages are followed by a cursor, in the query or in the body', async (t) => {
  const stub = await serve(t)
  const { make } = caller(t)
  const path = '/meta/next.cursor'
  const url = `${stub.url}/?after=0&q=1#top`
  const inQuery = paginate({ cursor: { path, param: 'after', in: 'query' }, items: '/items' })
  t.same(outputOf(await make(callOf({ url, paginate: inQuery }))).body, LIST)
  t.same(asked(stub), ['/?after=0&q=1', '/?q=1&after=3', '/?q=1&after=6'])
  stub.requests.length = 0
  const inBody = paginate({ cursor: { path, param: 'after', in: 'body' }, items: 'items' })
  const call = callOf({ url: stub.url, method: 'POST', body: { q: 1 }, paginate: inBody })
  t.same(outputOf(await make(call)).body, LIST)
  t.same(
    stub.requests.map(({ body }) => body),
    [{ q: 1 }, { q: 1, after: '3' }, { q: 1, after: '6' }],
  )
  const own = `run_${call.runId}/charge/0`
  t.same(
    stub.requests.map(({ headers }) => headers['idempotency-key']),
    [own, `${own}/page/2`, `${own}/page/3`],
    'a service that remembers keys would answer each POST with the first page',
  )
})

t.test('pages are numbered, to an empty or a short one', async (t) => {
  const stub = await serve(t)
  const { make } = caller(t)
  const toEmpty = paginate({ page: { param: 'page', start: 1 }, items: 'items' })
  t.match(outputOf(await make(callOf({ url: stub.url, paginate: toEmpty }))), { body: LIST, pages: 4 })
  t.same(asked(stub), ['/?page=1', '/?page=2', '/?page=3', '/?page=4'])
  t.equal(new Set(stub.requests.map(({ headers }) => headers['idempotency-key'])).size, 1)
  stub.requests.length = 0
  const toShort = paginate({ page: { param: 'page', start: 2, size: { param: 'size', value: 2 } }, items: 'items' })
  t.match(outputOf(await make(callOf({ url: stub.url, query: { page: '9', x: '1' }, paginate: toShort }))), {
    body: [2, 3, 4, 5, 6],
    pages: 3,
  })
  t.same(asked(stub), ['/?page=2&x=1&size=2', '/?page=3&x=1&size=2', '/?page=4&x=1&size=2'])
})

t.test('more pages than max fail the step, or are left where it says so', async (t) => {
  const stub = await serve(t)
  const { make } = caller(t, {}, { pagesMax: 2 })
  const ask = (more: Partial<Paginate>) => make(callOf({ url: `${stub.url}/bare`, paginate: paginate({ link: true, ...more }) }))
  t.match(await ask({}), { status: 'failed', retryable: false, error: { code: 'BTN_HTTP_PAGES', message: /goes on after 2 pages/ } })
  t.match(outputOf(await ask({ max: 1, onMax: 'stop' })), { body: [0, 1, 2], pages: 1, more: true })
  stub.requests.length = 0
  t.match(await ask({ max: 1 }), { error: { code: 'BTN_HTTP_PAGES' } })
  t.equal(stub.requests.length, 1, 'what may not be read is not asked for')
})

t.test('a page that fails fails the attempt, as an answer would', async (t) => {
  let second: StubAnswer = {}
  const stub = await stubServer(t, ({ path }) => (path === '/' ? { headers: { link: '</2>; rel=next' }, body: [1] } : second))
  const { make } = caller(t)
  const ask = (answer: StubAnswer, more: object = {}) => {
    second = answer
    return make(callOf({ url: stub.url, paginate: paginate({ link: true }), ...more }))
  }
  t.match(await ask({ status: 503, headers: { 'retry-after': '7' } }), {
    retryable: true,
    error: { code: 'BTN_HTTP_STATUS', status: 503, retryAfterMs: 7_000 },
  })
  t.match(await ask({ abort: true }), { retryable: true, error: { code: 'BTN_HTTP_NETWORK' } })
  t.match(await ask({ body: { items: [] } }), { retryable: false, error: { code: 'BTN_HTTP_RESPONSE', message: /paginate.items/ } })
  t.match(await ask({ body: ['x'] }, { expect: { schema: { items: { type: 'number' } } } }), { error: { code: 'BTN_HTTP_RESPONSE' } })
  t.match(await ask({ body: [2], headers: { link: '</2>; rel=next' } }), { error: { code: 'BTN_HTTP_RESPONSE', message: /leads back/ } })
})

t.test('a link to another origin is not followed: credentials stay where they belong', async (t) => {
  const foreign = await stubServer(t, () => ({ body: [2] }))
  const stub = await stubServer(t, ({ path }): StubAnswer => {
    if (path === '/moved') return { status: 302, headers: { location: `${foreign.url}/list` } }
    return { headers: { link: `<${foreign.url}/2>; rel="next"` }, body: [1] }
  })
  const { make } = caller(t)
  const auth = { type: 'bearer' as const, token: 'secret-token' }
  const outcome = await make(callOf({ url: stub.url, auth, paginate: paginate({ link: true }) }))
  t.match(outcome, { status: 'failed', retryable: false, error: { code: 'BTN_HTTP_RESPONSE', message: /another origin/ } })
  t.equal(foreign.requests.length, 0)
  const moved = await make(callOf({ url: `${stub.url}/moved`, auth, paginate: paginate({ link: true }) }))
  t.match(moved, { status: 'succeeded' })
  t.equal(foreign.requests[0]?.headers.authorization, undefined)
})

t.test('bytes and time are those of all pages together', async (t) => {
  let delayMs = 0
  const stub = await stubServer(t, async ({ path }) => {
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    return { headers: { link: `</${Number(path.slice(1)) + 1}>; rel="next"` }, body: ['x'.repeat(1_000)] }
  })
  const { make } = caller(t)
  const call = (more: object) => callOf({ url: `${stub.url}/1`, paginate: paginate({ link: true }), ...more })
  t.match(await make(call({ bytesMax: 3_500 })), {
    retryable: false,
    error: { code: 'BTN_HTTP_TOO_LARGE', message: /larger than 3500 bytes/ },
  })
  t.equal(stub.requests.length, 4)
  delayMs = 60
  const startedAt = Date.now()
  const late = await make({ ...call({}), timeoutMs: 200 })
  t.match(late, { retryable: true, error: { code: 'BTN_TIMEOUT', message: /within 200 ms/ } })
  t.ok(Date.now() - startedAt < 1_000)
})

t.test('each page has the time and the bytes that are left', async (t) => {
  const left: { timeoutMs: number; bytesMax: number }[] = []
  const request: Outbound['request'] = async (url, { timeoutMs = 0, bytesMax = 0 } = {}) => {
    left.push({ timeoutMs, bytesMax })
    await new Promise((resolve) => setTimeout(resolve, 20))
    const headers: Record<string, string> = left.length < 3 ? { link: `</${left.length}>; rel="next"` } : {}
    return { status: 200, headers, body: Buffer.from('[1]'), url }
  }
  const call = callOf({ url: 'http://a.example/' })
  const pages = await callPages(call, call.request, paginate({ link: true }), {
    outbound: { request },
    share: createAnswerRoom(1_000).open(),
    secretHeaders: [],
    bytesMax: 100,
    pagesMax: 10,
    read: ({ body }) => JSON.parse(body.toString()) as Json,
  })
  t.match(pages, { items: [1, 1, 1], count: 3, bytes: 9 })
  t.same(
    left.map(({ bytesMax }) => bytesMax),
    [100, 97, 94],
  )
  const [first, second, third] = left.map(({ timeoutMs }) => timeoutMs)
  t.ok(first! <= 5_000 && second! <= first! - 19 && third! <= second! - 19, `${[first, second, third]}`)
})

t.test('many small pages take room in memory as one large answer does', async (t) => {
  const stub = await stubServer(
    t,
    ({ path }): StubAnswer => ({
      headers: path === '/9' ? {} : { link: `</${Number(path.slice(1)) + 1}>; rel="next"` },
      body: ['x'.repeat(20_000)],
    }),
  )
  const room = createAnswerRoom(1_000_000)
  let most = 0
  const { make } = caller(t, {}, {}, { open: () => watched(room.open()) })
  const watched = (share: ReturnType<typeof room.open>) => ({
    ...share,
    grow: (to: number) => {
      const waits = share.grow(to)
      most = Math.max(most, room.taken())
      return waits
    },
  })
  t.match(await make(callOf({ url: `${stub.url}/0`, paginate: paginate({ link: true }) })), { status: 'succeeded' })
  t.equal(stub.requests.length, 10)
  t.ok(most >= 200_000, `${most} bytes were counted`)
  t.equal(room.taken(), 0)
})

t.test('secrets that pages echo are redacted, and a large list is a blob', async (t) => {
  const stub = await stubServer(
    t,
    ({ path, headers }): StubAnswer => ({
      headers: path === '/1' ? { link: '</2>; rel="next"' } : {},
      body: [{ path, got: headers.authorization, fill: 'y'.repeat(40_000) }],
    }),
  )
  const { make, blobs } = caller(t, { KEY: 'very-secret' })
  const secrets = [{ pointer: '/auth/token', parts: [{ secret: 'KEY' }] }]
  const call = callOf({ url: `${stub.url}/1`, auth: { type: 'bearer', token: '' }, secrets, paginate: paginate({ link: true }) })
  const output = outputOf(await make(call)) as unknown as { $blob: string }
  const text = blobs.get(output.$blob)!
  t.same(
    (JSON.parse(text).body as { got: Json }[]).map(({ got }) => got),
    ['Bearer [redacted]', 'Bearer [redacted]'],
  )
  t.notMatch(text, 'very-secret')
})

t.test('a Link header is read as RFC 8288 writes it', async (t) => {
  const cases: [header: string | string[] | undefined, next: string | undefined][] = [
    [undefined, undefined],
    ['', undefined],
    ['<a>; rel=next', 'a'],
    ['<a>;REL="prev NEXT"', 'a'],
    ['<a>; rel=prev, <b?x=1,2>; title=";, rel=next"; rel="next"', 'b?x=1,2'],
    ['<a>; rel=prev; rel=next', undefined],
    ['<a>; anchor="#x"; rel=next, <b>; rel=next', 'b'],
    [['<a>; rel=first', '<b>; rel=next'], 'b'],
    ['<a; rel=next', undefined],
    ['<a>; title="open', undefined],
    ['<a>; rel = "next"', 'a'],
  ]
  for (const [header, next] of cases) t.equal(nextLink(header), next, String(header))
})
