/** What one call sends, what it makes of the answer, and what it says when it fails. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Json, spanIdOfStep } from '@baton/contracts'
import { stubServer } from '@baton/testing'
import t from 'tap'
import { caller, callOf, outputOf } from './calls.ts'

t.test('a call carries its idempotency key, its trace and what the step wrote', async (t) => {
  const stub = await stubServer(t, () => ({ status: 201, body: { id: 7 } }))
  const { make } = caller(t)
  const call = callOf(
    {
      method: 'POST',
      url: `${stub.url}/orders?a=1#top`,
      headers: { 'X-Thing': 'yes', 'Content-Length': '999', Connection: 'close' },
      query: { b: 'x y', c: ['1', '2'] },
      body: { n: 1, text: 'ü' },
    },
    { trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  )
  const output = outputOf(await make(call))
  t.match(output, { status: 201, body: { id: 7 }, headers: { 'content-type': 'application/json' }, durationMs: Number })
  t.match(stub.requests[0], {
    method: 'POST',
    path: '/orders?a=1&b=x+y&c=1&c=2',
    body: { n: 1, text: 'ü' },
    headers: {
      'idempotency-key': `run_${call.runId}/charge/0`,
      traceparent: `00-0af7651916cd43dd8448eb211c80319c-${spanIdOfStep(call)}-01`,
      'x-thing': 'yes',
      'content-type': 'application/json',
      'user-agent': /^baton\//,
    },
  })
})

t.test('bodies are JSON, text or a form, by what the step says', async (t) => {
  const stub = await stubServer(t)
  const { make } = caller(t)
  const send = async (body: Json | undefined, headers: Record<string, string> = {}) => {
    await make(callOf({ method: 'POST', url: stub.url, headers, ...(body === undefined ? {} : { body }) }))
    const { body: got, headers: sent } = stub.requests.at(-1)!
    return [got, sent['content-type']]
  }
  t.same(await send({ a: [1] }), [{ a: [1] }, 'application/json'])
  t.same(await send(null), [null, 'application/json'])
  t.same(await send('plain'), ['plain', 'text/plain; charset=utf-8'])
  t.same(await send('<a/>', { 'content-type': 'application/xml' }), ['<a/>', 'application/xml'])
  t.same(await send({ a: 'x y', b: [1, 'z'], c: null }, { 'Content-Type': 'application/x-www-form-urlencoded' }), [
    'a=x+y&b=1&b=z',
    'application/x-www-form-urlencoded',
  ])
  t.same(await send(undefined), [undefined, undefined])
})

t.test('auth is bearer, basic or an API key in a header or the query', async (t) => {
  const stub = await stubServer(t)
  const { make } = caller(t)
  const last = () => stub.requests.at(-1)!
  await make(callOf({ url: stub.url, auth: { type: 'bearer', token: 'abc' } }))
  t.equal(last().headers.authorization, 'Bearer abc')
  await make(callOf({ url: stub.url, auth: { type: 'basic', username: 'u', password: 'p:ü' } }))
  t.equal(last().headers.authorization, `Basic ${Buffer.from('u:p:ü').toString('base64')}`)
  await make(callOf({ url: stub.url, auth: { type: 'apiKey', in: 'header', name: 'X-Api-Key', value: 'k' } }))
  t.equal(last().headers['x-api-key'], 'k')
  await make(callOf({ url: `${stub.url}/p?a=1`, auth: { type: 'apiKey', in: 'query', name: 'key', value: 'k&' } }))
  t.equal(last().path, '/p?a=1&key=k%26')
})

t.test('what counts as success is 2xx, or the statuses and classes that the step names', async (t) => {
  const stub = await stubServer(t, ({ path }) => ({ status: Number(path.slice(1)), headers: { location: '/200' }, body: 'no such order' }))
  const { make } = caller(t)
  const ask = (status: number, expected?: string[]) =>
    make(callOf({ url: `${stub.url}/${status}`, redirect: 'manual', ...(expected ? { expect: { status: expected } } : {}) }))
  t.match(await ask(204), { status: 'succeeded' })
  t.match(await ask(302), { status: 'failed', error: { code: 'BTN_HTTP_STATUS', status: 302 }, retryable: false })
  t.match(await ask(404), {
    status: 'failed',
    error: { code: 'BTN_HTTP_STATUS', status: 404, message: `GET ${stub.url}/404: answered 404: no such order` },
    retryable: false,
  })
  t.match(await ask(404, ['2xx', '404']), { status: 'succeeded', output: { status: 404, body: 'no such order' } })
  t.match(await ask(404, ['4xx']), { status: 'succeeded' })
  t.match(await ask(200, ['404']), { status: 'failed' })
  for (const status of [408, 425, 429, 500, 502, 503, 504]) t.match(await ask(status), { status: 'failed', retryable: true }, `${status}`)
  for (const status of [400, 401, 403, 409, 410, 422]) t.match(await ask(status), { status: 'failed', retryable: false }, `${status}`)
})

t.test('Retry-After is told in milliseconds, written in seconds or as a date', async (t) => {
  const waits = ['7', new Date(Date.now() + 90_000).toUTCString(), 'soon']
  const stub = await stubServer(t, (_request, index) => ({ status: 503, headers: { 'retry-after': waits[index]! } }))
  const { make } = caller(t)
  const errors = []
  for (const _ of waits) errors.push(await make(callOf({ url: stub.url })))
  t.match(errors[0], { error: { retryAfterMs: 7_000 } })
  const [, dated] = errors as { error?: { retryAfterMs?: number } }[]
  t.ok(dated!.error!.retryAfterMs! > 85_000 && dated!.error!.retryAfterMs! <= 90_000)
  t.notHas((errors[2] as { error: object }).error, 'retryAfterMs')
})

t.test('errors of the network may be tried again, errors of the request may not', async (t) => {
  const { make } = caller(t)
  const silent = await stubServer(t, () => new Promise(() => {}))
  const cut = await stubServer(t, () => ({ abort: true }))
  t.match(await make(callOf({ url: silent.url }, { timeoutMs: 40 })), {
    error: { code: 'BTN_TIMEOUT', message: /no complete answer within 40 ms/ },
    retryable: true,
  })
  t.match(await make(callOf({ url: cut.url })), { error: { code: 'BTN_HTTP_NETWORK' }, retryable: true })
  t.match(await make(callOf({ url: 'http://127.0.0.1:1/' })), {
    error: { code: 'BTN_HTTP_NETWORK', message: /ECONNREFUSED/ },
    retryable: true,
  })
  t.match(await make(callOf({ url: 'http://10.0.0.1/?token=x' })), {
    error: { code: 'BTN_ADDRESS_REFUSED', message: 'GET http://10.0.0.1/: 10.0.0.1 may not be called: private' },
    retryable: false,
  })
  t.match(await make(callOf({ url: 'nonsense' })), { error: { code: 'BTN_ADDRESS_REFUSED' }, retryable: false })
  t.match(await make(callOf({ url: silent.url, headers: { 'x-a': 'line\nbreak' } })), {
    error: { code: 'BTN_HTTP_NETWORK' },
    retryable: false,
  })
  t.match(await make(callOf({ url: silent.url, method: 'BAD METHOD' })), { error: { code: 'BTN_HTTP_NETWORK' }, retryable: false })
})

t.test('the body is read by its content-type, or as the step says', async (t) => {
  const answers: Record<string, [string | undefined, Buffer | string]> = {
    json: ['application/json', '{"a":1}'],
    problem: ['application/problem+json; charset=utf-8', '{"a":1}'],
    bom: ['application/json', '\ufeff{"a":1}'],
    text: ['text/plain', 'hällo'],
    latin: ['text/plain; charset=iso-8859-1', Buffer.from('hällo', 'latin1')],
    image: ['image/png', Buffer.from([1, 2, 255])],
    untyped: [undefined, 'hello'],
    bytes: [undefined, Buffer.from([255, 254])],
    broken: ['application/json', '{"a":'],
    empty: ['application/json', ''],
  }
  const server = createServer((request, response) => {
    const [type, body] = answers[request.url!.slice(1)]!
    response.writeHead(200, { ...(type ? { 'content-type': type } : {}), 'set-cookie': ['a=1', 'b=2'], 'x-many': ['1', '2'] }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { make } = caller(t)
  const read = async (name: string, response?: 'json' | 'text' | 'base64') =>
    outputOf(await make(callOf({ url: `${base}/${name}`, ...(response ? { response } : {}) }))).body
  t.same(await read('json'), { a: 1 })
  t.same(await read('problem'), { a: 1 })
  t.same(await read('bom'), { a: 1 })
  t.equal(await read('text'), 'hällo')
  t.equal(await read('latin'), 'hällo')
  t.equal(await read('image'), 'AQL/')
  t.equal(await read('untyped'), 'hello')
  t.equal(await read('bytes'), '//4=')
  t.equal(await read('empty'), null)
  t.equal(await read('json', 'text'), '{"a":1}')
  t.equal(await read('json', 'base64'), Buffer.from('{"a":1}').toString('base64'))
  t.same(await read('untyped', 'json').catch((error: Error) => error.message.split(':')[0]), 'BTN_HTTP_RESPONSE')
  t.match(await make(callOf({ url: `${base}/broken` })), { error: { code: 'BTN_HTTP_RESPONSE' }, retryable: false })
  const { headers } = outputOf(await make(callOf({ url: `${base}/json` })))
  t.same(headers['set-cookie'], ['a=1', 'b=2'])
  t.equal(headers['x-many'], '1, 2')
})

t.test('expect.schema is checked, and says what does not match', async (t) => {
  const stub = await stubServer(t, () => ({ body: { total: 'many' } }))
  const { make } = caller(t)
  const schema = { type: 'object', required: ['id'], properties: { total: { type: 'number' } } }
  t.match(await make(callOf({ url: stub.url, expect: { schema } })), {
    error: { code: 'BTN_HTTP_RESPONSE', message: /\/body\/id is required/ },
    retryable: false,
  })
  t.match(await make(callOf({ url: stub.url, expect: { schema: { type: 'object' } } })), { status: 'succeeded' })
})

t.test('what jsonb refuses is written as visible escapes, in texts and in keys', async (t) => {
  const stub = await stubServer(t, ({ path }) =>
    path === '/json'
      ? { headers: { 'content-type': 'application/json' }, body: String.raw`{"a\u0000b":"\ud83d\ude00 \ud83d \u0000","__proto__":1}` }
      : { body: 'a\0b' },
  )
  const { make } = caller(t)
  const body = outputOf(await make(callOf({ url: `${stub.url}/json` }))).body
  t.equal(JSON.stringify(body), String.raw`{"a\\u0000b":"😀 \\ud83d \\u0000","__proto__":1}`)
  t.equal(outputOf(await make(callOf({ url: `${stub.url}/text` }))).body, String.raw`a\u0000b`)
})

t.test('an output over the inline limit is a blob, over the output limit an error', async (t) => {
  const stub = await stubServer(t, ({ path }) => ({ body: { text: 'x'.repeat(Number(path.slice(1))) } }))
  const { make, blobs } = caller(t, {}, { inlineBytesMax: 20_000, outputBytesMax: 100_000 })
  t.match(await make(callOf({ url: `${stub.url}/19000` })), { output: { status: 200 } })
  t.equal(blobs.size, 0)
  const outcome = await make(callOf({ url: `${stub.url}/50000` }))
  const [[id, json]] = [...blobs] as [[string, string]]
  t.equal(id, `sha256:${createHash('sha256').update(json).digest('hex')}`)
  t.same(outcome, { status: 'succeeded', output: { $blob: id, bytes: Buffer.byteLength(json) } })
  t.match(JSON.parse(json), { status: 200, body: { text: 'x'.repeat(50_000) } })
  t.match(await make(callOf({ url: `${stub.url}/200000` })), { error: { code: 'BTN_OUTPUT_TOO_LARGE' }, retryable: false })
  t.match(await make(callOf({ url: `${stub.url}/50000`, bytesMax: 1_000 })), { error: { code: 'BTN_HTTP_TOO_LARGE' }, retryable: false })
})

t.test('JSON that is nested without end is an error of the call, not the end of the worker', async (t) => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const stub = await stubServer(t, () => ({ headers: { 'content-type': 'application/json' }, body: deep }))
  t.match(await caller(t).make(callOf({ url: stub.url })), { error: { code: 'BTN_HTTP_RESPONSE' } })
})

const SECRET = 'p@ss w/ord+"é'

t.test('secrets are filled in at the last moment, everywhere they may stand', async (t) => {
  const stub = await stubServer(t)
  const { make } = caller(t, { KEY: SECRET, PATH: 'hidden' })
  const secret = (pointer: string, name = 'KEY', before = '') => ({
    pointer,
    parts: before ? [before, { secret: name }] : [{ secret: name }],
  })
  const hole = '${{ secrets.KEY }}'
  await make(
    callOf({
      method: 'POST',
      url: `${stub.url}/x`,
      headers: { 'x-key': hole },
      query: { k: [hole] },
      body: { 'a/b': [hole] },
      auth: { type: 'bearer', token: hole },
      secrets: [
        secret('/url', 'PATH', `${stub.url}/at/`),
        { pointer: '/headers/x-key', parts: ['v=', { secret: 'PATH' }] },
        secret('/query/k/0'),
        secret('/body/a~1b/0'),
        secret('/auth/token', 'PATH'),
      ],
    }),
  )
  t.match(stub.requests[0], {
    path: `/at/hidden?k=${new URLSearchParams([['', SECRET]]).toString().slice(1)}`,
    headers: { 'x-key': 'v=hidden', authorization: 'Bearer hidden' },
    body: { 'a/b': [SECRET] },
  })
  t.match(await make(callOf({ url: stub.url, secrets: [secret('/url', 'NONE')] })), {
    error: { code: 'BTN_SECRET_UNKNOWN', message: /NONE/ },
    retryable: false,
  })
})

t.test('a secret that an answer echoes is redacted, in every form it travels in', async (t) => {
  const forms = [
    SECRET,
    encodeURIComponent(SECRET),
    new URLSearchParams({ k: SECRET }).toString(),
    JSON.stringify({ k: SECRET }),
    Buffer.from(SECRET).toString('base64'),
    Buffer.from(SECRET).toString('base64url'),
    Buffer.from(`user:${SECRET}`).toString('base64'),
    Buffer.from(`x${SECRET}yz`).toString('base64'),
    Buffer.from(SECRET).toString('hex'),
  ]
  const stub = await stubServer(t, ({ path }) => {
    if (path.startsWith('/error')) return { status: 500, body: `bad key ${SECRET} ${'y'.repeat(266)} ${SECRET}` }
    return { headers: { 'x-echo': encodeURIComponent(SECRET) }, body: { echo: forms, [SECRET]: 1, pin: 123456, other: 'word' } }
  })
  const { make } = caller(t, { KEY: SECRET, PIN: '123456' })
  const auth = { type: 'basic' as const, username: 'user', password: '' }
  const secrets = [
    { pointer: '/auth/password', parts: [{ secret: 'KEY' }] },
    { pointer: '/headers/pin', parts: [{ secret: 'PIN' }] },
  ]
  const output = outputOf(await make(callOf({ url: stub.url, auth, headers: { pin: '' }, secrets })))
  const { echo, ...rest } = output.body as { echo: string[] } & Record<string, unknown>
  t.same(rest, { '[redacted]': 1, pin: '[redacted]', other: 'word' })
  t.equal(output.headers['x-echo'], '[redacted]')
  for (const [i, text] of echo.entries()) t.match(text, /\[redacted\]/, forms[i]!)
  const failure = await make(
    callOf({ url: `${stub.url}/error/x`, secrets: [{ pointer: '/url', parts: [`${stub.url}/error/`, { secret: 'KEY' }] }] }),
  )
  const text = JSON.stringify(failure)
  t.match(failure, { error: { status: 500 } })
  for (const form of [SECRET, encodeURIComponent(SECRET), 'p@ss']) t.notOk(text.includes(form), text)
  stub.requests.length = 0
  const half = await make(
    callOf({
      url: `${stub.url}/error/${'x'.repeat(245)}/`,
      secrets: [{ pointer: '/url', parts: [`${stub.url}/error/${'x'.repeat(250)}/`, { secret: 'KEY' }] }],
    }),
  )
  t.notMatch(JSON.stringify(half), /p@s|p%40s/, 'not even half of one, where a text is cut')
  const base64 = outputOf(await make(callOf({ url: stub.url, response: 'base64', auth, headers: { pin: '' }, secrets }))).body as string
  t.notOk(Buffer.from(base64.split('[redacted]')[0]!, 'base64').includes(SECRET))
  t.match(base64, /\[redacted\]/)
})
