import { randomUUIDv7 } from 'node:crypto'
import { testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import {
  commitBatch,
  createApiKey,
  decideApproval,
  findOverdue,
  findUnnotified,
  getApproval,
  hashApiKey,
  listApprovals,
  listPendingApprovals,
  loadInbox,
  markNotified,
  type Sql,
  type Voter,
  withTransaction,
} from '../src/index.ts'
import { commitOf, opening, startRun } from './fixtures/runs.ts'

const ann: Voter = { id: 'key_ann', name: 'ann', role: 'operator', groups: ['finance'] }
const bob: Voter = { id: 'key_bob', name: 'bob', role: 'operator', groups: [] }
const eve: Voter = { id: 'key_eve', name: 'eve', role: 'viewer', groups: [] }
const root: Voter = { id: 'key_admin', name: 'admin', role: 'admin', groups: [] }

async function open(sql: Sql, more: Parameters<typeof opening>[0] = {}) {
  const runId = await startRun(sql, { startedBy: 'key_starter' })
  const question = opening(more)
  await commitBatch(sql, [commitOf(runId, 1, 2, { decision: { approvalsOpened: [question] } })])
  return { runId, id: question.id }
}

function vote(sql: Sql, id: string, voter: Voter, decision: string, more = {}) {
  return decideApproval(sql, {
    namespace: 'default',
    approval: { id },
    voter,
    decision,
    comment: null,
    data: null,
    otherVoters: [root],
    ...more,
  })
}

/** Gives the voters keys, and the identities that follow from them. */
async function withKeys(sql: Sql, voters: Voter[]): Promise<Voter[]> {
  return Promise.all(
    voters.map(async (voter) => {
      const { name, role, groups } = voter
      const id = randomUUIDv7()
      await createApiKey(sql, { id, namespace: 'default', name, role: role as 'operator', groups, hash: hashApiKey(name) })
      return { ...voter, id: `key_${id}` }
    }),
  )
}

test('a deciding vote settles the approval and tells the run in one transaction', async (t) => {
  const { sql } = await testDatabase(t)
  const { id, runId } = await open(sql)
  const result = await vote(sql, id, ann, 'approve', { comment: 'fine', data: { a: 1 } })
  t.match(result, {
    outcome: 'voted',
    decided: { id: /^\d+$/ },
    approval: { status: 'decided', decision: 'approve', votes: [{ name: 'ann', comment: 'fine', data: { a: 1 } }] },
  })
  const inbox = await loadInbox(sql, [runId])
  t.match(inbox, [
    {
      fact: {
        kind: 'approval-decided',
        path: 'review',
        generation: 0,
        approvalId: id,
        decision: 'approve',
        rejects: false,
        comment: 'fine',
        data: { a: 1 },
        decidedBy: ['ann'],
      },
    },
  ])
  const stored = await getApproval(sql, 'default', { runId, path: 'review' })
  t.match(stored, { id, status: 'decided', decision: 'approve', quorum: 1, votes: [{ voter: 'key_ann' }] })
  t.equal(stored!.closedAt, stored!.votes[0]!.at)
})

test('of twenty voters at once exactly one outcome comes, and each is counted once', async (t) => {
  const { sql } = await testDatabase(t)
  const { id, runId } = await open(sql, { quorum: 5, veto: false })
  const people = Array.from({ length: 10 }, (_, n): Voter => ({ id: '', name: `v${n}`, role: 'operator', groups: [] }))
  const voters = await withKeys(sql, people)
  const results = await Promise.all([...voters, ...voters].map((voter, n) => vote(sql, id, voter, n % 2 ? 'approve' : 'reject')))
  t.equal(results.filter((result) => result.outcome === 'voted' && result.decided).length, 1)
  t.equal((await loadInbox(sql, [runId])).length, 1)
  const approval = (await getApproval(sql, 'default', { id }))!
  t.equal(approval.status, 'decided')
  t.equal(new Set(approval.votes.map((cast) => cast.voter)).size, approval.votes.length)
  t.equal(approval.votes.filter((cast) => cast.decision === approval.decision).length, 5)
  t.equal(results.filter((result) => result.outcome === 'voted').length, approval.votes.length)
})

test('refusals come in the order of the contract', async (t) => {
  const { sql } = await testDatabase(t)
  const { id } = await open(sql, { requireComment: ['reject'], quorum: 2 })
  const starter: Voter = { id: 'key_starter', name: 'starter', role: 'operator', groups: [] }
  t.match(await vote(sql, randomUUIDv7(), ann, 'approve'), { outcome: 'not-found' })
  t.match(await vote(sql, id, ann, 'approve', { namespace: 'other' }), { outcome: 'not-found' })
  t.match(await vote(sql, id, eve, 'nonsense'), { outcome: 'not-eligible' })
  t.match(await vote(sql, id, starter, 'approve'), { outcome: 'self' })
  t.match(await vote(sql, id, ann, 'nonsense'), { outcome: 'invalid', errors: [{ pointer: '/decision' }] })
  t.match(await vote(sql, id, ann, 'reject', { comment: '  ' }), { outcome: 'invalid', errors: [{ pointer: '/comment' }] })
  t.match(await vote(sql, id, ann, 'approve', { validate: () => [{ pointer: '/data/x', message: 'no' }] }), {
    outcome: 'invalid',
    errors: [{ pointer: '/data/x' }],
  })
  t.match(await vote(sql, id, ann, 'approve'), { outcome: 'voted', decided: undefined })
  t.match(await vote(sql, id, ann, 'reject', { comment: 'no' }), { outcome: 'already-voted', vote: { decision: 'approve' } })
  t.match(await vote(sql, id, root, 'approve'), { outcome: 'voted', decided: { id: /^\d+$/ } })
  t.match(await vote(sql, id, bob, 'approve'), { outcome: 'closed', status: 'decided' })
})

test('nobody decides after the deadline, also before anybody acted on it', async (t) => {
  const { sql } = await testDatabase(t)
  const { id, runId } = await open(sql, { deadline: Date.now() - 1_000 })
  t.match(await vote(sql, id, ann, 'approve'), { outcome: 'closed', status: 'expired' })
  t.equal((await getApproval(sql, 'default', { id }))!.status, 'pending')
  t.same(await findOverdue(sql, 0, 10), [{ approvalId: id, runId }])
  t.same(await findOverdue(sql, 3_600_000, 10), [])
})

test('who may decide their own run does', async (t) => {
  const { sql } = await testDatabase(t)
  const { id } = await open(sql, { allowSelf: true, assignees: ['user:starter'] })
  t.match(await vote(sql, id, { id: 'key_starter', name: 'starter', role: 'viewer', groups: [] }, 'approve'), { decided: { id: /^\d+$/ } })
})

test('when the votes leave no option a chance the approval is rejected', async (t) => {
  const { sql } = await testDatabase(t)
  const [a, b] = (await withKeys(sql, [ann, bob, eve])) as [Voter, Voter]
  const { id, runId } = await open(sql, { assignees: ['user:ann', 'user:bob'], quorum: 2, veto: false })
  t.match(await vote(sql, id, a, 'approve'), { decided: undefined })
  t.match(await vote(sql, id, b, 'reject'), { decided: { id: /^\d+$/ }, approval: { decision: 'reject' } })
  t.match(await loadInbox(sql, [runId]), [{ fact: { decision: 'reject', rejects: true, decidedBy: ['bob'] } }])
  const other = await open(sql, { assignees: ['role:operator'], quorum: 2, veto: false })
  await vote(sql, other.id, a, 'approve')
  t.match(await vote(sql, other.id, b, 'reject'), { decided: undefined }, 'the admin may still vote')
  const keyless = await open(sql, { assignees: ['user:ann', 'user:zoe'], quorum: 2, veto: false })
  t.match(await vote(sql, keyless.id, a, 'approve'), { decided: undefined }, 'who is named and has no key yet may still get one')
})

test('a vote waits for the commit that closes the approval, and then is too late', async (t) => {
  const { sql } = await testDatabase(t)
  const { id, runId } = await open(sql)
  let voting: ReturnType<typeof vote> | undefined
  await withTransaction(sql, async (tx) => {
    await commitBatch(tx as Sql, [commitOf(runId, 2, 3, { decision: { approvalsClosed: [{ id, status: 'cancelled', decision: null }] } })])
    voting = vote(sql, id, ann, 'approve')
    await until(async () => (await sql`select from pg_locks where not granted`).length > 0)
  })
  t.match(await voting, { outcome: 'closed', status: 'cancelled' })
  t.equal((await loadInbox(sql, [runId])).length, 0)
})

test('a commit that would close an approval loses against the vote that decided it', async (t) => {
  const { sql } = await testDatabase(t)
  const { id, runId } = await open(sql)
  await vote(sql, id, ann, 'reject')
  const { won } = await commitBatch(sql, [
    commitOf(runId, 2, 3, { decision: { approvalsClosed: [{ id, status: 'expired', decision: 'approve' }] } }),
  ])
  t.equal(won.size, 0)
  t.equal((await getApproval(sql, 'default', { id }))!.decision, 'reject')
})

test('lists show an assignee what they may decide', async (t) => {
  const { sql } = await testDatabase(t)
  const ids = {
    operators: (await open(sql)).id,
    finance: (await open(sql, { assignees: ['group:finance'] })).id,
    bob: (await open(sql, { assignees: ['user:bob'], quorum: 2 })).id,
  }
  const mine = async (assignee: Voter) => (await listApprovals(sql, 'default', { assignee }, { limit: 10 })).items.map((row) => row.id)
  t.same(await mine(ann), [ids.finance, ids.operators])
  t.same(await mine(bob), [ids.bob, ids.operators])
  t.same(await mine(eve), [])
  t.same(await mine(root), [ids.operators])
  t.same(await mine({ ...root, id: 'key_starter' }), [], 'not of their own runs')
  await vote(sql, ids.bob, bob, 'approve')
  t.same(await mine(bob), [ids.operators], 'not what they have voted on')
  const first = await listApprovals(sql, 'default', { status: 'pending' }, { limit: 2 })
  t.same(
    first.items.map((row) => row.id),
    [ids.bob, ids.finance],
  )
  const rest = await listApprovals(sql, 'default', { status: 'pending' }, { limit: 2, cursor: first.nextCursor! })
  t.same([rest.items.map((row) => row.id), rest.nextCursor], [[ids.operators], null])
})

test('an approval with notify is found until everybody was told', async (t) => {
  const { sql } = await testDatabase(t)
  const { runId } = await open(sql)
  const { id } = await open(sql, { notify: [{ webhook: { url: 'http://x' } }], notifySecrets: [{ pointer: '/0' }] })
  t.match(await findUnnotified(sql, -1_000, 10), [{ approvalId: id, namespace: 'default', trace: null }])
  t.same(await findUnnotified(sql, 60_000, 10), [])
  t.match((await getApproval(sql, 'default', { id }))!, { notify: [{ webhook: { url: 'http://x' } }], notifySecrets: [{ pointer: '/0' }] })
  t.equal(await markNotified(sql, id), true)
  t.equal(await markNotified(sql, id), false)
  t.same(await findUnnotified(sql, -1_000, 10), [])
  t.match(await listPendingApprovals(sql, runId), [{ runId, notify: null }])
})
