import { Approval, type Json } from '@baton/contracts'
import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, type Orchestrator, startOrchestrator, unknownRun } from './start-orchestrator.ts'

/** A run that waits for an approval, started by the admin key unless another key is given. */
async function ask(orchestrator: Orchestrator, approval: Json, key?: string) {
  const { save, post, get, sql } = orchestrator
  const name = await save({ steps: { review: { approval } } })
  const run = (await post(`/api/v1/workflows/${name}/runs`, {}, key ? { key } : {})).body.id as string
  await takeUp(sql, bare(run))
  const { items } = (await get(`/api/v1/approvals?run=${run}`)).body
  return { run, id: items[0].id as string, at: `/api/v1/approvals/${items[0].id}/decision` }
}

t.test('an approval is shown as it was asked, and decides its run once', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { get, post, key, sql } = orchestrator
  const { run, id, at } = await ask(orchestrator, { title: 'Refund?', data: { sum: 7 }, timeout: '1h' })
  const shown = await get(`/api/v1/approvals/${id}`)
  t.ok(Approval.safeParse(shown.body).success)
  t.match(shown.body, {
    run,
    step: 'review',
    status: 'pending',
    title: 'Refund?',
    data: { sum: 7 },
    assignees: ['role:operator'],
    quorum: 1,
  })
  t.match(shown.body, { options: [{ id: 'approve' }, { id: 'reject' }], decisions: [], decision: null, deadline: String })
  const operator = await key('operator', { name: 'olga' })
  const decided = await post(at, { decision: 'approve', comment: 'fine' }, { key: operator })
  t.match(decided, { status: 200, body: { status: 'decided', decision: 'approve' } })
  t.match(decided.body.decisions, [{ by: 'olga', decision: 'approve', comment: 'fine', data: null }])
  await advanceRun(sql, bare(run))
  t.match((await get(`/api/v1/runs/${run}`)).body, { status: 'succeeded' })
  t.match((await get(`/api/v1/runs/${run}/steps/review/output`)).body, { decision: 'approve', decidedBy: ['olga'], comment: 'fine' })
  const other = await key('operator')
  t.match(await post(at, { decision: 'reject' }, { key: other }), {
    status: 409,
    body: { code: 'BTN_APPROVAL_STATE', detail: /decided: approve/ },
  })
  t.match(await post(at, { decision: 'approve' }, { key: operator }), { status: 409, body: { code: 'BTN_ALREADY_VOTED' } })
})

t.test('who starts a run may not decide it, unless the definition says so', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post } = orchestrator
  const own = await ask(orchestrator, { title: 'Go?', assignees: ['role:admin'] })
  t.match(await post(own.at, { decision: 'approve' }), { status: 403, body: { code: 'BTN_SELF_APPROVAL', detail: /allowSelf/ } })
  const allowed = await ask(orchestrator, { title: 'Go?', assignees: ['role:admin'], allowSelf: true })
  t.match(await post(allowed.at, { decision: 'approve' }), { status: 200, body: { decision: 'approve' } })
})

t.test('only those who are named may decide, whatever their role lets them do elsewhere', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, get, key } = orchestrator
  const ann = await key('viewer', { name: 'ann' })
  const bob = await key('developer', { name: 'bob', groups: ['finance'] })
  const operator = await key('operator')
  const named = await ask(orchestrator, { title: 'Go?', assignees: ['user:ann', 'group:finance'], quorum: 2 })
  const refused = await post(named.at, { decision: 'approve' }, { key: operator })
  t.match(refused, { status: 403, body: { code: 'BTN_NOT_ELIGIBLE', detail: /user:ann, group:finance/ } })
  t.match(await post(named.at, { decision: 'nonsense' }, { key: operator }), { status: 403 }, 'who may comes before what')
  const mine = async (key: string) => (await get('/api/v1/approvals?assignee=me', { key })).body.items.length
  t.same([await mine(ann), await mine(bob), await mine(operator)], [1, 1, 0])
  t.match(await post(named.at, { decision: 'approve' }, { key: ann }), { status: 200, body: { status: 'pending' } })
  t.same([await mine(ann), await mine(bob)], [0, 1])
  t.match(await post(named.at, { decision: 'approve' }, { key: bob }), { status: 200, body: { status: 'decided' } })
})

