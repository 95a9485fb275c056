import { createHash } from 'node:crypto'
import { inTrace, keys, partitionOf, Run, spanIdOfRun } from '@baton/contracts'
import { connectRedis } from '@baton/runtime'
import { until } from '@baton/testing'
import t from 'tap'
import { takeUp, tellEnd } from './advance-run.ts'
import { ADMIN_KEY, bare, startOrchestrator, TINY } from './start-orchestrator.ts'

t.test('a run is durable when it is answered, and the runner is told all it needs', async (t) => {
  const { post, get, save, redis } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const { status, body, headers } = await post(
    '/api/v1/workflows/tiny/runs',
    { input: { n: 1 }, labels: { team: 'a' }, priority: 7 },
    { headers: { traceparent } },
  )
  t.equal(status, 202)
  t.ok(Run.safeParse(body).success)
  t.match(body, {
    namespace: 'default',
    workflow: 'tiny',
    version: 1,
    status: 'queued',
    input: { n: 1 },
    labels: { team: 'a' },
    priority: 7,
    lastSeq: 1,
  })
  t.same((await get(`/api/v1/runs/${body.id}`)).body, body)
  const events = (await get(`/api/v1/runs/${body.id}/events`)).body.items
  t.match(events, [{ type: 'dev.baton.run.created', seq: 1, data: { startedBy: 'key_admin' } }])

  const client = connectRedis(redis.url, { name: 'test' })
  t.teardown(() => client.disconnect())
  const [entry] = await until(async () => {
    const entries = await client.xrange(keys.facts(partitionOf(body.id)), '-', '+')
    return entries.length > 0 && entries
  })
  const [fact] = JSON.parse(entry![1][1]!)
  t.equal(fact.kind, 'start')
  t.equal(fact.runId, bare(body.id))
  const { createdAt, checksum, trace, ...header } = fact.run
  t.equal(new Date(createdAt).toISOString(), body.createdAt)
  t.match(checksum, /^sha256:/)
  t.same(header, {
    runId: bare(body.id),
    namespace: 'default',
    workflow: 'tiny',
    version: 1,
    input: { n: 1 },
    labels: { team: 'a' },
    priority: 7,
    startedBy: 'key_admin',
    requestId: headers['x-request-id'],
  })
  t.match(trace, /^00-0af7651916cd43dd8448eb211c80319c-[\da-f]{16}-01$/)
  t.not(trace, traceparent, 'the request has a span of its own')
  t.equal(events[0].traceparent, inTrace(trace, spanIdOfRun(bare(body.id))))
})

t.test('runs start without Redis: Postgres is enough', async (t) => {
  const { post, get, save, redis } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  await redis.kill()
  const { status, body } = await post('/api/v1/workflows/tiny/runs')
  t.equal(status, 202)
  t.equal((await get(`/api/v1/runs/${body.id}`)).body.status, 'queued')
  t.equal((await get('/status')).status, 503)
})

t.test('the version is the one named, the tagged, the live, or the highest', async (t) => {
  const { post, put, save } = await startOrchestrator(t)
  for (const a of [1, 2, 3]) await save({ steps: { only: { set: { a } } } }, 'many')
  const version = async (body: object) => (await post('/api/v1/workflows/many/runs', body as never)).body.version
  t.equal(await version({}), 3)
  await put('/api/v1/workflows/many/tags/canary', { version: 2 })
  t.equal(await version({ tag: 'canary' }), 2)
  t.equal(await version({}), 3)
  await put('/api/v1/workflows/many/tags/live', { version: 1 })
  t.equal(await version({}), 1)
  t.equal(await version({ version: 3 }), 3)
})

t.test('an Idempotency-Key starts one run, however often and at once it is sent', async (t) => {
  const { post, get, save, key } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  await save(TINY, 'other')
  const send = (body: object, name = 'tiny', extra: object = {}) =>
    post(`/api/v1/workflows/${name}/runs`, body as never, { headers: { 'idempotency-key': 'k1', ...extra } })
  const racing = await Promise.all(Array.from({ length: 20 }, () => send({ input: { a: 1, b: 2 } })))
  t.same(racing.map((answer) => answer.status).sort(), [...Array.from({ length: 19 }, () => 200), 202])
  t.equal(new Set(racing.map((answer) => answer.body.id)).size, 1)
  const again = await send({ input: { b: 2, a: 1 } })
  t.same([again.status, again.body.id], [200, racing[0]!.body.id], 'the order of keys does not matter')
  const wrong = await send({ input: { a: 2 } })
  t.same([wrong.status, wrong.body.code], [422, 'BTN_IDEMPOTENCY_MISMATCH'])
  t.equal((await send({ input: { a: 2 } }, 'other')).status, 202, 'a key counts for one workflow')
  await send({ input: {} }, 'tiny', { 'x-baton-namespace': 'elsewhere' })
  t.same((await get('/api/v1/runs/count?workflow=tiny')).body, { count: 1 })
  t.ok(await key('viewer'))
})

