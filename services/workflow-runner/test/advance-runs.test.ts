import { testDatabase } from '@baton/testing'
import t from 'tap'
import type { Delivery } from '../src/advance.ts'
import { createAdvanceLoop } from '../src/advance-loop.ts'
import { advanceRuns } from '../src/advance-runs.ts'
import { command, createRunner, eventsOf, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const SEQUENCE = {
  steps: [
    { id: 'a', http: { url: 'http://x.example/' } },
    { id: 'b', http: { url: 'http://x.example/' } },
  ],
}
const FAN = {
  steps: {
    a: { http: { url: 'http://x.example/' } },
    b: { http: { url: 'http://x.example/' } },
    j: { needs: ['a', 'b'], http: { url: 'http://x.example/' } },
  },
}

t.test('a run goes from start to end, in a batch with others', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const ids = await startRuns(sql, 'seq', SEQUENCE, 50)
  const runner = createRunner(sql, [plan])
  await advanceRuns(
    runner,
    ids.map((id) => startOf(id)),
  )
  for (const path of ['a', 'b']) {
    const calls = runner.sent.flatMap((out) => out.calls).filter((call) => call.path === path)
    t.equal(calls.length, 50)
    await advanceRuns(
      runner,
      calls.map((call) => resultOf(call)),
    )
  }
  t.equal(runner.sent.length, 3, 'one commit and one sending for each batch')
  const [counts] = await sql`select count(*)::int as n, count(distinct status)::int as s, min(status) as status from runs`
  t.match(counts, { n: 50, s: 1, status: 'succeeded' })
  t.strictSame(await eventsOf(sql, ids[0]!), [
    '1 run.created',
    '2 run.started',
    '3 step.scheduled a',
    '4 step.succeeded a',
    '5 step.scheduled b',
    '6 step.succeeded b',
    '7 run.succeeded',
  ])
  t.equal(runner.states.size, 0, 'ended runs leave the cache')
})

t.test('two runners that race leave one outcome for each step, and no gap', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'fan', FAN)
  const ids = await startRuns(sql, 'fan', FAN, 30)
  const one = createRunner(sql, [plan])
  const two = createRunner(sql, [plan])
  await Promise.all([
    advanceRuns(
      one,
      ids.map((id) => startOf(id)),
    ),
    advanceRuns(
      two,
      ids.map((id) => startOf(id)),
    ),
  ])
  const calls = [...one.sent, ...two.sent].flatMap((out) => out.calls)
  const facts = calls.map((call) => resultOf(call))
  await Promise.all([advanceRuns(one, facts), advanceRuns(two, [...facts].reverse())])
  const joins = [...one.sent, ...two.sent].flatMap((out) => out.calls).filter((call) => call.path === 'j')
  await Promise.all([
    advanceRuns(
      one,
      joins.map((call) => resultOf(call)),
    ),
    advanceRuns(
      two,
      joins.map((call) => resultOf(call)),
    ),
  ])
  const rows = await sql`select status, count(*)::int as n from runs group by status`
  t.match(rows, [{ status: 'succeeded', n: 30 }])
  const doubled = await sql`select run_id, path from run_events where type = 'step.succeeded' group by run_id, path having count(*) > 1`
  t.equal(doubled.length, 0, 'one outcome each')
  const gaps = await sql`select run_id from run_events group by run_id having max(seq) <> count(*)`
  t.equal(gaps.length, 0, 'no gap')
})

t.test('a stop between commit and sending: the facts come again and the commands with them', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const dies = createRunner(sql, [plan])
  dies.send = () => Promise.reject(new Error('killed'))
  await t.rejects(advanceRuns(dies, [startOf(id!)]))
  t.strictSame((await eventsOf(sql, id!)).at(-1), '3 step.scheduled a', 'it was committed')
  const next = createRunner(sql, [plan])
  await advanceRuns(next, [startOf(id!, true)])
  t.strictSame(
    next.sent[0]?.calls.map((call) => [call.path, call.resent]),
    [['a', true]],
  )
  t.equal((await eventsOf(sql, id!)).length, 3, 'and nothing was recorded twice')
})

t.test('a stale cache acknowledges nothing away', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const stale = createRunner(sql, [plan])
  const other = createRunner(sql, [plan])
  await advanceRuns(stale, [startOf(id!)])
  const a = stale.sent[0]!.calls[0]!
  await advanceRuns(other, [resultOf(a)])
  const b = other.sent[0]!.calls[0]!
  await advanceRuns(stale, [resultOf(b)])
  t.equal((await eventsOf(sql, id!)).at(-1), '7 run.succeeded', 'it saw that it was behind, loaded the run, and applied the fact')
})

