import { applyEvent, compile, createState, SNAPSHOT_EVENTS, snapshotOf } from '@baton/engine'
import { loadRuns, putSnapshot } from '@baton/store'
import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, type Orchestrator, startOrchestrator, TINY } from './start-orchestrator.ts'

const FLOW = { steps: { a: { set: { x: 1 } }, ask: { needs: 'a', approval: { title: 'Go?' } }, end: { needs: 'ask', set: { y: 1 } } } }
const PATCH = 'application/json-patch+json'

async function startRun({ post, sql }: Orchestrator, workflow: string): Promise<string> {
  const { id } = (await post(`/api/v1/workflows/${workflow}/runs`)).body
  await takeUp(sql, bare(id))
  return id
}

function patcher(o: Orchestrator, id: string) {
  return (body: object[], version: string | null = '1', type = PATCH) =>
    o.ask('PATCH', `/api/v1/runs/${id}/definition`, { body: body as never, type, headers: version === null ? {} : { 'if-match': version } })
}

t.test('a step that has not started may change; the run goes on by it', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FLOW, 'w')
  const id = await startRun(o, 'w')
  const patch = patcher(o, id)
  t.match(await o.get(`/api/v1/runs/${id}/definition`), { headers: { etag: '"1"' }, body: { definitionVersion: 1 } })
  const accepted = await patch([{ op: 'replace', path: '/steps/end/set', value: { y: 2 } }])
  t.match(accepted, { status: 200, body: { definitionVersion: 2 }, headers: { etag: '"2"' } })
  t.match(await o.get(`/api/v1/runs/${id}/definition`), {
    body: { definitionVersion: 2, definition: { steps: { end: { set: { y: 2 } } } } },
  })
  t.match(await patch([{ op: 'add', path: '/definition/steps/more', value: { set: { z: 1 } } }], '"2"', 'application/json'), {
    body: { definitionVersion: 3 },
  })
  await advanceRun(o.sql, bare(id))
  t.match((await o.get(`/api/v1/runs/${id}/steps/more`)).body, { status: 'succeeded' }, 'what has become ready starts')
  await o.post(`/api/v1/runs/${id}/approvals/ask/decision`, { decision: 'approve' }, { key: await o.key('operator') })
  t.equal((await advanceRun(o.sql, bare(id))).status, 'succeeded')
  t.same((await o.get(`/api/v1/runs/${id}/steps/end`)).body.output, { y: 2 })
  const events = (await o.get(`/api/v1/runs/${id}/events`)).body.items
  t.same(
    events.map(({ seq }: { seq: number }) => seq),
    events.map((_: unknown, index: number) => index + 1),
  )
  const patched = events.filter(({ type }: { type: string }) => type === 'dev.baton.run.patched')
  t.match(patched, [{ data: { definitionVersion: 2, by: 'key_admin', patch: [{ op: 'replace' }] } }, { data: { definitionVersion: 3 } }])
  t.match((await o.get(`/api/v1/audit?action=run.patch`)).body.items, [
    { data: { definitionVersion: 3 } },
    { data: { definitionVersion: 2 } },
  ])
  t.same((await o.get('/api/v1/workflows/w')).body.definition, FLOW, 'the workflow is what it was')
})

