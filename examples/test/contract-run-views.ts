/** What a run shows of itself, and how it is cancelled, paused and resumed. */
import { until } from '@baton/testing'
import type { Test } from 'tap'
import { type Contract, expectProblem, type Loose, must } from './contract-harness.ts'

const RUN_ID = /^run_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const set = (x: unknown = 1) => ({ set: { x } })
const GATE = { approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }

/** What one run shows, and how it is steered. */
export async function judgeRunViews(t: Test, contract: Contract): Promise<void> {
  await t.test('has a shape', (t) => shapes(t, contract))
  await t.test('tells what happened in events', (t) => happened(t, contract))
  await t.test('tells its graph, its definition and what it waits for', (t) => views(t, contract))
  await t.test('is cancelled, paused and resumed', (t) => steering(t, contract))
}

async function shapes(t: Test, { saveSteps, start, ended, step, list, namespace }: Contract) {
  const name = await saveSteps([
    { id: 'a', name: 'First', ...set(1) },
    { id: 'b', fail: { code: 'NO', message: 'no' } },
  ])
  const run = await start(name, { input: { n: 1 } })
  const expected = {
    id: RUN_ID,
    namespace,
    workflow: name,
    version: 1,
    input: { n: 1 },
    output: null,
    labels: {},
    priority: 5,
    createdAt: TIME,
    lastSeq: Number,
  }
  t.match(run, { ...expected, status: /queued|running/, error: null, endedAt: null })
  const end = await ended(run.id)
  t.match(end, { ...expected, status: 'failed', error: { code: 'NO', message: 'no', step: 'b' }, startedAt: TIME, endedAt: TIME })
  t.notOk('ending' in end && end.ending !== null && end.ending !== undefined, 'no ending any more')
  t.match(await step(run.id, 'a'), {
    path: 'a',
    kind: 'set',
    name: 'First',
    status: 'succeeded',
    generation: 0,
    attempt: 1,
    output: { x: 1 },
    error: null,
    startedAt: TIME,
    endedAt: TIME,
  })
  t.match(await step(run.id, 'b'), { path: 'b', kind: 'fail', status: 'failed', output: null, error: { code: 'NO', message: 'no' } })
  t.strictSame(
    (await list(`/api/v1/runs/${run.id}/steps`)).map((each) => each.path),
    ['a', 'b'],
    'oldest first',
  )
  t.strictSame(
    (await list(`/api/v1/runs/${run.id}/steps?limit=1`)).map((each) => each.path),
    ['a', 'b'],
    'page by page',
  )
}

async function happened(t: Test, { call, saveSteps, start, ended, events, list, approvalOf }: Contract) {
  const name = await saveSteps([
    { id: 'a', ...set() },
    { id: 'b', ...GATE },
    { id: 'c', if: 'false', ...set() },
  ])
  const run = await start(name)
  await approvalOf(run.id)
  must(await call('POST', `/api/v1/runs/${run.id}/approvals/b/decision`, { body: { decision: 'approve' } }), 200)
  const end = await ended(run.id)
  const all = await events(run.id)
  t.strictSame(
    all.map((event) => event.seq),
    all.map((_, i) => i + 1),
    'seq is 1..n',
  )
  t.equal(end.lastSeq, all.length)
  for (const event of all) {
    t.match(event, {
      specversion: '1.0',
      id: /./,
      source: `/runs/${run.id}`,
      type: /^dev\.baton\.(run|step|approval)\./,
      time: TIME,
      seq: Number,
    })
    if (/\.(step|approval)\./.test(event.type)) t.match(event, { subject: /^[abc]$/ })
    if (/\.step\./.test(event.type)) t.match(event.data, { generation: 0, attempt: Number })
  }
  t.equal(new Set(all.map((event) => event.id)).size, all.length)
  const has = (type: string, subject?: string) =>
    all.filter((event) => event.type === `dev.baton.${type}` && (subject === undefined || event.subject === subject)).length
  for (const [type, subject] of [
    ['run.created'],
    ['run.started'],
    ['step.scheduled', 'a'],
    ['step.succeeded', 'a'],
    ['step.scheduled', 'b'],
    ['approval.opened', 'b'],
    ['approval.decided', 'b'],
    ['step.succeeded', 'b'],
    ['step.skipped', 'c'],
    ['run.succeeded'],
  ] as const) {
    t.equal(has(type, subject), 1, `${type} ${subject ?? ''}`)
  }
  t.equal(all[0].type, 'dev.baton.run.created')
  t.equal(all.at(-1).type, 'dev.baton.run.succeeded')
  t.match(all.find((event) => event.type === 'dev.baton.step.succeeded' && event.subject === 'a').data, {
    output: { x: 1 },
    startedAt: TIME,
  })
  t.ok(has('run.waiting') >= 1, 'run.waiting')
  t.strictSame(
    (await list(`/api/v1/runs/${run.id}/events?after=3`)).map((event) => event.seq),
    all.slice(3).map((event) => event.seq),
  )
  t.strictSame(await list(`/api/v1/runs/${run.id}/events?limit=2`), all, 'page by page')
  t.strictSame(must(await call('GET', `/api/v1/runs/${run.id}/events?after=${all.length}`), 200), { items: [], nextCursor: null })
}

