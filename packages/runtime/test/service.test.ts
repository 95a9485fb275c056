/** Every answer is one a client can rely on: request ids, problem+json, probes. */

import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { ERRORS, Problem } from '@baton/contracts'
import type { Teardown } from '@baton/testing'
import { testRedis } from '@baton/testing'
import t from 'tap'
import { z } from 'zod'
import { type Check, checkRedis, connectRedis, createLogger, createService, problem } from '../src/index.ts'

async function startApp(t: Teardown, checks: Check[] = []) {
  const log: string[] = []
  const logger = createLogger({ name: 'test', level: 'info' }, { write: (line: string) => void log.push(line) })
  const app = createService({ name: 'test', logger, checks, bodyLimit: 1_000 })
  app.get('/things/:id', { schema: { querystring: z.strictObject({ limit: z.coerce.number().max(5).optional() }) } }, async () => ({
    ok: true,
  }))
  app.post('/things/:id', { schema: { body: z.strictObject({ input: z.object({ 'a/b': z.number() }) }) } }, async () => ({ ok: true }))
  app.delete('/numbers/:n', { schema: { params: z.object({ n: z.coerce.number() }) } }, async (_request, reply) => reply.code(204).send())
  app.get('/logged', async (request) => {
    request.log.child({ part: 'route' }).info({ headers: { authorization: 'Bearer hunter2' } }, 'seen')
    return { ok: true }
  })
  app.get('/boom', async () => {
    throw new Error('the password is hunter2')
  })
  app.get('/away', async () => {
    throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  })
  app.get('/busy', async () => {
    throw problem('BTN_TOO_MANY_REQUESTS', 'slow down', { headers: { 'retry-after': '3' } })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return { app, url: `http://127.0.0.1:${port}`, port, log: () => log.join('') }
}

async function ask(url: string, init: RequestInit = {}) {
  const response = await fetch(url, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}

const json = (body: string, method = 'POST'): RequestInit => ({ method, body, headers: { 'content-type': 'application/json' } })

t.test('what a request logs has its id, at any depth of children, and no secrets', async (t) => {
  const { url, log } = await startApp(t)
  await fetch(`${url}/logged`, { headers: { 'x-request-id': 'a-request' } })
  const lines = log().trim().split('\n').slice(1) // the first says where it listens
  t.equal(lines.length, 1, 'nothing is logged that was not asked for')
  t.match(JSON.parse(lines[0]!), {
    requestId: 'a-request',
    part: 'route',
    headers: { authorization: '[redacted]' },
    msg: 'seen',
    service: 'test',
  })
})

t.test('errors are problem+json with a stable code and place, whoever throws them', async (t) => {
  const { url, log } = await startApp(t)
  const cases: [string, RequestInit, number, keyof typeof ERRORS, unknown[]?][] = [
    ['/nowhere?token=abc', {}, 404, 'BTN_NOT_FOUND'],
    ['/things/1', { method: 'PUT' }, 405, 'BTN_METHOD_NOT_ALLOWED'],
    ['/things/%zz', {}, 400, 'BTN_BAD_REQUEST'],
    [`/things/${'x'.repeat(3_000)}`, {}, 404, 'BTN_NOT_FOUND'],
    ['/numbers/x', { method: 'DELETE' }, 404, 'BTN_NOT_FOUND'],
    ['/things/1?limit=9', {}, 422, 'BTN_INVALID_REQUEST', [{ pointer: '/query/limit' }]],
    ['/things/1?limt=1', {}, 422, 'BTN_INVALID_REQUEST', [{ pointer: '/query/limt', message: 'unknown field "limt"' }]],
    [
      '/things/1',
      json('{"input":{"a/b":"x"},"more":1}'),
      422,
      'BTN_INVALID_REQUEST',
      [{ pointer: '/input/a~1b', message: 'must be a number, not a string' }, { pointer: '/more' }],
    ],
    ['/things/1', json('{}'), 422, 'BTN_INVALID_REQUEST', [{ pointer: '/input', message: 'is required: send an object' }]],
    ['/things/1', json('{"a": 1,\n "b": x}'), 400, 'BTN_MALFORMED_BODY', [{ pointer: '', line: 2, column: 7 }]],
    ['/things/1', json('{"a":'), 400, 'BTN_MALFORMED_BODY', [{ line: 1, column: 6 }]],
    ['/things/1', json('{"a": "\n"}'), 400, 'BTN_MALFORMED_BODY', [{ line: 1, column: 8 }]],
    ['/things/1', json('[1,]'), 400, 'BTN_MALFORMED_BODY', [{ line: 1, column: 4 }]],
    ['/things/1', json('{"a":1} x'), 400, 'BTN_MALFORMED_BODY', [{ line: 1, column: 9 }]],
    ['/things/1', json('{"__proto__":{"x":1}}'), 400, 'BTN_MALFORMED_BODY', [{ message: /__proto__/ }]],
    ['/things/1', json(`"${'x'.repeat(2_000)}"`), 413, 'BTN_TOO_LARGE'],
    ['/things/1', { method: 'POST', body: 'a=1', headers: { 'content-type': 'text/plain' } }, 415, 'BTN_MEDIA_TYPE'],
    ['/boom', {}, 500, 'BTN_INTERNAL'],
    ['/away', {}, 503, 'BTN_UNAVAILABLE'],
    ['/busy', {}, 429, 'BTN_TOO_MANY_REQUESTS'],
  ]
  for (const [path, init, status, code, errors] of cases) {
    const answer = await ask(url + path, init)
    const name = `${init.method ?? 'GET'} ${path.slice(0, 30)} ${code}`
    t.match(answer, { status, body: { code, status, title: ERRORS[code].title, ...(errors ? { errors } : {}) } }, name)
    t.ok(Problem.safeParse(answer.body).success, name)
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/)
    t.ok(answer.headers.get('x-request-id'), `${name} has a request id`)
    t.notMatch(JSON.stringify(answer.body), /hunter2|abc/)
  }
  t.equal((await ask(`${url}/things/1`, { method: 'PUT' })).headers.get('allow'), 'GET, HEAD, POST')
  t.equal((await ask(`${url}/busy`)).headers.get('retry-after'), '3')
  t.match(log(), /hunter2/, 'the detail of a 500 is in the log')
  t.notMatch(log(), 'token=abc')
})

t.test('the request id is taken from the request when it is sane, and always answered', async (t) => {
  const { url } = await startApp(t)
  const idOf = async (given: string) => (await ask(`${url}/healthz`, { headers: { 'x-request-id': given } })).headers.get('x-request-id')
  t.equal(await idOf('order-7.a'), 'order-7.a')
  for (const bad of ['', 'a b', 'x'.repeat(200), '<script>']) t.match(await idOf(bad), /^[0-9a-f-]{36}$/)
})

t.test('what is not HTTP is answered with 400, and never crashes', async (t) => {
  const { port } = await startApp(t)
  const socket = connect(port, '127.0.0.1')
  socket.end('nonsense\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  t.match(text, /^HTTP\/1\.1 400 /)
  t.match(text, /x-request-id: /)
  t.match(JSON.parse(text.split('\r\n\r\n')[1]!), { code: 'BTN_BAD_REQUEST', status: 400 })
})

t.test('probes tell of dependencies, and liveness never does', async (t) => {
  let fails = false
  const checks = [
    {
      name: 'thing',
      async check() {
        if (fails) throw new Error('thing is away')
      },
    },
  ]
  const { url } = await startApp(t, checks)
  t.match(await ask(`${url}/ready`), { status: 200, body: { status: 'ready', checks: [{ name: 'thing', ok: true, latencyMs: Number }] } })
  t.match(await ask(`${url}/health`), { status: 200, body: { status: 'ok', service: 'test', version: String } })
  fails = true
  t.match(await ask(`${url}/ready`), {
    status: 503,
    body: { checks: [{ name: 'thing', ok: false, error: 'thing is away', latencyMs: Number }] },
  })
  t.match(await ask(`${url}/health`), { status: 503, body: { status: 'failing' } })
  t.match(await ask(`${url}/healthz`), { status: 200, body: { status: 'ok' } })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /baton_http_request_seconds_count\{method="GET",route="\/ready",status="503"\} 1/)
  t.match(metrics, /process_cpu_seconds_total/)
})

t.test('Redis is ready only when it evicts nothing', async (t) => {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test', whileAway: 'fail' })
  t.teardown(() => redis.disconnect())
  await new Promise((resolve) => redis.once('ready', resolve))
  const { check } = checkRedis(redis)
  await check()
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await t.rejects(check(), /maxmemory-policy is allkeys-lru, it must be noeviction/)
  const gone = new Promise((resolve) => redis.once('close', resolve))
  await server.kill()
  await gone
  await t.rejects(check(), 'at once, not when it is back')
})

t.test('a client that still sends a body that is too large can read why it is refused', async (t) => {
  const { port } = await startApp(t)
  for (const length of ['content-length: 6000000', 'transfer-encoding: chunked']) {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    let text = ''
    let broken: Error | undefined
    socket.on('data', (chunk) => (text += chunk)).once('error', (error) => (broken = error))
    socket.write(`POST /things/1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${length}\r\n\r\n`)
    const part = 'x'.repeat(60_000)
    for (let sent = 0; sent < 100 && !broken; sent++) {
      socket.write(length.startsWith('content') ? part : `ea60\r\n${part}\r\n`)
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (!length.startsWith('content')) socket.write('0\r\n\r\n')
    await new Promise<void>((resolve) => (socket.closed ? resolve() : socket.once('close', () => resolve())))
    t.equal(broken, undefined, length)
    t.match(text, /^HTTP\/1\.1 413 /, length)
    t.match(text, /"code":"BTN_TOO_LARGE"/)
  }
})
