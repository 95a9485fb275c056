import { findFreePort, type StubAnswer, stubServer } from '@baton/testing'
import t from 'tap'
import { BatonProblem, BatonUnreachable, BatonWaitTimeout, createClient } from '../src/index.ts'

const RUN = { id: 'run_1', status: 'running' }

t.test('a problem answer becomes a BatonProblem with code, status, detail and places', async (t) => {
  const errors = [{ pointer: '/steps/a', message: 'no kind', line: 3, column: 5 }]
  const body = {
    type: 'x',
    title: 'The definition is invalid',
    status: 422,
    detail: '1 error',
    code: 'BTN_INVALID_DEFINITION',
    instance: '/',
    errors,
  }
  const server = await stubServer(t, () => ({ status: 422, body, headers: { 'x-request-id': 'req-7' } }))
  const baton = createClient({ url: server.url, key: 'k' })
  const problem = await baton.workflows.put('a', 'steps: {}').catch((err: unknown) => err)
  t.ok(problem instanceof BatonProblem)
  t.match(problem, { code: 'BTN_INVALID_DEFINITION', status: 422, detail: '1 error', errors, requestId: 'req-7' })
  t.match(server.requests[0], { method: 'PUT', path: '/api/v1/workflows/a', body: 'steps: {}' })
  t.match(server.requests[0]?.headers, { authorization: 'Bearer k', 'content-type': 'application/yaml' })
  t.equal(server.requests.length, 1, 'a write is not tried again')
})

t.test('reads are tried again after a cut, 503 and 429, after as long as Retry-After says', async (t) => {
  const answers: StubAnswer[] = [
    { abort: true },
    { status: 503, headers: { 'retry-after': '0' } },
    { status: 429, headers: { 'retry-after': '1' } },
  ]
  const server = await stubServer(t, (_request, index) => answers[index] ?? { body: RUN })
  const baton = createClient({ url: server.url, key: 'k' })
  t.match(await baton.runs.get('run_1'), RUN)
  t.equal(server.requests.length, 4)
  t.ok(server.requests[3]!.at - server.requests[2]!.at >= 950, 'Retry-After was waited for')
})

t.test('a start is tried again under the same Idempotency-Key, which the client makes itself', async (t) => {
  const server = await stubServer(t, (_request, index) => (index === 0 ? { abort: true } : { status: 202, body: RUN }))
  const baton = createClient({ url: server.url, key: 'k', namespace: 'acme' })
  await baton.runs.start('refund', { input: { orderId: '7' }, labels: { a: 'b' }, waitMs: 2_000 })
  const keys = server.requests.map((request) => request.headers['idempotency-key'])
  t.equal(keys.length, 2)
  t.ok(keys[0])
  t.equal(keys[0], keys[1])
  t.match(server.requests[1], {
    path: '/api/v1/workflows/refund/runs?wait=2000ms',
    headers: { 'x-baton-namespace': 'acme' },
    body: { input: { orderId: '7' }, labels: { a: 'b' } },
  })
  t.notOk('waitMs' in (server.requests[1]!.body as object))
})

t.test('each item of a batch gets a key of its own, and the batch is tried again', async (t) => {
  const server = await stubServer(t, (_request, index) => (index === 0 ? { status: 503 } : { status: 202, body: { items: [RUN, RUN] } }))
  const runs = await createClient({ url: server.url, key: 'k' }).runs.startBatch('a', [{ input: 1 }, { input: 2, idempotencyKey: 'mine' }])
  t.equal(runs.length, 2)
  t.same(server.requests[0]?.body, server.requests[1]?.body)
  const { items } = server.requests[0]!.body as { items: { idempotencyKey: string }[] }
  t.ok(items[0]?.idempotencyKey)
  t.equal(items[1]?.idempotencyKey, 'mine')
})

t.test('a decision is never sent twice', async (t) => {
  const server = await stubServer(t, () => ({ abort: true }))
  await t.rejects(createClient({ url: server.url, key: 'k' }).approvals.decide('apr_1', { decision: 'approve' }), BatonUnreachable)
  t.equal(server.requests.length, 1)
})