t.test('a repeated request gets its run, also when the workflow has changed or was archived since', async (t) => {
  const { post, ask, save } = await startOrchestrator(t)
  const steps = { a: { set: { x: 1 } } }
  await save({ steps }, 'changing')
  const start = (headers: Record<string, string>) => post('/api/v1/workflows/changing/runs', { input: { n: 1 } }, { headers })
  const first = await start({ 'idempotency-key': 'once' })
  t.equal(first.status, 202)
  await save({ steps, input: { type: 'object', required: ['m'] } }, 'changing')
  t.match(await start({ 'idempotency-key': 'once' }), { status: 200, body: { id: first.body.id } })
  t.equal((await start({ 'idempotency-key': 'other' })).status, 422)
  await ask('DELETE', '/api/v1/workflows/changing')
  t.match(await start({ 'idempotency-key': 'once' }), { status: 200, body: { id: first.body.id } })
  t.equal((await start({ 'idempotency-key': 'other' })).status, 409)
  t.equal((await start({})).status, 409)
})

t.test('a batch starts in order, or not at all', async (t) => {
  const { post, get, save } = await startOrchestrator(t)
  await save({ input: { type: 'object', properties: { n: { type: 'integer' } } }, ...TINY }, 'tiny')
  const batch = (items: object[]) => post('/api/v1/workflows/tiny/runs/batch', { items } as never)
  const { status, body } = await batch(Array.from({ length: 50 }, (_, n) => ({ input: { n }, labels: { n: String(n) } })))
  t.equal(status, 202)
  t.same(
    body.items.map((run: Run) => run.input),
    Array.from({ length: 50 }, (_, n) => ({ n })),
  )
  const bad = await batch([{ input: { n: 1 } }, { input: { n: 'x' } }])
  t.same([bad.status, bad.body.errors[0].pointer], [422, '/items/1/input/n'])
  await batch([{ input: { n: 1 }, idempotencyKey: 'a' }])
  const clash = await batch([{ input: { n: 7 } }, { input: { n: 2 }, idempotencyKey: 'a' }])
  t.same([clash.status, clash.body.code, clash.body.errors[0].pointer], [422, 'BTN_IDEMPOTENCY_MISMATCH', '/items/1/idempotencyKey'])
  const known = await batch([{ input: { n: 8 } }, { input: { n: 1 }, idempotencyKey: 'a' }])
  t.same(
    known.body.items.map((run: Run) => run.input),
    [{ n: 8 }, { n: 1 }],
  )
  t.same((await get('/api/v1/runs/count')).body, { count: 52 })
})

t.test('an input over 64 KiB lies beside the run, and is whole for its reader', async (t) => {
  const { post, get, save, sql } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const input = { text: 'é'.repeat(100_000) }
  const { status, body } = await post('/api/v1/workflows/tiny/runs', { input })
  t.equal(status, 202)
  t.same(body.input, input)
  t.same((await get(`/api/v1/runs/${body.id}`)).body.input, input)
  const text = JSON.stringify(input)
  const $blob = `sha256:${createHash('sha256').update(text).digest('hex')}`
  t.same((await get('/api/v1/runs')).body.items[0].input, { $blob, bytes: Buffer.byteLength(text) })
  t.same((await sql`select input from runs`)[0]!.input, { $blob, bytes: Buffer.byteLength(text) })
})

t.test('?wait answers at the end of the run', async (t) => {
  const { post, get, save, sql, redis } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const waiting = post('/api/v1/workflows/tiny/runs?wait=30s')
  const { body: listed } = await until(async () => {
    const answer = await get('/api/v1/runs')
    return answer.body.items.length === 1 && answer
  })
  const id = listed.items[0].id
  const reading = get(`/api/v1/runs/${id}?wait=PT30S`)
  await tellEnd(redis.url, await takeUp(sql, bare(id)))
  const { status, body } = await waiting
  t.match([status, body.status, body.id], [202, 'succeeded', id])
  t.match(await reading, { status: 200, body: { status: 'succeeded' } })
  t.match(await get(`/api/v1/runs/${id}?wait=30s`), { status: 200, body: { status: 'succeeded' } }, 'an ended run is not waited for')
})

t.test('?wait finds an end that Redis did not tell, and gives up when the time is up', async (t) => {
  const { post, get, save, sql } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const late = await post('/api/v1/workflows/tiny/runs?wait=1ms')
  t.match(late, { status: 202, body: { status: 'queued' } })
  const reading = get(`/api/v1/runs/${late.body.id}?wait=30s`)
  await takeUp(sql, bare(late.body.id))
  t.match(await reading, { status: 200, body: { status: 'succeeded' } })
})

t.test('too many who wait are refused, and leaving frees the place', async (t) => {
  const { app, post, save } = await startOrchestrator(t, { BATON_WAITERS_MAX: '1' })
  await save(TINY, 'tiny')
  const { body } = await post('/api/v1/workflows/tiny/runs')
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const headers = { authorization: `Bearer ${ADMIN_KEY}` }
  const first = fetch(`${origin}/api/v1/runs/${body.id}?wait=60s`, { headers, signal: leaving.signal }).catch((error: Error) => error.name)
  const second = () => fetch(`${origin}/api/v1/runs/${body.id}?wait=1ms`, { headers })
  const refused = await until(async () => {
    const answer = await second()
    return answer.status === 429 && answer
  })
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { code: 'BTN_TOO_MANY_REQUESTS' })
  leaving.abort()
  t.equal(await first, 'AbortError')
  await until(async () => (await second()).status === 200)
})

t.test('a service that stops lets go of who waits', async (t) => {
  const { app, post, get, save } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  const { body } = await post('/api/v1/workflows/tiny/runs')
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const waiting = fetch(`${origin}/api/v1/runs/${body.id}?wait=60s`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } })
  await until(async () => (await get('/metrics')).text.includes('baton_run_waiters 1'))
  await app.close()
  t.match(await (await waiting).json(), { id: body.id, status: 'queued' })
})
