/** Runs whose frozen definition this version cannot execute any more. */
import type { Json } from '@baton/contracts'
import { checksumOf } from '@baton/engine'
import { addToInbox, claimNext, moveTask, type Sql, takeCallback } from '@baton/store'
import { testDatabase, until } from '@baton/testing'
import t from 'tap'
import type { Delivery } from '../src/advance.ts'
import { createAdvanceLoop, type Item } from '../src/advance-loop.ts'
import { advanceRuns } from '../src/advance-runs.ts'
import { foldRun } from '../src/load-run.ts'
import { createPlans } from '../src/plans.ts'
import { createRunner, eventsOf, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const PATIENCE = { triesMax: 3, pauseMs: 10, pauseMsMax: 20 }
const MANY = {
  timeout: '1h',
  steps: {
    ask: { approval: { title: 'Go?', timeout: '2h' } },
    told: { approval: { title: 'Really?' } },
    scan: { task: { capabilities: ['ocr'] } },
    scanned: { task: { capabilities: ['done'] } },
    rest: { wait: { for: '1h' } },
    call: { http: { url: 'http://x.example/' } },
    pick: { switch: { cases: [{ if: 'true', steps: { inner: { wait: { for: '1h' } } } }] } },
    later: { needs: ['ask'], set: { x: 1 } },
  },
}
const GOOD = { steps: { a: { set: { x: 1 } } } }

async function setup(t: { teardown(action: () => unknown): void }) {
  const { sql } = await testDatabase(t)
  const plans = [await saveWorkflow(sql, 'good', GOOD), await saveWorkflow(sql, 'many', MANY)]
  const runner = createRunner(sql, plans)
  const done: string[] = []
  const loop = createAdvanceLoop(runner, 100, PATIENCE)
  t.teardown(() => loop.stop())
  const itemOf = (delivery: Delivery): Item => ({ deliveries: [delivery], done: () => void done.push(delivery.fact.runId) })
  /** What a later version makes of the definition: it has become one that it does not take. */
  const forget = async (definition: object = MANY) => {
    await sql`update definitions set source = '{"steps": {"a": {"teleport": {}}}}' where checksum = ${checksumOf(definition as Json)}`
    runner.states.clear()
    runner.store.plan = createPlans(async (_, checksum) => {
      const [row] = await sql<{ source: Json }[]>`select source from definitions where checksum = ${checksum}`
      return row?.source
    })
  }
  return { sql: sql as Sql, runner, loop, done, itemOf, forget }
}

t.test('a run whose definition no longer compiles is ended with that reason, whole, and the others go on', async (t) => {
  const { sql, runner, loop, done, itemOf, forget } = await setup(t)
  const [bad] = await startRuns(sql, 'many', MANY, 1)
  await advanceRuns(runner, [startOf(bad!)])
  const call = runner.sent.flatMap(({ calls }) => calls)[0]!
  const [told] =
    await sql`update approvals set status = 'decided', decision = 'approve', closed_at = now() where path = 'told' returning id`
  const said = { decision: 'approve', rejects: false, comment: null, data: null, decidedBy: ['ann'], decidedAt: Date.now() }
  await addToInbox(sql, 'default', bad!, { kind: 'approval-decided', path: 'told', generation: 0, approvalId: told!.id, ...said })
  const caller = { id: 'key_ann', name: 'ann', mayTakeAny: false }
  const { task } = (await claimNext(sql, 'default', caller, ['done']))!
  await moveTask(sql, { namespace: 'default', id: task.id, caller, asked: { call: 'complete', output: 1 } })
  const [good] = await startRuns(sql, 'good', GOOD, 1)
  await forget()
  await loop.offer([itemOf(resultOf(call)), itemOf(startOf(good!))])
  await until(() => done.length === 2)
  t.same(done, [good, bad], 'it holds nobody up')
  const [run] = await sql`select status, error, ended_at, seq from runs where id = ${bad!}`
  t.match(run, { status: 'failed', error: { code: 'BTN_DEFINITION_UNREADABLE', message: /no longer compiles/ }, endedAt: Number })
  const events = await eventsOf(sql, bad!)
  t.equal(events.length, run!.seq)
  const count = (type: string) => events.filter((event) => event.includes(` step.${type} `)).length
  t.equal(count('scheduled'), count('cancelled'), 'each step that had begun has one end')
  t.ok(
    events.findIndex((e) => e.endsWith('step.cancelled pick.inner')) < events.findIndex((e) => e.endsWith('step.cancelled pick')),
    'inner steps before their container',
  )
  t.ok(events.some((event) => event.endsWith('approval.decided told')))
  t.same(await sql`select path, status from approvals order by path`, [
    { path: 'ask', status: 'cancelled' },
    { path: 'told', status: 'decided' },
  ])
  t.ok(events.some((event) => event.endsWith('task.cancelled scan')))
  t.ok(events.some((event) => event.endsWith('task.completed scanned')))
  t.same(await sql`select path, status from tasks order by path`, [
    { path: 'scan', status: 'cancelled' },
    { path: 'scanned', status: 'completed' },
  ])
  t.same([(await sql`select from timers`).length, (await sql`select from inbox`).length], [0, 0])
  t.same(runner.sent.at(-1)!.ended, [bad], 'whoever waits for its end is told')
})

t.test('items that had failed get no end of their own: the run can be read again by a version that takes its definition', async (t) => {
  const { sql, runner, loop, done, itemOf, forget } = await setup(t)
  const EACH = {
    steps: { each: { forEach: { in: [1, 2], onItemError: 'continue', steps: { one: { http: { url: 'http://x.example/' } } } } } },
  }
  const plan = await saveWorkflow(sql, 'each', EACH)
  const [bad] = await startRuns(sql, 'each', EACH, 1)
  runner.store.plan = async () => plan
  await advanceRuns(runner, [startOf(bad!)])
  const calls = runner.sent.flatMap((sent) => sent.calls)
  const outcome = { status: 'failed', error: { code: 'BTN_HTTP_STATUS', message: 'no' }, retryable: false } as const
  const { runId, path, generation, attempt } = calls[0]!
  await advanceRuns(runner, [{ fact: { kind: 'result', runId, path, generation, attempt, startedAt: 1, outcome }, redelivered: false }])
  await forget(EACH)
  await loop.offer([itemOf(resultOf(calls[1]!))])
  await until(() => done.length === 1)
  const loaded = (await runner.store.loadRuns([bad!])).get(bad!)!
  const state = await foldRun(runner.store, plan, loaded)
  t.match(state, { status: 'failed', error: { code: 'BTN_DEFINITION_UNREADABLE' } })
  t.match(state.steps.get('each'), { status: 'cancelled' })
})

t.test('a run that cannot be read takes no callback any more for what it had begun', async (t) => {
  const { sql, runner, loop, done, itemOf, forget } = await setup(t)
  const [bad] = await startRuns(sql, 'many', MANY, 1)
  await advanceRuns(runner, [startOf(bad!)])
  const [call] = runner.sent.flatMap(({ calls }) => calls)
  const received = { kind: 'callback', path: 'pick', generation: 0, receivedAt: 1, headers: {}, query: {}, body: 1 } as const
  await takeCallback(sql, bad!, received)
  await forget()
  await loop.offer([itemOf(resultOf(call!))])
  await until(() => done.length === 1)
  t.match(await sql`select status from runs where id = ${bad!}`, [{ status: 'failed' }], 'one that came before changes nothing')
  const rows = await sql<
    { path: string; outcome: string }[]
  >`select path, outcome from callbacks where path in ('call', 'pick', 'ask') order by 1`
  t.same(rows, [
    { path: 'call', outcome: 'closed' },
    { path: 'pick', outcome: 'received' },
  ])
})

t.test('a start that brings its own header does not hold up its batch either; facts of ended runs are forgotten at once', async (t) => {
  const { sql, loop, done, itemOf, forget } = await setup(t)
  const [bad] = await startRuns(sql, 'many', MANY, 1)
  const [good] = await startRuns(sql, 'good', GOOD, 1)
  await forget()
  const header = { runId: bad!, namespace: 'default', checksum: checksumOf(MANY as Json) }
  await loop.offer([itemOf({ fact: { kind: 'start', runId: bad!, run: header }, redelivered: false }), itemOf(startOf(good!))])
  await until(() => done.length === 2)
  t.same(done, [good, bad])
  const before = await eventsOf(sql, bad!)
  t.same(before, ['1 run.created', '2 run.ending', '3 run.failed'])
  const startedAt = performance.now()
  await loop.offer([itemOf(startOf(bad!))])
  await until(() => done.length === 3)
  t.ok(performance.now() - startedAt < 1_000)
  t.same(await eventsOf(sql, bad!), before)
})

t.test('a row that cannot be read holds up nobody else', async (t) => {
  const { sql, runner, loop, done, itemOf } = await setup(t)
  const [bad, good] = (await startRuns(sql, 'good', GOOD, 2)) as [string, string]
  const { loadRuns } = runner.store
  runner.store.loadRuns = async (ids) => {
    if (ids.includes(bad)) throw Object.assign(new Error('missing chunk number 0 for toast value'), { code: 'XX001' })
    return loadRuns(ids)
  }
  await loop.offer([itemOf(startOf(bad)), itemOf(startOf(good))])
  await until(() => done.length === 1)
  t.same(done, [good])
  runner.store.loadRuns = loadRuns
  await until(() => done.length === 2)
})