t.test('a list is read page by page, and no further than its reader goes', async (t) => {
  const server = await stubServer(t, ({ path }) => ({
    body: path.includes('cursor=c1') ? { items: [{ id: 3 }], nextCursor: null } : { items: [{ id: 1 }, { id: 2 }], nextCursor: 'c1' },
  }))
  const baton = createClient({ url: server.url, key: 'k' })
  const ids: unknown[] = []
  for await (const run of baton.runs.list({ status: ['failed', 'cancelled'], label: ['a:b', 'c:d'] })) ids.push(run.id)
  t.same(ids, [1, 2, 3])
  t.equal(server.requests[0]?.path, '/api/v1/runs?label=a%3Ab&label=c%3Ad&status=failed%2Ccancelled&limit=50')
  for await (const run of baton.runs.list()) if ((run.id as unknown) === 1) break
  t.equal(server.requests.length, 3)
})

t.test('wait asks until the run has ended, and says when its time is over', async (t) => {
  const server = await stubServer(t, (_request, index) => ({ body: { ...RUN, status: index === 0 ? 'waiting' : 'succeeded' } }))
  const baton = createClient({ url: server.url, key: 'k' })
  t.equal((await baton.runs.wait('run_1')).status, 'succeeded')
  t.equal(server.requests[0]?.path, '/api/v1/runs/run_1?wait=60000ms')
  const slow = await stubServer(t, () => ({ body: RUN }))
  await t.rejects(createClient({ url: slow.url, key: 'k' }).runs.wait('run_1', { timeoutMs: 1 }), BatonWaitTimeout)
})

t.test('an answer without content is undefined, and who cannot be reached is named', async (t) => {
  const server = await stubServer(t, () => ({ status: 204 }))
  t.equal(await createClient({ url: server.url, key: 'k' }).workflows.archive('a'), undefined)
  const nobody = createClient({ url: `http://127.0.0.1:${await findFreePort()}`, key: 'k', retries: 0 })
  await t.rejects(nobody.runs.get('run_1'), { name: 'BatonUnreachable', message: /127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/ })
})

t.test('an aborted call rejects with the reason of its signal', async (t) => {
  const stop = new AbortController()
  const server = await stubServer(t, () => {
    stop.abort(new Error('enough'))
    return { status: 503, headers: { 'retry-after': '60' } }
  })
  await t.rejects(createClient({ url: server.url, key: 'k' }).runs.get('run_1', { signal: stop.signal }), /enough/)
})

t.test('controls say what they are asked, and are never sent twice', async (t) => {
  const server = await stubServer(t, () => ({ status: 202, body: { items: [], definitionVersion: 3 } }))
  const { runs } = createClient({ url: server.url, key: 'k' })
  await runs.retry('run_1', { reason: 'x' })
  await runs.replay('run_1', 'each[3].charge', { reason: 'x', config: { url: 'y' } })
  await runs.fork('run_1', { from: 'charge', input: { n: 1 } })
  await runs.forkMany({ filter: { workflow: 'w', status: 'failed' }, from: 'charge', limit: 5 })
  await runs.retryMany({ filter: { label: 'a:b' } })
  t.same(await runs.patchDefinition('run_1', [{ op: 'remove', path: '/steps/a' }], { expected: 2 }), { items: [], definitionVersion: 3 })
  t.match(server.requests, [
    { method: 'POST', path: '/api/v1/runs/run_1/retry', body: { reason: 'x' } },
    { path: '/api/v1/runs/run_1/steps/each%5B3%5D.charge/replay', body: { reason: 'x', config: { url: 'y' } } },
    { path: '/api/v1/runs/run_1/fork', body: { from: 'charge', input: { n: 1 } } },
    { path: '/api/v1/runs/fork', body: { filter: { workflow: 'w', status: ['failed'] }, from: 'charge', limit: 5 } },
    { path: '/api/v1/runs/retry', body: { filter: { label: ['a:b'] } } },
    { method: 'PATCH', path: '/api/v1/runs/run_1/definition', headers: { 'if-match': '"2"' }, body: [{ op: 'remove', path: '/steps/a' }] },
  ])
  const cut = await stubServer(t, () => ({ abort: true }))
  await t.rejects(createClient({ url: cut.url, key: 'k' }).runs.fork('run_1', { from: 'a' }), BatonUnreachable)
  t.equal(cut.requests.length, 1)
})