t.test('what may not be patched is told by code and place', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FLOW, 'w')
  const id = await startRun(o, 'w')
  const patch = patcher(o, id)
  const end = { op: 'replace', path: '/steps/end/set', value: { y: 2 } }
  t.match(await patch([end], null), { status: 428, body: { code: 'BTN_PRECONDITION_REQUIRED' } })
  t.match(await patch([end], '2'), { status: 412, body: { code: 'BTN_PRECONDITION_FAILED' } })
  t.match(await patch([end], 'x'), { status: 422, body: { errors: [{ pointer: '/headers/if-match' }] } })
  t.match(await patch([{ op: 'replace', path: '/steps/a/set/x', value: 2 }]), {
    status: 409,
    body: { code: 'BTN_RUN_STATE', errors: [{ pointer: '/steps/a' }] },
  })
  t.match(await patch([{ op: 'remove', path: '/steps/ask' }]), { status: 409, body: { errors: [{ pointer: '/steps/ask' }] } })
  t.match(await patch([{ op: 'add', path: '/steps/ask/needs', value: ['a', 'end'] }]), {
    status: 409,
    body: { errors: [{ pointer: '/steps/ask' }] },
  })
  t.match(await patch([{ op: 'add', path: '/steps/end/needs', value: 'nothing' }]), {
    status: 422,
    body: { code: 'BTN_INVALID_DEFINITION', errors: [{ pointer: '/steps/end/needs' }] },
  })
  t.match(await patch([{ op: 'remove', path: '/steps/nothing' }]), { status: 422, body: { errors: [{ pointer: '/0/path' }] } })
  t.match(await patch([{ op: 'test', path: '/steps/a/set/x', value: 2 }, end]), { status: 409, body: { code: 'BTN_CONFLICT' } })
  t.match(await patch([{ op: 'swap', path: '/steps' }]), { status: 422, body: { errors: [{ pointer: '/0/op' }] } })
  t.match(await patch([end], '1', 'text/plain'), { status: 415 })
  t.match(await patcher(o, id)([end], '1'), { status: 200 })
  t.match(await patch([{ ...end, value: { y: 2 } }], '*'), { status: 200, body: { definitionVersion: 2 } }, 'it changes nothing')
  await o.save(TINY, 'tiny')
  const ended = await startRun(o, 'tiny')
  t.match(await patcher(o, ended)([{ op: 'add', path: '/steps/more', value: { set: {} } }]), {
    status: 409,
    body: { detail: /has succeeded/ },
  })
  const key = await o.key('operator')
  t.equal((await o.ask('PATCH', `/api/v1/runs/${id}/definition`, { body: [end] as never, key, headers: { 'if-match': '2' } })).status, 403)
})

t.test('of two patches that know the same version one wins', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FLOW, 'w')
  const id = await startRun(o, 'w')
  const answers = await Promise.all([2, 3, 4, 5].map((y) => patcher(o, id)([{ op: 'replace', path: '/steps/end/set', value: { y } }])))
  t.same(answers.map(({ status }) => status).sort(), [200, 412, 412, 412])
})

t.test('a failed run is patched and retried', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { bad: { fail: {} }, next: { needs: 'bad', set: { x: 1 } } } }, 'w')
  const id = await startRun(o, 'w')
  t.equal((await patcher(o, id)([{ op: 'replace', path: '/steps/next/set', value: { x: 2 } }])).status, 200)
  t.equal((await o.sql`select from inbox`).length, 0, 'there is nothing to go on with')
  t.equal((await o.post(`/api/v1/runs/${id}/retry`)).status, 202)
  t.match(await advanceRun(o.sql, bare(id)), { status: 'failed', header: { checksum: /sha256/ } })
})

t.test('a snapshot under the old definition is of no use, and does no harm', async (t) => {
  const o = await startOrchestrator(t)
  await o.save(FLOW, 'w')
  const id = await startRun(o, 'w')
  const old = (await loadRuns(o.sql, [bare(id)])).get(bare(id))!
  const state = createState(compile(FLOW).plan!, old.header)
  for (const event of old.events) applyEvent(state, event)
  await putSnapshot(o.sql, 'default', bare(id), state.seq, JSON.stringify(snapshotOf(state)))
  await patcher(o, id)([{ op: 'add', path: '/steps/more', value: { set: { z: 1 } } }])
  const loaded = (await loadRuns(o.sql, [bare(id)], { snapshotsFrom: 1 })).get(bare(id))!
  t.not(loaded.snapshot!.checksum, loaded.header.checksum, 'so that it is seen to be another')
  t.ok(SNAPSHOT_EVENTS > 0)
  await advanceRun(o.sql, bare(id))
  t.match((await o.get(`/api/v1/runs/${id}/steps/more`)).body, { status: 'succeeded' })
})
