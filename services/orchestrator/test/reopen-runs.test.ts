import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, type Orchestrator, startOrchestrator, TINY } from './start-orchestrator.ts'

const FAILING = { steps: { fine: { set: { a: 1 } }, bad: { needs: 'fine', fail: { message: 'no' } } } }
const WAITING = { steps: { ask: { approval: { title: 'Go?' } }, after: { needs: 'ask', set: { x: '${{ input.n }}' } } } }

async function startRun({ post, sql }: Orchestrator, workflow: string, input: object = {}): Promise<string> {
  const { id } = (await post(`/api/v1/workflows/${workflow}/runs`, { input: input as never })).body
  await takeUp(sql, bare(id))
  return id
}

t.test('a retry is put down once, however often it is asked for, and is seen in events and audit', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FAILING, 'w')
  const id = await startRun(o, 'w')
  t.match(await o.post(`/api/v1/runs/${id}/retry`, { reason: 'try' }), { status: 202, body: { id, status: 'failed' } })
  t.match(await o.post(`/api/v1/runs/${id}/retry`), { status: 200, body: { id } })
  t.equal((await o.sql`select from inbox`).length, 1)
  await advanceRun(o.sql, bare(id))
  const events = (await o.get(`/api/v1/runs/${id}/events`)).body.items
  t.match(
    events.find(({ type }: { type: string }) => type === 'dev.baton.run.reopened'),
    { data: { by: 'key_admin', reason: 'try', reset: ['bad'] } },
  )
  t.match((await o.get(`/api/v1/runs/${id}/steps/bad`)).body, { generation: 1, status: 'failed' })
  t.match((await o.get(`/api/v1/audit?run=${id}`)).body, {
    items: [{ action: 'run.retry', by: 'key_admin', run: id, data: { reason: 'try' } }],
  })
  t.equal((await o.get('/api/v1/audit')).body.items.length, 1)
})

t.test('many who ask for a retry at once put down one', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FAILING, 'w')
  const id = await startRun(o, 'w')
  const answers = await Promise.all(Array.from({ length: 8 }, () => o.post(`/api/v1/runs/${id}/retry`)))
  t.same(answers.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 200, 200, 202])
  t.equal((await o.sql`select from inbox`).length, 1)
})

t.test('a run can be cancelled and paused once its retry is accepted', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { a: { wait: { for: '1h' } } } }, 'w')
  const id = await startRun(o, 'w')
  await o.post(`/api/v1/runs/${id}/cancel`)
  await advanceRun(o.sql, bare(id))
  t.equal((await o.post(`/api/v1/runs/${id}/pause`)).status, 409)
  t.equal((await o.post(`/api/v1/runs/${id}/retry`)).status, 202)
  t.equal((await o.post(`/api/v1/runs/${id}/pause`)).status, 202)
  t.equal((await advanceRun(o.sql, bare(id))).status, 'paused')
})

t.test('who waits for a run that is about to be reopened waits for its next end', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FAILING, 'w')
  const id = await startRun(o, 'w')
  t.equal((await o.get(`/api/v1/runs/${id}?wait=30s`)).body.status, 'failed', 'nothing is under way')
  await o.post(`/api/v1/runs/${id}/retry`)
  // Longer than the look after ended runs: it must not end the wait by the end that was.
  const waited = o.get(`/api/v1/runs/${id}?wait=30s`)
  await o.get(`/api/v1/runs/${id}?wait=1500ms`)
  const { seq } = await advanceRun(o.sql, bare(id))
  t.match((await waited).body, { status: 'failed', lastSeq: seq })
})

t.test('a run that has begun to compensate is not reopened', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { a: { set: { x: 1 }, compensate: { set: { y: 1 } } }, b: { needs: 'a', fail: {} } } }, 'w')
  const id = await startRun(o, 'w')
  t.match(await o.post(`/api/v1/runs/${id}/retry`), { status: 409, body: { code: 'BTN_RUN_COMPENSATED' } })
  t.match(await o.post(`/api/v1/runs/${id}/steps/b/replay`, { reason: 'x' }), { status: 409, body: { code: 'BTN_RUN_COMPENSATED' } })
  t.equal((await o.sql`select from inbox`).length, 0)
  t.equal((await o.sql`select from audit`).length, 0)
})

t.test('a replay wants a reason, a step, and one that is not open', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(WAITING, 'w')
  const id = await startRun(o, 'w')
  t.match(await o.post(`/api/v1/runs/${id}/steps/nothing/replay`, {}), { status: 404, body: { code: 'BTN_STEP_NOT_FOUND' } })
  t.match(await o.post(`/api/v1/runs/${id}/steps/ask/replay`, {}), {
    status: 409,
    body: { code: 'BTN_RUN_STATE', detail: /ask is waiting/ },
  })
  t.match(await o.post(`/api/v1/runs/${id}/steps/after/replay`, { reason: 'x' }), { status: 409, body: { detail: /after has not run/ } })
  await o.save(TINY, 'tiny')
  const ended = await startRun(o, 'tiny')
  t.match(await o.post(`/api/v1/runs/${ended}/steps/only/replay`, {}), {
    status: 422,
    body: { detail: '/reason: is required: send a string', errors: [{ pointer: '/reason', message: 'is required: send a string' }] },
  })
  t.equal((await o.post(`/api/v1/runs/${ended}/steps/only/replay`, { reason: 'x' })).status, 202)
  t.equal((await o.post(`/api/v1/runs/${ended}/steps/only/replay`, { reason: 'x' })).status, 200)
  t.match(await o.post(`/api/v1/runs/${ended}/retry`), { status: 409, body: { detail: /a replay of step only was accepted/ } })
  t.equal((await advanceRun(o.sql, bare(ended))).status, 'succeeded')
  t.match((await o.get(`/api/v1/runs/${ended}/steps/only`)).body, { generation: 1 })
})