t.test('tasks: an end is tried again after a cut, a claim is not; 204 is no task', async (t) => {
  const cut: StubAnswer[] = [{ abort: true }]
  const server = await stubServer(
    t,
    (request, index) => cut[index] ?? (request.path.endsWith('/claim') ? { status: 204 } : { body: { id: 'tsk_1' } }),
  )
  const baton = createClient({ url: server.url, key: 'k' })
  t.match(await baton.tasks.complete('tsk_1', { a: 1 }, { fencingToken: 3 }), { id: 'tsk_1' })
  t.equal(server.requests.length, 2)
  t.match(server.requests[1], { method: 'POST', path: '/api/v1/tasks/tsk_1/complete', body: { output: { a: 1 }, fencingToken: 3 } })
  t.equal(await baton.tasks.claimNext(['ocr']), undefined)
  t.match(server.requests[2], { path: '/api/v1/tasks/claim', body: { capabilities: ['ocr'] } })
  cut[3] = { abort: true }
  await t.rejects(baton.tasks.claim('tsk_1'), BatonUnreachable)
  t.equal(server.requests.length, 4)
})

t.test('schedules and triggers are read page by page, saved, rotated and deleted; nothing of it is sent twice', async (t) => {
  const server = await stubServer(t, ({ method, path }) =>
    method === 'GET' && path.includes('?') ? { body: { items: [{ name: 'a' }], nextCursor: null } } : { body: { name: 'a' } },
  )
  const { schedules, triggers } = createClient({ url: server.url, key: 'k' })
  for await (const { name } of schedules.list()) t.equal(name, 'a')
  for await (const { name } of triggers.list()) t.equal(name, 'a')
  await schedules.put('a/b', { cron: '@daily', workflow: 'w' })
  await schedules.get('a')
  await schedules.delete('a')
  await triggers.put('a', { type: 'event', event: 'x', workflow: 'w' })
  await triggers.get('a')
  await triggers.rotate('a')
  await triggers.delete('a')
  t.match(
    server.requests.map(({ method, path, body }) => [method, path, body]),
    [
      ['GET', '/api/v1/schedules?limit=200'],
      ['GET', '/api/v1/triggers?limit=200'],
      ['PUT', '/api/v1/schedules/a%2Fb', { cron: '@daily', workflow: 'w' }],
      ['GET', '/api/v1/schedules/a'],
      ['DELETE', '/api/v1/schedules/a'],
      ['PUT', '/api/v1/triggers/a', { type: 'event', event: 'x', workflow: 'w' }],
      ['GET', '/api/v1/triggers/a'],
      ['POST', '/api/v1/triggers/a/rotate'],
      ['DELETE', '/api/v1/triggers/a'],
    ],
  )
  const cut = await stubServer(t, () => ({ abort: true }))
  const nobody = createClient({ url: cut.url, key: 'k' })
  await t.rejects(nobody.triggers.put('a', { type: 'webhook', workflow: 'w', verify: 'none' }), BatonUnreachable)
  t.equal(cut.requests.length, 1, 'the token of the first try would be lost')
})

t.test('an event is sent again after a cut under the id that the client gave it', async (t) => {
  const server = await stubServer(t, (_request, index) =>
    index === 0 ? { abort: true } : { status: 202, body: { accepted: 1, duplicates: 0 } },
  )
  const { events } = createClient({ url: server.url, key: 'k' })
  t.same(await events.post({ source: '/shop', type: 'paid', data: { n: 1 } }), { accepted: 1, duplicates: 0 })
  const sent = server.requests.map(({ body }) => body)
  t.match(sent[0], { specversion: '1.0', id: /^[0-9a-f-]{36}$/, source: '/shop', type: 'paid', data: { n: 1 } })
  t.same(sent[0], sent[1])
  t.equal(server.requests[0]?.headers['content-type'], 'application/cloudevents+json')
  await events.post([{ source: '/shop', type: 'paid', id: '7' }])
  t.equal(server.requests[2]?.headers['content-type'], 'application/cloudevents-batch+json')
  t.match(server.requests[2]?.body, [{ specversion: '1.0', id: '7' }])
})
