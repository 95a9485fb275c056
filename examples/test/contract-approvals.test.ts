/** Questions to people: who may vote, what decides, and what happens when nobody does. */
import { type Test, test } from 'tap'
import { type Answer, type Contract, expectProblem, freshName, type Loose, must, openContract } from './contract-harness.ts'

interface Key {
  id: string
  name: string
  key: string
}

/** A contract, and two operators beside the admin who starts the runs. */
interface Scene extends Contract {
  ann: Key
  bob: Key
  /** Saves and starts a run of one approval `a`; gives the approval once it is open. */
  ask(approval: Record<string, unknown>, options?: { input?: unknown; rest?: Record<string, unknown>; key?: string }): Promise<Loose>
  vote(approval: Loose, who: Key | null, body: Record<string, unknown>): Promise<Answer>
}

const approve = { decision: 'approve' }
const reject = { decision: 'reject' }

test('approvals', { timeout: 60_000 }, async (t) => {
  const contract = await openContract(t)
  const { call, makeKey, saveSteps, start, approvalOf } = contract
  const [ann, bob] = (await Promise.all([makeKey('operator'), makeKey('operator', { groups: ['finance'] })])) as [Key, Key]
  const scene: Scene = {
    ...contract,
    ann,
    bob,
    ask: async (approval, { input = {}, rest = {}, key } = {}) => {
      const name = await saveSteps([{ id: 'a', approval: { title: 'Ok?', ...approval }, ...rest }], { output: '${{ steps.a.output }}' })
      return approvalOf((await start(name, { input }, key ? { key } : {})).id)
    },
    vote: (approval, who, body) => call('POST', `/api/v1/approvals/${approval.id}/decision`, { body, ...(who ? { key: who.key } : {}) }),
  }
  await t.test('have a shape', (t) => shapes(t, scene))
  await t.test('are decided by their assignees', (t) => assignees(t, scene))
  await t.test('are not decided by who started the run', (t) => self(t, scene))
  await t.test('have options, a form and comments', (t) => forms(t, scene))
  await t.test('count each voter once up to the quorum', (t) => quorums(t, scene))
  await t.test('are decided by a veto, or when nothing can win', (t) => vetoes(t, scene))
  await t.test('run out', (t) => timeouts(t, scene))
  await t.test('are found and decided by id and by path', (t) => found(t, scene))
})

async function shapes(t: Test, { ask, vote, call, ann, ended, step }: Scene) {
  const form = { type: 'object', properties: { n: { type: 'integer' } } }
  const open = await ask(
    { title: 'Pay ${{ input.n }} EUR?', description: '**To** ${{ input.who }}', data: { n: '${{ input.n }}' }, form, timeout: '1h' },
    { input: { n: 5, who: 'Ann' } },
  )
  t.match(open, {
    id: /^apr_/,
    run: /^run_/,
    step: 'a',
    status: 'pending',
    title: 'Pay 5 EUR?',
    description: '**To** Ann',
    data: { n: 5 },
    form,
    quorum: 1,
    decisions: [],
    decision: null,
    createdAt: /Z$/,
    deadline: /Z$/,
  })
  t.strictSame(open.assignees, ['role:operator'], 'operators by default')
  t.match(JSON.stringify(open.options), /approve[\s\S]*reject/)
  for (let i = 0; i < 3; i++) await call('GET', `/api/v1/approvals/${open.id}`)
  t.equal(must(await call('GET', `/api/v1/approvals/${open.id}`), 200).status, 'pending', 'a GET never decides')
  const decided = must(await vote(open, ann, { ...approve, comment: 'fine', data: { n: 6 } }), 200)
  t.match(decided, { id: open.id, status: 'decided', decision: 'approve', decisions: [{ decision: 'approve' }] })
  const run = await ended(open.run)
  t.match(run, { status: 'succeeded', output: { decision: 'approve', comment: 'fine', data: { n: 6 }, decidedAt: /Z$/ } })
  t.equal(run.output.decidedBy.length, 1)
  t.match(JSON.stringify(run.output.decidedBy), ann.name)
  t.match(await step(open.run, 'a'), { status: 'succeeded', kind: 'approval', output: { decision: 'approve' } })
  const late = await vote(open, ann, approve)
  expectProblem(t, late, { status: 409 }, 'again')
  const body = { steps: { a: { approval: { title: 'x' }, timeout: '1h' } } }
  expectProblem(
    t,
    await call('PUT', `/api/v1/workflows/${freshName()}`, { body }),
    { status: 422, pointer: '/steps/a/timeout' },
    'timeout stands in the body',
  )
}

