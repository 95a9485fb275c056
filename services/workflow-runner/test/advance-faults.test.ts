/** The hot path against what comes at the worst moment. */
import type { Json } from '@baton/contracts'
import { acceptEvents, addToInbox, loadRuns, type Sql } from '@baton/store'
import { testDatabase } from '@baton/testing'
import t from 'tap'
import type { Delivery } from '../src/advance.ts'
import { advanceRuns } from '../src/advance-runs.ts'
import { command, createRunner, eventsOf, type Runner, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const ONE = { steps: { a: { set: { x: 1 } } } }
const PAID = { steps: { paid: { waitFor: { event: 'order.paid', timeout: '1h' } } } }
const QUESTION = { steps: { ok: { approval: { title: 'Go?', timeout: '1h', onTimeout: 'fail' } } } }

/** Counts the commits of a runner. */
function countCommits(runner: Runner): { count: number } {
  const commits = { count: 0 }
  const commit = runner.store.commit
  runner.store.commit = (batch) => {
    commits.count++
    return commit(batch)
  }
  return commits
}

/** What the transaction of a deciding vote leaves. */
async function decide(sql: Sql, runId: string): Promise<void> {
  const [row] = await sql<{ id: string; path: string }[]>`
    update approvals set status = 'decided', decision = 'approve', closed_at = now() where run_id = ${runId} returning id, path`
  const said = { decision: 'approve', rejects: false, comment: null, data: null, decidedBy: ['ann'], decidedAt: Date.now() }
  await addToInbox(sql, 'default', runId, { kind: 'approval-decided', path: row!.path, generation: 0, approvalId: row!.id, ...said })
}

async function statusOf(sql: Sql, runId: string): Promise<string> {
  const [run] = await sql<{ status: string }[]>`select status from runs where id = ${runId}`
  return run!.status
}

t.test('a start that comes when the run has moved on costs one more look, not one commit after the other', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'one', ONE)
  const [id] = await startRuns(sql, 'one', ONE, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  t.equal(await statusOf(sql, id!), 'succeeded')
  const run = (await loadRuns(sql, [id!])).get(id!)!.header as unknown as Record<string, Json>
  const commits = countCommits(runner)
  const { stuck } = await advanceRuns(runner, [{ fact: { kind: 'start', runId: id!, run }, redelivered: false }])
  t.strictSame([stuck.size, commits.count], [0, 2])
})

t.test('a deadline that passes after a vote was taken, and before it was applied, changes nothing', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'ask', QUESTION)
  const [id] = await startRuns(sql, 'ask', QUESTION, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  await decide(sql, id!)
  const commits = countCommits(runner)
  const timer = { kind: 'timer', path: 'ok', timer: 'approval', generation: 0, attempt: 1 } as const
  const { stuck } = await advanceRuns(runner, [{ fact: { kind: 'timers', runId: id!, facts: [timer] }, redelivered: false }])
  t.strictSame([stuck.size, commits.count], [0, 2], 'the vote is found without its wake-up')
  t.equal(await statusOf(sql, id!), 'succeeded')
  t.equal((await sql`select from inbox`).length, 0)
})

t.test('an event that was accepted before the timeout of its waiter passed is taken, also when its wake-up is lost', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'paid', PAID)
  const [id] = await startRuns(sql, 'paid', PAID, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  const event = { specversion: '1.0', id: '1', source: '/shop', type: 'order.paid' }
  const { woken } = await acceptEvents(sql, 'default', [{ id: '1', source: '/shop', type: 'order.paid', event }])
  t.same(woken, [id])
  const timer = { kind: 'timer', path: 'paid', timer: 'timeout', generation: 0, attempt: 1 } as const
  await advanceRuns(runner, [{ fact: { kind: 'timers', runId: id!, facts: [timer] }, redelivered: false }])
  t.equal(await statusOf(sql, id!), 'succeeded')
  t.equal((await sql`select from inbox`).length, 0)
})

t.test('a run that has to be given up ends, also when people have just decided its approval', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'ask', QUESTION)
  const [id] = await startRuns(sql, 'ask', QUESTION, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  await decide(sql, id!)
  const abort: Delivery = { fact: { kind: 'abort', runId: id!, error: { code: 'BTN_INTERNAL', message: 'no' } }, redelivered: false }
  t.equal((await advanceRuns(runner, [abort])).stuck.size, 0)
  t.equal(await statusOf(sql, id!), 'failed')
  t.ok(
    (await eventsOf(sql, id!)).some((event) => event.endsWith('approval.decided ok')),
    'the decision is on record',
  )
  t.equal((await sql`select from inbox`).length, 0)
})

t.test('Postgres going away while a run is decided is not the fault of the run', async (t) => {
  const { sql } = await testDatabase(t)
  const definition = {
    steps: [
      { id: 'a', http: { url: 'http://x.example/' } },
      { id: 'b', set: { x: '${{ vars.X }}' } },
    ],
  }
  const plan = await saveWorkflow(sql, 'vars', definition)
  const [id, other] = await startRuns(sql, 'vars', definition, 2)
  const runner = createRunner(sql, [plan])
  runner.store.vars = async () => ({ X: 1 })
  await advanceRuns(runner, [startOf(id!), startOf(other!)])
  const deliveries = runner.sent[0]!.calls.map((call) => resultOf(call))
  let asked = 0
  runner.store.vars = () =>
    ++asked === 1 ? Promise.resolve({ X: 1 }) : Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }))
  await t.rejects(advanceRuns(runner, deliveries), { code: 'ECONNREFUSED' }, 'the whole batch is tried again')
  runner.store.vars = async () => ({ X: 1 })
  t.equal((await advanceRuns(runner, deliveries)).stuck.size, 0)
  for (const run of [id!, other!]) t.equal(await statusOf(sql, run), 'succeeded', 'what was decided and not committed was forgotten')
})

t.test('the inbox is read after the state, or a command could be applied to a run that has applied it', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'one', ONE)
  const [id] = await startRuns(sql, 'one', ONE, 1)
  const pause = await command(sql, id!, 'pause')
  const runner = createRunner(sql, [plan])
  const { loadRuns: load, loadInbox } = runner.store
  const order: string[] = []
  runner.store.loadRuns = async (ids) => {
    const runs = await load(ids)
    order.push('state')
    return runs
  }
  runner.store.loadInbox = (ids) => {
    order.push('inbox')
    return loadInbox(ids)
  }
  await advanceRuns(runner, [pause])
  t.strictSame(order, ['state', 'inbox'])
})
