/** SIGKILL at chosen moments: what was accepted is applied exactly once, what was due fires exactly once. */
import type { Fact } from '@baton/contracts'
import { addToInbox } from '@baton/store'
import { until } from '@baton/testing'
import t from 'tap'
import { command, saveWorkflow, startRuns } from './advance-harness.ts'
import { openWorld, type World } from './kill-harness.ts'
import { answerCalls, startRunner } from './stack-harness.ts'

const ASKS = {
  steps: [
    { id: 'a', http: { url: 'http://x.example/' } },
    { id: 'ok', approval: { title: 'Go?' } },
    { id: 'rest', wait: { for: '1h' } },
  ],
}
const WAITS = { steps: { w: { wait: { for: '1s' } } } }

/** A deciding vote, as its transaction leaves it; gives the wake-up. */
async function decide({ sql }: World, runId: string): Promise<Fact> {
  const [row] = await sql<{ id: string }[]>`
    update approvals set status = 'decided', decision = 'approve', closed_at = now() where run_id = ${runId} returning id`
  const said = { decision: 'approve', rejects: false, comment: null, data: null, decidedBy: ['ann'], decidedAt: Date.now() }
  await addToInbox(sql, 'default', runId, { kind: 'approval-decided', path: 'ok', generation: 0, approvalId: row!.id, ...said })
  return { kind: 'inbox', runId }
}

t.test('a runner that dies between the commit and everything else: start, decision and cancel are applied once, and go on', async (t) => {
  const world = await openWorld(t)
  const { sql, urls, facts, server, holdCommit, statusOf, eventCounts } = world
  const worker = answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'asks', ASKS)
  const [id] = (await startRuns(sql, 'asks', ASKS, 1)) as [string]
  let runner = await startRunner(t, urls)
  const seqOf = async () => (await sql<{ seq: number }[]>`select seq from runs where id = ${id}`)[0]!.seq
  const dieAfterCommit = async (wakeUp: () => Promise<Fact>) => {
    const seq = await seqOf()
    // A wake-up that comes twice is no other.
    const release = await holdCommit(id, async () => {
      const fact = await wakeUp()
      await Promise.all([facts.send(fact), facts.send(fact)])
    })
    await server.kill() // what is committed cannot be sent, nor acknowledged
    await release()
    await until(async () => (await seqOf()) > seq)
    await runner.kill('SIGKILL')
    await server.restart()
    runner = await startRunner(t, urls, runner.port)
  }
  await dieAfterCommit(async () => ({ kind: 'start', runId: id }))
  await until(async () => (await statusOf(id)) === 'waiting', { timeoutMs: 20_000, what: 'the call of the first step' })
  await dieAfterCommit(() => decide(world, id))
  await until(async () => (await eventCounts(id))['step.waiting rest'] === 1, { timeoutMs: 20_000 })
  await dieAfterCommit(async () => (await command(sql, id, 'cancel')).fact as Fact)
  await until(async () => (await statusOf(id)) === 'cancelled')
  await until(async () => (await sql`select from inbox`).length === 0)
  const counts = await eventCounts(id)
  for (const once of ['run.started', 'step.scheduled a', 'step.succeeded a', 'approval.decided ok', 'step.succeeded ok', 'run.cancelled'])
    t.equal(counts[once], 1, once)
  t.equal((await sql`select from timers`).length, 0)
  t.equal(worker.calls.filter(({ path }) => path === 'a').length, 1, 'its call was sent by the next runner alone')
})

t.test('a runner that dies while the commit of a timer is under way: it fires once, by the next one', async (t) => {
  const { sql, urls, holdCommit, statusOf, eventCounts, facts } = await openWorld(t)
  await saveWorkflow(sql, 'waits', WAITS)
  const [id] = (await startRuns(sql, 'waits', WAITS, 1)) as [string]
  const runner = await startRunner(t, urls)
  await facts.send({ kind: 'start', runId: id })
  await until(async () => (await statusOf(id)) === 'waiting')
  const release = await holdCommit(id, () => {})
  const killed = runner.kill('SIGKILL')
  await killed
  // Postgres finishes what it was asked before it sees that nobody listens: applied or not, both are right.
  await release()
  await startRunner(t, urls, runner.port)
  await until(async () => (await statusOf(id)) === 'succeeded')
  t.equal((await eventCounts(id))['step.succeeded w'], 1)
  t.equal((await sql`select from timers`).length, 0)
})

t.test('two runners, one of them killed: every timer fires once', async (t) => {
  const { sql, urls, facts } = await openWorld(t)
  await saveWorkflow(sql, 'waits', WAITS)
  const runners = await Promise.all([startRunner(t, urls), startRunner(t, urls)])
  const ids = await startRuns(sql, 'waits', WAITS, 100)
  await Promise.all(ids.map((runId) => facts.send({ kind: 'start', runId })))
  const ended = async () => (await sql`select from runs where status = 'succeeded'`).length
  await until(async () => (await ended()) > 10, { timeoutMs: 20_000 })
  await runners[0]!.kill('SIGKILL')
  await until(async () => (await ended()) === 100, { timeoutMs: 20_000 })
  const [twice] = await sql`select count(*) as n from run_events where type = 'step.succeeded'`
  t.same([twice!.n, (await sql`select from timers`).length], [100, 0])
})

/** Lets the clock of a process jump by this many ms when it gets SIGWINCH. */
const jumping = (ms: number) => {
  const code = `const now = Date.now; let by = 0; Date.now = () => now() + by; process.on('SIGWINCH', () => { by = ${ms} })`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

t.test('the clock of the host of a runner may jump: timers are due by that of Postgres', async (t) => {
  const { sql, urls, facts, statusOf } = await openWorld(t)
  await saveWorkflow(sql, 'waits', WAITS)
  for (const ms of [3_600_000, -3_600_000]) {
    const runner = await startRunner(t, urls, undefined, jumping(ms))
    const [id, later] = (await startRuns(sql, 'waits', WAITS, 2)) as [string, string]
    for (const [runId, jumps] of [
      [id, true],
      [later, false],
    ] as const) {
      await facts.send({ kind: 'start', runId })
      await until(async () => (await statusOf(runId)) === 'waiting')
      if (jumps) runner.child.kill('SIGWINCH')
      await until(async () => (await statusOf(runId)) === 'succeeded', { timeoutMs: 5_000, what: `a timer after a jump of ${ms}` })
      const [took] = await sql<{ ms: number; awayMs: number }[]>`
        select extract(epoch from b.at - a.at)::float8 * 1000 as ms, extract(epoch from r.updated_at - b.at)::float8 * 1000 as away_ms
          from run_events a join run_events b on b.run_id = a.run_id and b.type = 'step.succeeded' join runs r on r.id = a.run_id
         where a.run_id = ${runId} and a.type = 'step.waiting'`
      t.ok(took!.ms >= 999, `not early: ${took!.ms} ms after a jump of ${ms}`)
      t.ok(Math.abs(took!.awayMs) < 2_000, `its time is that of Postgres, ${took!.awayMs} ms away`)
    }
    await runner.kill('SIGKILL')
  }
})