async function views(t: Test, { call, saveSteps, start, approvalOf, ended }: Contract) {
  const definition = { a: set(), b: { needs: ['a'], ...GATE }, c: { needs: ['b'], ...set() } }
  const name = await saveSteps(definition, { description: 'first' })
  const run = await start(name)
  const approval = await approvalOf(run.id)
  await call('PUT', `/api/v1/workflows/${name}`, { body: { steps: { z: set() } } })
  t.match(
    must(await call('GET', `/api/v1/runs/${run.id}/definition`), 200),
    { definitionVersion: Number, definition: { description: 'first', steps: definition } },
    'its own frozen copy',
  )
  const graph = must(await call('GET', `/api/v1/runs/${run.id}/graph`), 200)
  t.match(JSON.stringify(graph), /"a"[\s\S]*"b"[\s\S]*"c"/)
  const { items } = must(await call('GET', `/api/v1/runs/${run.id}/why`), 200)
  t.match(
    items.find((item: Loose) => item.step === 'b'),
    { status: 'waiting', since: TIME, reason: /./, movableBy: ['role:admin'] },
  )
  t.match(
    items.find((item: Loose) => item.step === 'c'),
    { reason: /b/ },
    'one sentence per open step',
  )
  t.notOk(items.some((item: Loose) => item.step === 'a'))
  const steps = must(await call('GET', `/api/v1/runs/${run.id}/steps/b`), 200)
  t.match(steps, { status: 'waiting', kind: 'approval', waitingFor: Object, endedAt: null })
  must(await call('POST', `/api/v1/approvals/${approval.id}/decision`, { body: { decision: 'approve' } }), 200)
  t.equal((await ended(run.id)).status, 'succeeded')
  t.strictSame(must(await call('GET', `/api/v1/runs/${run.id}/why`), 200).items, [], 'nothing is open at the end')
}

async function steering(t: Test, { call, saveSteps, start, ended, approvalOf, events, step }: Contract) {
  const name = await saveSteps([
    { id: 'a', ...GATE },
    { id: 'b', ...set() },
  ])
  const post = (id: string, verb: string) => call('POST', `/api/v1/runs/${id}/${verb}`)
  const run = await start(name)
  const approval = await approvalOf(run.id)
  t.equal((await post(run.id, 'resume')).status, 200, 'it goes on already')
  t.match(await post(run.id, 'pause'), { status: 202, body: { id: run.id } })
  const isPaused = (id: string) => until(async () => must(await call('GET', `/api/v1/runs/${id}`), 200).status === 'paused')
  await isPaused(run.id)
  t.match(await post(run.id, 'pause'), { status: 200, body: { status: 'paused' } }, 'already so')
  t.match(
    must(await call('POST', `/api/v1/approvals/${approval.id}/decision`, { body: { decision: 'approve' } }), 200),
    { id: approval.id },
    'votes are taken',
  )
  t.match(must(await call('GET', `/api/v1/runs/${run.id}?wait=300ms`), 200), { status: 'paused' }, 'and nothing new starts')
  t.match((await call('GET', `/api/v1/runs/${run.id}/steps/b`)).body?.status, /pending|undefined|ready|404/)
  t.match(await post(run.id, 'resume'), { status: 202 })
  t.match(await ended(run.id), { status: 'succeeded' })
  const types = (await events(run.id)).map((event) => event.type.replace('dev.baton.', ''))
  t.ok(types.includes('run.paused') && types.includes('run.resumed'), types.join(' '))
  for (const verb of ['cancel', 'pause', 'resume']) {
    const answer = await post(run.id, verb)
    expectProblem(t, answer, { status: 409, code: 'BTN_RUN_STATE' }, `${verb} a run that succeeded`)
    t.match(answer.body.detail, /succeeded/, 'the detail names the state')
  }

  const second = await start(name)
  const asked = await approvalOf(second.id)
  t.equal((await post(second.id, 'cancel')).status, 202)
  t.match(await ended(second.id), { status: 'cancelled', output: null, endedAt: TIME })
  t.match(await post(second.id, 'cancel'), { status: 200, body: { status: 'cancelled' } }, 'already so')
  expectProblem(t, await post(second.id, 'pause'), { status: 409 }, 'pause a cancelled run')
  t.match(await step(second.id, 'a'), { status: 'cancelled' })
  t.match(must(await call('GET', `/api/v1/approvals/${asked.id}`), 200), { status: 'cancelled' })
  expectProblem(
    t,
    await call('POST', `/api/v1/approvals/${asked.id}/decision`, { body: { decision: 'approve' } }),
    { status: 409, code: 'BTN_APPROVAL_STATE' },
    'too late',
  )
  t.match((await events(second.id)).map((event) => event.type).slice(-1), ['dev.baton.run.cancelled'])

  const third = await start(name)
  await approvalOf(third.id)
  must(await post(third.id, 'pause'), 202)
  must(await post(third.id, 'cancel'), 202)
  t.equal((await ended(third.id)).status, 'cancelled', 'a paused run can be cancelled')

  const sleepy = await start(await saveSteps([{ id: 'w', wait: { for: '300ms' } }]))
  must(await post(sleepy.id, 'pause'), 202)
  await isPaused(sleepy.id)
  t.match(
    must(await call('GET', `/api/v1/runs/${sleepy.id}?wait=600ms`), 200),
    { status: 'paused' },
    'timers that fell due wait for resume',
  )
  must(await post(sleepy.id, 'resume'), 202)
  t.equal((await ended(sleepy.id)).status, 'succeeded')
}