async function assignees(t: Test, { ask, vote, ann, bob, makeKey, ended, call, saveSteps, start }: Scene) {
  const viewer = (await makeKey('viewer')) as Key
  const developer = (await makeKey('developer')) as Key
  const first = await ask({})
  for (const key of [viewer, developer]) {
    const refused = await vote(first, key, approve)
    expectProblem(t, refused, { status: 403 }, key.name)
    t.ok(refused.body.detail.length > 10, 'with the reason')
  }
  t.equal(must(await call('GET', `/api/v1/approvals/${first.id}`), 200).decisions.length, 0)
  must(await vote(first, ann, approve), 200)

  const named = await ask({ assignees: [`user:${ann.name}`] })
  expectProblem(t, await vote(named, bob, approve), { status: 403, code: 'BTN_NOT_ELIGIBLE' }, 'another user')
  must(await vote(named, ann, approve), 200)
  const grouped = await ask({ assignees: ['group:finance'] })
  expectProblem(t, await vote(grouped, ann, approve), { status: 403, code: 'BTN_NOT_ELIGIBLE' }, 'outside the group')
  must(await vote(grouped, bob, approve), 200)
  const dynamic = await ask({ assignees: '${{ input.who }}' }, { input: { who: [`user:${bob.name}`, 'group:none'] } })
  t.strictSame(dynamic.assignees, [`user:${bob.name}`, 'group:none'])
  must(await vote(dynamic, bob, approve), 200)
  const part = await ask({ assignees: ['user:${{ input.who }}'] }, { input: { who: ann.name } })
  must(await vote(part, ann, approve), 200)
  const other = (await makeKey('admin')) as Key
  must(await vote(await ask({ assignees: ['role:operator'] }), other, approve), 200)
  t.pass('admin counts as every role')
  const bad = await start(
    await saveSteps({ a: { approval: { title: 'x', assignees: '${{ input.who }}' } } }),
    { input: { who: [1, 'nobody'] } },
    { wait: '20s' },
  )
  t.match(bad, { status: 'failed', error: { code: 'BTN_APPROVAL_ASSIGNEES' } })
  for (const approval of [first, named, grouped, dynamic, part]) t.equal((await ended(approval.run)).status, 'succeeded')
  const wrong = { steps: { a: { approval: { title: 'x', assignees: ['everybody'] } } } }
  expectProblem(
    t,
    await call('PUT', `/api/v1/workflows/${freshName()}`, { body: wrong }),
    { status: 422, pointer: '/steps/a/approval/assignees/0' },
    'no such form',
  )
}

async function self(t: Test, { ask, vote, ann, bob, ended }: Scene) {
  const own = await ask({}, { key: ann.key })
  const refused = await vote(own, ann, approve)
  expectProblem(t, refused, { status: 403, code: 'BTN_SELF_APPROVAL' }, 'self')
  t.match(refused.body.detail, /start/i, 'with the reason')
  expectProblem(t, await vote(own, ann, { decision: 'nonsense' }), { status: 403 }, '403 before 422')
  must(await vote(own, bob, approve), 200)
  expectProblem(t, await vote(own, ann, approve), { status: 403 }, '403 before 409')
  t.equal((await ended(own.run)).status, 'succeeded')
  const allowed = await ask({ allowSelf: true }, { key: ann.key })
  must(await vote(allowed, ann, approve), 200)
  const admin = await ask({})
  expectProblem(t, await vote(admin, null, approve), { status: 403, code: 'BTN_SELF_APPROVAL' }, 'an admin, too')
}

