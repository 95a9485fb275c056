import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, type Orchestrator, startOrchestrator } from './start-orchestrator.ts'

const CHAIN = {
  input: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } },
  steps: {
    a: { set: { n: '${{ input.n }}' } },
    b: { set: { sum: '${{ steps.a.output.n + input.n }}' } },
    c: { if: 'steps.b.output.sum > 5', fail: {} },
  },
  output: '${{ steps.b.output.sum }}',
}

async function startRun({ post, sql }: Orchestrator, workflow: string, body: object): Promise<string> {
  const { id } = (await post(`/api/v1/workflows/${workflow}/runs`, body as never)).body
  await takeUp(sql, bare(id))
  return id
}

t.test('a fork begins with what its source has done, and runs the rest on another input', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(CHAIN, 'w')
  const id = await startRun(o, 'w', { input: { n: 3 }, labels: { team: 'x' }, priority: 7 })
  const before = (await o.get(`/api/v1/runs/${id}`)).body
  t.equal(before.status, 'failed')
  const forked = await o.post(`/api/v1/runs/${id}/fork`, { from: 'b', input: { n: 1 } })
  t.match(forked, {
    status: 202,
    body: { status: 'queued', forkedFrom: id, input: { n: 1 }, labels: { team: 'x' }, priority: 7, version: 1 },
  })
  t.not(forked.body.id, id)
  const events = (await o.get(`/api/v1/runs/${forked.body.id}/events`)).body.items
  t.match(events, [
    { seq: 1, type: 'dev.baton.run.created' },
    { seq: 2, type: 'dev.baton.run.forked', data: { forkedFrom: id, from: 'b' } },
    { seq: 3, type: 'dev.baton.step.scheduled', subject: 'a' },
    { seq: 4, type: 'dev.baton.step.succeeded', subject: 'a', data: { copied: true } },
  ])
  t.equal(events.length, 4)
  t.equal(forked.body.lastSeq, 4)
  await takeUp(o.sql, bare(forked.body.id))
  t.match((await o.get(`/api/v1/runs/${forked.body.id}`)).body, { status: 'succeeded', output: 4 })
  t.same((await o.get(`/api/v1/runs/${id}`)).body, before, 'the source is not changed')
  t.match((await o.get(`/api/v1/audit?run=${id}`)).body.items, [{ action: 'run.fork', data: { fork: forked.body.id, from: 'b' } }])
})

t.test('what a fork cannot be from, and an input that does not fit, is told', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(CHAIN, 'w')
  await o.save({ steps: { each: { forEach: { in: [1], steps: { x: { set: { a: 1 } } } } } } }, 'each')
  const id = await startRun(o, 'w', { input: { n: 1 } })
  const fork = `/api/v1/runs/${id}/fork`
  t.match(await o.post(fork, { from: 'nothing' }), { status: 404, body: { code: 'BTN_STEP_NOT_FOUND', errors: [{ pointer: '/from' }] } })
  t.match(await o.post(fork, { from: 'a', input: { n: 'x' } }), {
    status: 422,
    body: { code: 'BTN_INVALID_INPUT', errors: [{ pointer: '/input/n' }] },
  })
  t.match(await o.post(fork, {}), { status: 422, body: { errors: [{ pointer: '/from' }] } })
  const each = await startRun(o, 'each', {})
  t.match(await o.post(`/api/v1/runs/${each}/fork`, { from: 'each[0].x' }), {
    status: 422,
    body: { errors: [{ pointer: '/from', message: /here each/ }] },
  })
  t.equal((await o.sql`select from runs`).length, 2)
})

t.test('payloads that are stored beside the run are used by its fork too', async (t) => {
  const o = await startOrchestrator(t, { BATON_INLINE_BYTES_MAX: '100' })
  await o.save({ steps: { a: { set: { long: 'x'.repeat(70_000) } }, b: { needs: 'a', set: { n: 1 } } } }, 'w')
  const id = await startRun(o, 'w', { input: { text: 'x'.repeat(200) } })
  const forked = await o.post(`/api/v1/runs/${id}/fork`, { from: 'b' })
  t.equal((await o.sql`select from blob_uses where run_id = ${bare(forked.body.id)}`).length, 2, 'the input and the output of a')
  const edited = await o.post(`/api/v1/runs/${id}/fork`, { from: 'b', input: { text: 'y'.repeat(200) } })
  t.same(edited.body.input, { text: 'y'.repeat(200) }, 'shown whole')
  t.equal((await o.sql`select from blob_uses where run_id = ${bare(edited.body.id)}`).length, 2, 'its own input is stored and used')
  t.equal((await o.sql`select from blobs`).length, 3)
})

t.test('a run that goes on can be forked; what was open runs in the fork', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { a: { set: { x: 1 } }, ask: { approval: { title: 'Go?' } }, end: { needs: ['a', 'ask'], set: { y: 1 } } } }, 'w')
  const id = await startRun(o, 'w', {})
  const forked = (await o.post(`/api/v1/runs/${id}/fork`, { from: 'end' })).body.id
  await takeUp(o.sql, bare(forked))
  t.match((await o.get('/api/v1/approvals?status=pending')).body.items, [
    { run: forked, step: 'ask' },
    { run: id, step: 'ask' },
  ])
  await o.post(`/api/v1/runs/${forked}/approvals/ask/decision`, { decision: 'approve' }, { key: await o.key('operator') })
  t.equal((await advanceRun(o.sql, bare(forked))).status, 'succeeded')
})

t.test('a hundred failed runs are forked from one step with another input by one call', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(CHAIN, 'w')
  const { items } = (await o.post('/api/v1/workflows/w/runs/batch', { items: Array.from({ length: 100 }, () => ({ input: { n: 9 } })) }))
    .body
  for (const { id } of items) await takeUp(o.sql, bare(id))
  await startRun(o, 'w', { input: { n: 1 } })
  const answer = await o.post('/api/v1/runs/fork', { filter: { workflow: 'w', status: 'failed' }, from: 'b', input: { n: 0 }, limit: 100 })
  t.equal(answer.status, 202)
  t.equal(answer.body.items.length, 100)
  t.same(new Set(answer.body.items.map(({ run }: { run: string }) => run)), new Set(items.map(({ id }: { id: string }) => id)))
  t.ok(answer.body.items.every(({ run, ok }: { run: string; ok: { forkedFrom: string } }) => ok.forkedFrom === run))
  t.match(await o.post('/api/v1/runs/fork', { filter: { status: 'succeeded' }, from: 'b', input: {} }), {
    status: 202,
    body: { items: [{ problem: { code: 'BTN_INVALID_INPUT', errors: [{ pointer: '/input' }] } }] },
  })
})
