/**
 * SIGKILL of the runner while runs wait for each other: slots, child runs, and events that one run tells and another waits for. SLOT_RUNS=500
 * TAP_TIMEOUT=180 lets more runs crowd at one slot, among more kills, and leaves out the rest.
 */
import { until } from '@baton/testing'
import t, { type Test } from 'tap'
import { saveWorkflow, startRuns } from './advance-harness.ts'
import { openWorld, type World } from './kill-harness.ts'
import { answerCalls, startRunner, type TestWorker } from './stack-harness.ts'

const KILLS = 3
const SLOT_RUNS = Number(process.env.SLOT_RUNS ?? 120)
const skip = process.env.SLOT_RUNS !== undefined && 'slots alone'
const http = { http: { url: 'http://x.example/' } }

/** Lets a runner work, and kills it again and again while it does, until all of these runs have ended. */
async function endAmongKills(t: Test, { sql, urls, facts }: World, runs: readonly string[], kills = KILLS): Promise<TestWorker> {
  const worker = answerCalls(t, urls.redis)
  let runner = await startRunner(t, urls, undefined, { RUNNER_SWEEP_MS: '500', RUNNER_LEASE_MS: '500' })
  for (const runId of runs) await facts.send({ kind: 'start', runId })
  const count = async () => {
    const [row] = await sql<[{ ended: number; open: number }]>`
      select count(ended_at)::int as ended, (count(*) - count(ended_at))::int as open from runs`
    return row
  }
  for (let kill = 1; kill <= kills; kill++) {
    const before = await count()
    const isTime = async () => {
      const { ended, open } = await count()
      return ended >= before.ended + 3 || open === 0
    }
    await until(isTime, { timeoutMs: 60_000, what: `three more ends before kill ${kill}` })
    await runner.kill('SIGKILL')
    runner = await startRunner(t, urls, runner.port, { RUNNER_SWEEP_MS: '500', RUNNER_LEASE_MS: '500' })
  }
  await until(async () => (await count()).open === 0, { timeoutMs: Math.max(90_000, runs.length * 400), what: 'the end of all runs' })
  return worker
}

t.test('runs with one slot never have it at the same time, and all get it', async (t) => {
  const world = await openWorld(t)
  const { sql } = world
  const FLOW = { concurrency: { key: '${{ input.key }}', limit: 1 }, steps: [{ id: 'a', ...http }] }
  await saveWorkflow(sql, 'one', FLOW)
  const runs = await startRuns(sql, 'one', FLOW, SLOT_RUNS, { key: 'k' })
  let most = 0
  const watching = setInterval(() => {
    sql<{ n: string }[]>`select count(*) as n from concurrency_slots where held`.then(
      ([row]) => {
        most = Math.max(most, Number(row!.n))
      },
      () => {},
    )
  }, 10)
  t.teardown(() => clearInterval(watching))
  const { spans: answered } = await endAmongKills(t, world, runs, Math.max(KILLS, Math.ceil(SLOT_RUNS / 60)))
  clearInterval(watching)
  t.equal(most, 1)
  const calls = [...answered.values()].sort((a, b) => a.from - b.from)
  t.equal(calls.length, SLOT_RUNS, 'each run made its call')
  t.ok(
    calls.every(({ from }, index) => index === 0 || from >= calls[index - 1]!.to),
    'no call began before the one before was answered',
  )
  t.same(await sql`select distinct status from runs`, [{ status: 'succeeded' }])
  t.same(await sql`select from concurrency_slots`, [], 'no slot is left')
  const spans = await sql<{ from: number; to: number }[]>`
    select min(at) filter (where type = 'run.admitted') as from, max(at) filter (where type = 'run.succeeded') as to
      from run_events group by run_id order by 1`
  for (const [i, { from }] of spans.slice(1).entries())
    t.ok(from >= spans[i]!.to, `run ${i + 1} is admitted after the one before has ended`)
})

t.test('child runs start once, their ends reach their parents, and told events their waiters', { skip }, async (t) => {
  const world = await openWorld(t)
  const { sql } = world
  const CHILD = {
    steps: [
      { id: 'a', ...http },
      { id: 'tell', emit: { type: 'done', data: { n: '${{ input.n }}' } } },
    ],
  }
  const PARENT = {
    steps: {
      each: { forEach: { in: [1, 2, 3], steps: { child: { workflow: { name: 'child', input: { n: '${{ run.id + string(item) }}' } } } } } },
      heard: { waitFor: { event: 'done', where: "event.data.n == run.id + '2'" } },
    },
  }
  await saveWorkflow(sql, 'child', CHILD)
  await saveWorkflow(sql, 'parent', PARENT)
  const runs = await startRuns(sql, 'parent', PARENT, 12)
  await endAmongKills(t, world, runs)
  t.same(await sql`select workflow, status, count(*)::int as n from runs group by 1, 2 order by 1`, [
    { workflow: 'child', status: 'succeeded', n: 36 },
    { workflow: 'parent', status: 'succeeded', n: 12 },
  ])
  t.same(await sql`select from event_waiters`, [], 'nobody waits any more')
  const [events] = await sql<{ n: number }[]>`select count(*)::int as n from custom_events`
  t.equal(events!.n, 36, 'each event was told once')
})