async function forms(t: Test, { ask, vote, ann, ended }: Scene) {
  const options = [{ id: 'yes', approves: true, title: 'Yes' }, { id: 'later' }, { id: 'no', rejects: true }]
  const asked = await ask({ options })
  expectProblem(t, await vote(asked, ann, approve), { status: 422, pointer: '/decision' }, 'an option that is none')
  expectProblem(t, await vote(asked, ann, {}), { status: 422, pointer: '/decision' }, 'no decision')
  expectProblem(t, await vote(asked, ann, { decision: 'yes', colour: 1 }), { status: 422, pointer: '/colour' }, 'an unknown field')
  must(await vote(asked, ann, { decision: 'later' }), 200)
  t.match(await ended(asked.run), { status: 'succeeded', output: { decision: 'later' } })
  const no = await ask({ options })
  must(await vote(no, ann, { decision: 'no' }), 200)
  t.match(await ended(no.run), { status: 'failed', error: { code: 'BTN_APPROVAL_REJECTED' } })
  const plain = await ask({ options: ['blue', 'red'] })
  must(await vote(plain, ann, { decision: 'red' }), 200)
  t.match(await ended(plain.run), { status: 'succeeded', output: { decision: 'red', comment: null } })

  const form = {
    type: 'object',
    required: ['amount'],
    properties: { amount: { type: 'number', maximum: 100 } },
    additionalProperties: false,
  }
  const filled = await ask({ form })
  expectProblem(t, await vote(filled, ann, { ...approve, data: { amount: 500 } }), { status: 422, pointer: '/data/amount' }, 'too much')
  expectProblem(
    t,
    await vote(filled, ann, { ...approve, data: { amount: 5, more: 1 } }),
    { status: 422, pointer: '/data/more' },
    'more than asked',
  )
  expectProblem(t, await vote(filled, ann, { ...approve, data: {} }), { status: 422, pointer: '/data/amount' }, 'nothing filled in')
  expectProblem(t, await vote(filled, ann, approve), { status: 422 }, 'no data')
  must(await vote(filled, ann, { ...approve, data: { amount: 50 } }), 200)
  t.match(await ended(filled.run), { output: { data: { amount: 50 } } })

  const commented = await ask({ requireComment: true })
  expectProblem(t, await vote(commented, ann, approve), { status: 422, pointer: '/comment' }, 'no comment')
  must(await vote(commented, ann, { ...approve, comment: 'because' }), 200)
  const why = await ask({ requireComment: ['reject'], onReject: 'continue' })
  expectProblem(t, await vote(why, ann, reject), { status: 422, pointer: '/comment' }, 'a rejection without comment')
  must(await vote(why, ann, { ...reject, comment: 'no' }), 200)
  t.match(await ended(why.run), { status: 'succeeded', output: { decision: 'reject', comment: 'no' } })
}

async function quorums(t: Test, { ask, vote, ann, bob, makeKey, ended, call, events }: Scene) {
  const two = await ask({ quorum: 2 })
  t.match(must(await vote(two, ann, approve), 200), { status: 'pending', decision: null, decisions: [{ decision: 'approve' }] })
  expectProblem(t, await vote(two, ann, approve), { status: 409, code: 'BTN_ALREADY_VOTED' }, 'votes are final')
  expectProblem(t, await vote(two, ann, reject), { status: 409, code: 'BTN_ALREADY_VOTED' }, 'votes are final')
  t.match(must(await vote(two, bob, { ...approve, data: { last: true } }), 200), {
    status: 'decided',
    decision: 'approve',
    decisions: { length: 2 },
  })
  const run = await ended(two.run)
  t.equal(run.output.decidedBy.length, 2)
  t.match(run.output.data, { last: true }, "the deciding vote's data")
  expectProblem(t, await vote(two, (await makeKey('operator')) as Key, approve), { status: 409, code: 'BTN_APPROVAL_STATE' }, 'too late')

  const all = await ask({ quorum: 'all', assignees: [`user:${ann.name}`, 'group:finance'] })
  t.equal(must(await vote(all, ann, approve), 200).status, 'pending')
  t.equal(must(await vote(all, bob, approve), 200).status, 'decided')
  const both = await ask({ quorum: 'all', assignees: [`user:${bob.name}`, 'group:finance'] })
  t.equal(must(await vote(both, bob, approve), 200).status, 'decided', 'one vote may speak for two entries')

  const voters = (await Promise.all(Array.from({ length: 8 }, () => makeKey('operator')))) as Key[]
  const raced = await ask({})
  const answers = await Promise.all(voters.map((voter, i) => vote(raced, voter, i % 2 ? approve : reject)))
  t.equal(answers.filter((answer) => answer.status === 200).length, 1, 'exactly one decides')
  t.equal(answers.filter((answer) => answer.status === 409).length, 7)
  t.equal(must(await call('GET', `/api/v1/approvals/${raced.id}`), 200).decisions.length, 1)
  await ended(raced.run)
  t.equal((await events(raced.run)).filter((event) => event.type === 'dev.baton.approval.decided').length, 1)
}