t.test('a vote is checked against options, comment rules and the form', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, key } = orchestrator
  const operator = await key('operator')
  const form = { type: 'object', required: ['amount'], properties: { amount: { type: 'number' } } }
  const { at } = await ask(orchestrator, { title: 'Go?', form, options: ['yes', { id: 'no', rejects: true }], requireComment: ['no'] })
  const vote = (body: Json) => post(at, body, { key: operator })
  const rows: [Json, string][] = [
    [{ decision: 'maybe' }, '/decision'],
    [{}, '/decision'],
    [{ decision: 'no' }, '/comment'],
    [{ decision: 'yes' }, '/data/amount'],
    [{ decision: 'yes', data: { amount: 'much' } }, '/data/amount'],
    [{ decision: 'yes', data: 7 }, '/data'],
    [{ decision: 'yes', verdict: 1 }, '/verdict'],
    [{ decision: 'no', comment: 'a\u0000' }, '/comment'],
  ]
  for (const [body, pointer] of rows) {
    const answer = await vote(body)
    t.match(answer, { status: 422, body: { code: 'BTN_INVALID_REQUEST' } })
    t.equal(answer.body.errors[0].pointer, pointer, JSON.stringify(body))
  }
  t.match(await vote({ decision: 'yes', data: { amount: 5 } }), {
    status: 200,
    body: { decision: 'yes', decisions: [{ data: { amount: 5 } }] },
  })
})

t.test('an approval is also decided by run and step path', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, key } = orchestrator
  const operator = await key('operator')
  const { run } = await ask(orchestrator, { title: 'Go?' })
  const at = (id: string, path: string) => `/api/v1/runs/${id}/approvals/${path}/decision`
  t.match(await post(at(run, 'nope'), { decision: 'approve' }, { key: operator }), {
    status: 404,
    body: { code: 'BTN_APPROVAL_NOT_FOUND' },
  })
  t.match(await post(at(unknownRun(), 'review'), {}, { key: operator }), { status: 404, body: { code: 'BTN_RUN_NOT_FOUND' } })
  t.match(await post(at(run, 'review'), { decision: 'reject' }, { key: operator }), { status: 200, body: { decision: 'reject' } })
})

t.test('two who decide at once get one outcome', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { post, key, sql } = orchestrator
  const { at } = await ask(orchestrator, { title: 'Go?' })
  const voters = await Promise.all(Array.from({ length: 6 }, () => key('operator')))
  const answers = await Promise.all(voters.map((key, n) => post(at, { decision: n % 2 ? 'approve' : 'reject' }, { key })))
  t.same(answers.map((answer) => answer.status).sort(), [200, 409, 409, 409, 409, 409])
  t.equal((await sql`select from inbox`).length, 1)
})

t.test('approvals are listed by status, newest first', async (t) => {
  const orchestrator = await startOrchestrator(t)
  const { get, post, key } = orchestrator
  const first = await ask(orchestrator, { title: 'One?' })
  const second = await ask(orchestrator, { title: 'Two?' })
  await post(first.at, { decision: 'approve' }, { key: await key('operator') })
  const ids = async (query: string) => (await get(`/api/v1/approvals${query}`)).body.items.map((item: { id: string }) => item.id)
  t.same(await ids(''), [second.id, first.id])
  t.same(await ids('?status=pending'), [second.id])
  t.same(await ids('?status=decided'), [first.id])
  t.same(await ids(`?run=${first.run}`), [first.id])
  t.match(await get('/api/v1/approvals?assignee=you'), { status: 422, body: { errors: [{ pointer: '/query/assignee' }] } })
  t.match(await get('/api/v1/approvals?run=x'), { status: 422, body: { errors: [{ pointer: '/query/run' }] } })
  const page = (await get('/api/v1/approvals?limit=1')).body
  t.same(await ids(`?limit=1&cursor=${page.nextCursor}`), [first.id])
})