t.test('config changes the definition of this run alone, with the replay that asks for it', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(TINY, 'w')
  const id = await startRun(o, 'w')
  const replay = `/api/v1/runs/${id}/steps/only/replay`
  t.match(await o.post(replay, { reason: 'x', config: { a: '${{ nothing }}' } }), {
    status: 422,
    body: { errors: [{ pointer: '/config/a' }] },
  })
  t.equal((await o.sql`select from inbox`).length, 0)
  t.match(await o.post(replay, { reason: 'better', config: { a: null, b: 2 } }), { status: 202 })
  t.match(await o.post(replay, { reason: 'x', config: { b: 3 } }), { status: 409 }, 'one at a time')
  await advanceRun(o.sql, bare(id))
  t.same((await o.get(`/api/v1/runs/${id}/steps/only`)).body.output, { b: 2 })
  t.match((await o.get(`/api/v1/runs/${id}/definition`)).body, { definitionVersion: 2, definition: { steps: { only: { set: { b: 2 } } } } })
  t.same((await o.get('/api/v1/workflows/w')).body.definition, TINY)
  const events = (await o.get(`/api/v1/runs/${id}/events`)).body.items
  t.match(events.find(({ type }: { type: string }) => type === 'dev.baton.run.patched').data, {
    definitionVersion: 2,
    by: 'key_admin',
    replay: 'only',
    reason: 'better',
  })
  t.same(
    (await o.get(`/api/v1/audit?run=${id}`)).body.items.map(({ action }: { action: string }) => action),
    ['run.replay', 'run.patch'],
  )
})

t.test('an operator may replay, but not with another body', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(TINY, 'w')
  const id = await startRun(o, 'w')
  const key = await o.key('operator')
  t.match(await o.post(`/api/v1/runs/${id}/steps/only/replay`, { reason: 'x', config: { b: 2 } }, { key }), { status: 403 })
  t.match(await o.post(`/api/v1/runs/${id}/steps/only/replay`, { reason: 'x' }, { key }), { status: 202 })
  t.equal((await o.get('/api/v1/audit', { key })).status, 403)
})

t.test('what has run inside a container is not taken away by config', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { each: { forEach: { in: [1, 2], steps: { one: { set: { a: 1 } } } } } } }, 'w')
  const id = await startRun(o, 'w')
  const replay = `/api/v1/runs/${id}/steps/each/replay`
  const other = await o.post(replay, { reason: 'x', config: { steps: { one: null, two: { set: { a: 1 } } } } })
  t.match(other, { status: 422, body: { errors: [{ pointer: '/config' }] } })
  t.equal((await o.post(replay, { reason: 'x', config: { in: [1, 2, 3] } })).status, 202)
  await advanceRun(o.sql, bare(id))
  t.equal((await o.get(`/api/v1/runs/${id}/steps/each`)).body.output.results.length, 3)
})

t.test('many runs are retried by one call, each by itself', async (t) => {
  const o = await startOrchestrator(t, { BATON_BULK_RUNS_MAX: '5' })
  await o.save(FAILING, 'w')
  const undone = { steps: { a: { set: { x: 1 }, compensate: { set: { y: 1 } } }, b: { needs: 'a', fail: {} } } }
  await o.save(undone, 'undone')
  const ids = [await startRun(o, 'w'), await startRun(o, 'undone'), await startRun(o, 'w')]
  await o.save(TINY, 'tiny')
  await startRun(o, 'tiny')
  const answer = await o.post('/api/v1/runs/retry', { filter: {} })
  t.match(answer, {
    status: 202,
    body: {
      items: [
        { run: ids[2], ok: { status: 'failed' } },
        { run: ids[1], problem: { code: 'BTN_RUN_COMPENSATED', status: 409 } },
        { run: ids[0] },
      ],
    },
  })
  t.equal(answer.body.items.length, 3)
  t.equal((await o.sql`select from inbox`).length, 2)
  t.match(await o.post('/api/v1/runs/retry', { filter: { workflow: 'w' }, limit: 1 }), { status: 202, body: { items: { length: 1 } } })
  t.match(await o.post('/api/v1/runs/retry', { filter: {}, limit: 6 }), { status: 422, body: { errors: [{ pointer: '/limit' }] } })
  t.match(await o.post('/api/v1/runs/retry', { filter: { x: 1 } }), { status: 422, body: { errors: [{ pointer: '/filter/x' }] } })
})