async function vetoes(t: Test, { ask, vote, ann, bob, ended }: Scene) {
  const veto = await ask({ quorum: 2 })
  t.match(must(await vote(veto, ann, reject), 200), { status: 'decided', decision: 'reject' }, 'one vote is a veto')
  t.match(await ended(veto.run), { status: 'failed', error: { code: 'BTN_APPROVAL_REJECTED', step: 'a' } })
  const two = [`user:${ann.name}`, `user:${bob.name}`]
  const split = await ask({ quorum: 2, veto: false, assignees: two, onReject: 'continue' })
  t.equal(must(await vote(split, ann, approve), 200).status, 'pending')
  t.match(must(await vote(split, bob, reject), 200), { status: 'decided', decision: 'reject' }, 'nothing can win any more')
  t.match(await ended(split.run), { status: 'succeeded', output: { decision: 'reject' } })
  const many = await ask({ quorum: 2, veto: false })
  t.equal(must(await vote(many, ann, reject), 200).status, 'pending', 'no veto')
  t.match(must(await vote(many, bob, reject), 200), { status: 'decided', decision: 'reject' })
}

async function timeouts(t: Test, { ask, vote, ann, ended, call, events }: Scene) {
  const soon = { timeout: '200ms' }
  const options = [
    { id: 'yes', approves: true },
    { id: 'no', rejects: true },
  ]
  const [rejected, went, approved, chosen, failed] = await Promise.all([
    ask(soon),
    ask({ ...soon, onTimeout: 'reject', onReject: 'continue' }),
    ask({ ...soon, onTimeout: 'approve' }),
    ask({ ...soon, onTimeout: 'approve', options }),
    ask({ ...soon, onTimeout: 'fail' }),
  ])
  t.match(await ended(rejected.run), { status: 'failed', error: { code: 'BTN_APPROVAL_REJECTED' } })
  t.match(await ended(went.run), { status: 'succeeded', output: { decision: 'reject' } })
  t.match(await ended(approved.run), { status: 'succeeded', output: { decision: 'approve', decidedBy: [] } })
  t.match(await ended(chosen.run), { status: 'succeeded', output: { decision: 'yes' } })
  t.match(await ended(failed.run), { status: 'failed', error: { code: 'BTN_APPROVAL_TIMEOUT' } })
  t.match(must(await call('GET', `/api/v1/approvals/${approved.id}`), 200), { status: 'expired' })
  expectProblem(t, await vote(approved, ann, reject), { status: 409, code: 'BTN_APPROVAL_STATE' }, 'too late')
  t.equal((await events(approved.run)).filter((event) => event.type === 'dev.baton.approval.expired').length, 1)
}

async function found(t: Test, { call, list, saveSteps, start, approvalOf, ended, ann, bob, rootKey }: Scene) {
  const name = await saveSteps({
    route: { switch: { cases: [{ if: 'true', steps: { ask: { approval: { title: 'Inner', assignees: [`user:${ann.name}`] } } } }] } },
  })
  const run = await start(name)
  const approval = await approvalOf(run.id)
  t.equal(approval.step, 'route.ask')
  const mine = async (key: Key) =>
    must(await call('GET', '/api/v1/approvals?assignee=me&status=pending', { key: key.key }), 200).items.map((item: Loose) => item.id)
  t.ok((await mine(ann)).includes(approval.id), 'assignee=me')
  t.notOk((await mine(bob)).includes(approval.id))
  expectProblem(
    t,
    await call('GET', `/api/v1/approvals/${approval.id}`, { key: rootKey }),
    { status: 404, code: 'BTN_APPROVAL_NOT_FOUND' },
    'of another namespace',
  )
  expectProblem(
    t,
    await call('POST', `/api/v1/runs/${run.id}/approvals/nope/decision`, { body: approve }),
    { status: 404 },
    'an unknown path',
  )
  const at = `/api/v1/runs/${run.id}/approvals/route.ask/decision`
  expectProblem(t, await call('POST', at, { body: approve, key: bob.key }), { status: 403, code: 'BTN_NOT_ELIGIBLE' }, 'not eligible')
  t.match(must(await call('POST', at, { body: approve, key: ann.key }), 200), { id: approval.id, status: 'decided' })
  expectProblem(t, await call('POST', at, { body: approve, key: ann.key }), { status: 409 }, 'twice')
  t.equal((await ended(run.id)).status, 'succeeded')
  t.notOk((await mine(ann)).includes(approval.id))
  t.strictSame(
    (await list(`/api/v1/approvals?run=${run.id}`)).map((item) => item.id),
    [approval.id],
  )
  t.strictSame((await list(`/api/v1/approvals?run=${run.id}&status=decided`)).length, 1)
  t.strictSame((await list(`/api/v1/approvals?run=${run.id}&status=pending`)).length, 0)
  for (const query of ['status=odd', 'assignee=you', 'colour=1', 'limit=201', 'cursor=x']) {
    expectProblem(t, await call('GET', `/api/v1/approvals?${query}`), { status: 422 }, query)
  }
}
