/** Tasks over REST: each call in each state, who holds one, and what the run is told. */
import { idOf, type Json, newUuid, Task } from '@baton/contracts'
import t from 'tap'
import { advanceRun } from './advance-run.ts'
import { offer } from './offer-task.ts'
import { type Answer, bare, type Orchestrator, startOrchestrator } from './start-orchestrator.ts'

type Loose = Answer['body']

const eventsOf = async ({ get }: Orchestrator, run: string) =>
  (await get(`/api/v1/runs/${run}/events`)).body.items.filter(({ type }: Loose) => type.startsWith('dev.baton.task.'))

t.test('a task is offered, claimed, worked on and completed; its output is that of the step', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { get, post, key, sql } = orchestrator
  const worker = await key('worker', { name: 'scanner-1' })
  const { run, id, at } = await offer(orchestrator)
  const shown = await get(at, { key: worker })
  t.ok(Task.safeParse(shown.body).success)
  t.match(shown.body, {
    run,
    step: 'scan',
    status: 'open',
    capabilities: ['ocr'],
    payload: { page: 7 },
    priority: 5,
    leaseMs: 30_000,
    attempt: 1,
  })
  t.match(shown.body, { claimedBy: null, leaseUntil: null, fencingToken: null, progress: null, output: null, endedAt: null })
  t.match((await get(`/api/v1/runs/${run}`)).body, { status: 'waiting' })
  t.match((await get(`/api/v1/runs/${run}/steps/scan`)).body, {
    status: 'waiting',
    waitingFor: { kind: 'task', task: id, capabilities: ['ocr'] },
  })
  const open = (await get(`/api/v1/runs/${run}/why`)).body.items[0]
  t.match(open, { reason: `waits for a worker with ocr to claim ${id}`, movableBy: ['capability:ocr'] })

  t.match(await post(`${at}/claim`, {}, { key: worker }), {
    status: 200,
    body: { status: 'claimed', claimedBy: 'scanner-1', fencingToken: 1 },
  })
  const told = await post(`${at}/progress`, { percent: 40, note: 'page 3', data: { page: 3 } }, { key: worker })
  t.match(told, { status: 200, body: { progress: { percent: 40, note: 'page 3', data: { page: 3 } } } })
  await advanceRun(sql, bare(run))
  const held = (await get(`/api/v1/runs/${run}/why`)).body.items[0]
  t.match(held, {
    reason: /^scanner-1 works on tsk_\S+ \(40 %, page 3\); the claim ends at .*Z without a sign of life$/,
    movableBy: ['worker:scanner-1'],
  })
  const done = await post(`${at}/complete`, { output: { text: 'hello' } }, { key: worker })
  t.match(done, { status: 200, body: { status: 'completed', output: { text: 'hello' }, leaseUntil: null, endedAt: String } })
  await advanceRun(sql, bare(run))
  t.match((await get(`/api/v1/runs/${run}`)).body, { status: 'succeeded' })
  t.same((await get(`/api/v1/runs/${run}/steps/scan/output`)).body, { text: 'hello' })
  const events = await eventsOf(orchestrator, run)
  t.same(
    events.map(({ type }: Loose) => type.slice(15)),
    ['opened', 'claimed', 'progressed', 'completed'],
  )
  t.match(events[2], { subject: 'scan', data: { task: id, by: 'scanner-1', percent: 40, note: 'page 3', data: { page: 3 } } })
})