t.test('what another runner has applied meanwhile is not acknowledged for it', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const stale = createRunner(sql, [plan])
  const other = createRunner(sql, [plan])
  await advanceRuns(stale, [startOf(id!)])
  const fact = resultOf(stale.sent[0]!.calls[0]!)
  other.send = async () => {
    throw new Error('killed between the commit and the commands')
  }
  await t.rejects(advanceRuns(other, [fact]))

  const loop = createAdvanceLoop(stale, 100)
  t.teardown(() => loop.stop())
  const offer = (delivery: Delivery) =>
    new Promise((resolve) => {
      loop.offer([{ deliveries: [delivery], done: () => resolve('done'), failed: () => resolve('to come again') }])
    })
  t.equal(await offer(fact), 'to come again')
  t.equal(stale.sent.flatMap(({ calls }) => calls).length, 1, 'the other may be about to send the next call')
  t.equal(await offer({ ...fact, redelivered: true }), 'done')
  t.equal(stale.sent.flatMap(({ calls }) => calls).at(-1)!.path, 'b')
})

t.test('a fact that another has taken over meanwhile, and may have applied: what follows from it is sent again', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const killed = createRunner(sql, [plan])
  killed.send = async () => {
    throw new Error('killed between the commit and the commands')
  }
  await t.rejects(advanceRuns(killed, [startOf(id!, true)])) // it had taken the entry over
  const sentBy = async (wasTaken: boolean) => {
    const runner = createRunner(sql, [plan])
    await advanceRuns(runner, [{ fact: { kind: 'inbox', runId: id! }, redelivered: false }]) // it knows the state by then
    await advanceRuns(runner, [{ ...startOf(id!), wasTaken: async () => wasTaken }])
    return runner.sent.flatMap(({ calls }) => calls.map(({ path }) => path))
  }
  t.strictSame(await sentBy(true), ['a'])
  t.strictSame(await sentBy(false), [], 'nobody else had it')
})

t.test('a timer of a run that has ended goes when it fires', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  await advanceRuns(runner, [await command(sql, id!, 'cancel')])
  await advanceRuns(runner, [resultOf(runner.sent[0]!.calls[0]!)])
  await sql`
    insert into timers (namespace, run_id, path, timer, generation, attempt, due_at, partition)
    values ('default', ${id!}, 'a', 'more', 0, 1, now(), partition_of(${id!}))`
  const seq = (await eventsOf(sql, id!)).length
  const fact = { kind: 'timer', path: 'a', timer: 'more', generation: 0, attempt: 1 } as const
  await advanceRuns(runner, [{ fact: { kind: 'timers', runId: id!, facts: [fact] }, redelivered: false }])
  t.strictSame([...(await sql`select path from timers`)], [])
  t.equal((await eventsOf(sql, id!)).length, seq)
})

t.test('commands of the inbox are applied once, decisions before cancellation', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [id] = await startRuns(sql, 'seq', SEQUENCE, 1)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  const pause = await command(sql, id!, 'pause')
  await advanceRuns(runner, [pause])
  const resume = await command(sql, id!, 'resume')
  await advanceRuns(runner, [resume, pause, { ...pause, redelivered: true }])
  const [run] = await sql`select status from runs where id = ${id!}`
  t.equal(run?.status, 'running', 'a pause that comes again does not pause again')
  t.equal((await sql`select id from inbox`).length, 0)
})

t.test('a value that Postgres refuses ends its own run, not the batch', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'seq', SEQUENCE)
  const [bad, good] = await startRuns(sql, 'seq', SEQUENCE, 2)
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(bad!), startOf(good!)])
  const calls = runner.sent[0]!.calls
  const commit = runner.store.commit
  runner.store.commit = async (batch) => {
    const outcome = await commit(batch.filter((c) => !(c.runId === bad && c.decision.events.some((e) => e.type === 'step.succeeded'))))
    const refused = batch.filter((c) => c.runId === bad && !outcome.won.has(c.runId)).map((c) => [c.runId, new Error('refused')] as const)
    return { ...outcome, refused: new Map(refused) }
  }
  await advanceRuns(
    runner,
    calls.map((call) => resultOf(call)),
  )
  const rows = await sql<{ id: string; status: string; error: { code: string } | null }[]>`select id, status, error from runs order by id`
  t.match(
    rows.find((row) => row.id === bad),
    { status: 'failed', error: { code: 'BTN_EVENT_REFUSED' } },
  )
  t.match(
    rows.find((row) => row.id === good),
    { status: 'running' },
  )
})

t.test('large outputs are stored apart and read back by expressions', async (t) => {
  const { sql } = await testDatabase(t)
  const definition = {
    steps: [
      { id: 'a', set: { big: '${{ input.text + input.text }}' } },
      { id: 'b', http: { url: 'http://x.example/' } },
      { id: 'c', set: { n: '${{ size(steps.a.output.big) }}' } },
    ],
    output: '${{ steps.c.output.n }}',
  }
  const plan = await saveWorkflow(sql, 'big', definition)
  const [id] = await startRuns(sql, 'big', definition, 1, { text: 'x'.repeat(50_000) })
  const runner = createRunner(sql, [plan])
  await advanceRuns(runner, [startOf(id!)])
  const [event] = await sql`select data from run_events where run_id = ${id!} and type = 'step.succeeded'`
  t.match(event?.data.output, { $blob: /^sha256:/, bytes: 100_010 })
  runner.states.clear()
  await advanceRuns(runner, [resultOf(runner.sent[0]!.calls[0]!)])
  const [run] = await sql`select status, output from runs where id = ${id!}`
  t.match(run, { status: 'succeeded', output: 100_000 })
})