t.test('the end of a task is taken once: the same again is answered with 200, another one is not', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, key, sql } = orchestrator
  const worker = await key('worker')
  const { at, run } = await offer(orchestrator)
  await post(`${at}/claim`, {}, { key: worker })
  t.match(await post(`${at}/complete`, { output: 1, fencingToken: 2 }, { key: worker }), {
    status: 409,
    body: { code: 'BTN_TASK_CLAIM_LOST' },
  })
  const both = await Promise.all([1, 2].map(() => post(`${at}/complete`, { output: { a: [1] } }, { key: worker })))
  t.same(
    both.map(({ status }) => status),
    [200, 200],
  )
  t.equal((await post(`${at}/complete`, { output: { a: [1] }, fencingToken: 1 }, { key: worker })).status, 200)
  t.equal((await post(`${at}/complete`, { output: { a: [2] } }, { key: worker })).status, 409)
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from inbox where fact ->> 'kind' = 'task-ended'`
  t.equal(row!.n, 1, 'the run is told once')
  await advanceRun(sql, bare(run))
  t.equal((await post(`${at}/complete`, { output: { a: [1] } }, { key: worker })).status, 200, 'also when the run has ended')
})

t.test('a failure is that of the attempt: the next one is a task of its own, unless the worker says that it is of no use', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, get, key, sql } = orchestrator
  const worker = await key('worker', { name: 'w' })
  const retry = { attempts: 3, backoff: 'fixed', initial: '1ms', jitter: false }
  const { at, run, id } = await offer(orchestrator, { task: { capabilities: ['ocr'] }, retry })
  await post(`${at}/claim`, {}, { key: worker })
  const failed = await post(`${at}/fail`, { error: { code: 'BLURRED', message: 'cannot read it' } }, { key: worker })
  t.match(failed, { status: 200, body: { status: 'failed', error: { code: 'BLURRED' } } })
  await advanceRun(sql, bare(run))
  await advanceRun(sql, bare(run), [{ kind: 'timer', path: 'scan', timer: 'retry', generation: 0, attempt: 1 }])
  const { items } = (await get(`/api/v1/tasks?run=${run}&status=open`)).body
  t.match(items, [{ attempt: 2, status: 'open' }])
  t.not(items[0].id, id)
  const next = `/api/v1/tasks/${items[0].id}`
  await post(`${next}/claim`, {}, { key: worker })
  await post(`${next}/fail`, { error: { message: 'never' }, retryable: false }, { key: worker })
  await advanceRun(sql, bare(run))
  t.match((await get(`/api/v1/runs/${run}`)).body, { status: 'failed', error: { code: 'BTN_TASK_FAILED', message: 'never', step: 'scan' } })
})

t.test('a task is handed on, with what the next one should know', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, key, get, sql } = orchestrator
  const [ann, bob, eve, boss] = await Promise.all([
    key('worker', { name: 'ann' }),
    key('worker', { name: 'bob' }),
    key('worker', { name: 'eve' }),
    key('operator', { name: 'boss' }),
  ])
  await key('viewer', { name: 'vic' })
  const { at, run } = await offer(orchestrator)
  await post(`${at}/claim`, {}, { key: ann })
  const hand = (body: Json) => post(`${at}/handoff`, body, { key: ann })
  for (const [to, message] of [
    ['nobody', /no API key/],
    ['vic', /may not claim/],
  ] as const)
    t.match(await hand({ to, reason: 'x' }), { status: 422, body: { errors: [{ pointer: '/to', message }] } })
  t.match(await hand({ reason: 'x' }), { status: 422 })
  t.match(await hand({ to: 'bob', capabilities: ['x'], reason: 'x' }), { status: 422, body: { errors: [{ pointer: '/capabilities' }] } })
  const handed = await hand({ to: 'bob', reason: 'it is his', context: { seen: 3 } })
  t.match(handed, { status: 200, body: { status: 'open', reservedFor: 'bob', claimedBy: null } })
  t.match(handed.body.handoff, { by: 'ann', to: 'bob', reason: 'it is his', context: { seen: 3 } })
  t.match((await get(`/api/v1/runs/${run}/why`)).body.items[0], {
    reason: /^waits for bob to claim tsk_\S+, which was handed on$/,
    movableBy: ['worker:bob'],
  })
  t.match(await post(`${at}/claim`, {}, { key: eve }), { status: 409, body: { code: 'BTN_TASK_HELD', detail: /handed to bob/ } })
  t.match(await post(`${at}/claim`, {}, { key: bob }), {
    status: 200,
    body: { fencingToken: 2, handoff: { reason: 'it is his' }, reservedFor: null },
  })
  t.match(await post(`${at}/handoff`, { capabilities: ['pdf'], reason: 'a pdf' }, { key: bob }), {
    status: 200,
    body: { capabilities: ['pdf'], reservedFor: null },
  })
  t.match(await post('/api/v1/tasks/claim', { capabilities: ['ocr'] }, { key: eve }), { status: 204 })
  t.match(await post('/api/v1/tasks/claim', { capabilities: ['pdf'] }, { key: eve }), { status: 200, body: { id: at.slice(14) } })
  t.match(await post(`${at}/handoff`, { to: 'ann', reason: 'back' }, { key: eve }), { status: 200 })
  t.match(await post(`${at}/claim`, {}, { key: boss }), { status: 200, body: { claimedBy: 'boss' } }, 'operators may take any')
  await advanceRun(sql, bare(run))
  t.equal((await eventsOf(orchestrator, run)).filter(({ type }: Loose) => type.endsWith('handed_off')).length, 3)
})

t.test('workers, operators and admins claim; others read, and nobody sees the tasks of another namespace', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, get, key } = orchestrator
  for (const role of ['worker', 'operator', 'admin', 'developer', 'viewer'] as const) {
    const { at } = await offer(orchestrator)
    const asked = { key: await key(role) }
    t.equal((await get(at, asked)).status, 200)
    t.equal((await post(`${at}/claim`, {}, asked)).status, role === 'developer' || role === 'viewer' ? 403 : 200, role)
  }
  const { at } = await offer(orchestrator)
  const stranger = { key: await key('worker', { namespace: 'other' }) }
  t.match(await get(at, stranger), { status: 404, body: { code: 'BTN_TASK_NOT_FOUND' } })
  t.match(await post(`${at}/claim`, {}, stranger), { status: 404 })
  t.same((await get('/api/v1/tasks', stranger)).body.items, [])
  t.match(await post('/api/v1/tasks/claim', { capabilities: ['ocr'] }, stranger), { status: 204 })
  for (const id of ['tsk_x', idOf('task', newUuid()), idOf('run', newUuid())]) t.equal((await get(`/api/v1/tasks/${id}`)).status, 404)
})

t.test('nothing of a paused run is claimed; what is held is ended', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, get, key, sql } = orchestrator
  const worker = { key: await key('worker') }
  const [open, held] = [await offer(orchestrator), await offer(orchestrator)]
  await post(`${held.at}/claim`, {}, worker)
  for (const { run } of [open, held]) {
    await post(`/api/v1/runs/${run}/pause`)
    await advanceRun(sql, bare(run))
  }
  t.match(await post(`${open.at}/claim`, {}, worker), { status: 409, body: { code: 'BTN_RUN_STATE', detail: /paused/ } })
  t.match(await post('/api/v1/tasks/claim', { capabilities: ['ocr'] }, worker), { status: 204 })
  t.match(await post(`${held.at}/complete`, { output: 1 }, worker), { status: 200 })
  await advanceRun(sql, bare(held.run))
  t.match((await get(`/api/v1/runs/${held.run}/steps/scan`)).body, { status: 'succeeded' })
  t.match((await get(`/api/v1/runs/${held.run}`)).body, { status: 'paused' })
})

t.test('large payloads and outputs are whole where they are worked on, and references elsewhere; over the limit is 413', async (t) => {
  const orchestrator = await startOrchestrator(t, { BATON_STEP_OUTPUT_BYTES_MAX: '200000' })
  const { post, get, key, sql } = orchestrator
  const worker = { key: await key('worker') }
  const large = 'x'.repeat(100_000)
  const { at, run } = await offer(orchestrator, { task: { capabilities: ['ocr'], payload: { text: large } } })
  t.match((await get(`/api/v1/tasks?run=${run}`)).body.items[0].payload, { $blob: /^sha256:/, bytes: Number })
  t.equal((await post(`${at}/claim`, {}, worker)).body.payload.text, large)
  t.match(await post(`${at}/complete`, { output: large + large }, worker), {
    status: 413,
    body: { code: 'BTN_TOO_LARGE', detail: /BATON_STEP_OUTPUT_BYTES_MAX/ },
  })
  t.match(await post(`${at}/progress`, { data: large }, worker), { status: 413, body: { errors: [{ pointer: '/data' }] } })
  t.match(await post(`${at}/handoff`, { capabilities: ['x'], reason: 'x', context: large }, worker), {
    status: 413,
    body: { errors: [{ pointer: '/context' }] },
  })
  t.match(await post(`${at}/complete`, { output: { text: large } }, worker), { status: 200, body: { output: { $blob: /^sha256:/ } } })
  await advanceRun(sql, bare(run))
  t.same((await get(`/api/v1/runs/${run}/steps/scan/output`)).body, { text: large })
  t.match((await get(`/api/v1/runs/${run}/steps/scan`)).body.output, { $blob: /^sha256:/ })
})

t.test('mistakes are told at their places', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, get, key } = orchestrator
  const worker = { key: await key('worker') }
  const { at } = await offer(orchestrator)
  await post(`${at}/claim`, {}, worker)
  const rows: [call: string, body: Json, pointer: string][] = [
    ['progress', { percent: 101 }, '/percent'],
    ['progress', { note: 'a\u0000' }, '/note'],
    ['complete', { result: 1 }, '/result'],
    ['fail', {}, '/error'],
    ['fail', { error: { code: 'not good', message: 'x' } }, '/error/code'],
    ['fail', { error: { message: 'x', more: 1 } }, '/error/more'],
    ['release', { fencingToken: 0 }, '/fencingToken'],
    ['handoff', { capabilities: [''], reason: 'x' }, '/capabilities/0'],
    ['handoff', { to: 'x' }, '/reason'],
  ]
  for (const [call, body, pointer] of rows)
    t.match(await post(`${at}/${call}`, body, worker), { status: 422, body: { errors: [{ pointer }] } }, `${call} ${pointer}`)
  t.match(await post('/api/v1/tasks/claim', { capabilities: [] }, worker), {
    status: 422,
    body: { errors: [{ pointer: '/capabilities' }] },
  })
  for (const query of ['status=nope', 'capability=', 'run=x', 'limit=0', 'cursor=x', 'x=1'])
    t.match(await get(`/api/v1/tasks?${query}`), { status: 422, body: { code: 'BTN_INVALID_REQUEST' } }, query)
})
