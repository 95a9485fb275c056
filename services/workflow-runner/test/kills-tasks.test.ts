/** SIGKILL of the runner, and workers that die in the middle of their leases: no end of a task is lost, and each task has one outcome. */
import type { Fact } from '@baton/contracts'
import { claimNext, moveTask, type TaskCall, type TaskCaller } from '@baton/store'
import { until } from '@baton/testing'
import t from 'tap'
import { command, saveWorkflow, startRuns } from './advance-harness.ts'
import { openWorld, type World } from './kill-harness.ts'
import { startRunner } from './stack-harness.ts'

const QUICK = { RUNNER_SWEEP_MS: '500', RUNNER_LEASE_MS: '500' }
const task = { task: { capabilities: ['ocr'], payload: { n: '${{ item }}' }, lease: '1s' } }
const retry = { attempts: 50, backoff: 'fixed', initial: '10ms', jitter: false }
const FLOW = { steps: [{ id: 'each', forEach: { in: [1, 2, 3, 4], concurrency: 1, steps: { scan: { ...task, retry } } } }] }

interface Worker {
  /** By task, what it was told that it completed it with. */
  completed: Map<string, string>
  stop(): Promise<void>
}

/** Works on whatever is offered. One task in four it forgets, as if it had died; one in four fails; of the rest some are called late. */
function startWorker({ sql, facts }: World, name: string): Worker {
  const who: TaskCaller = { id: `key_${name}`, name, mayTakeAny: false }
  const completed = new Map<string, string>()
  let stopped = false
  const wake = (runId: string) => (Math.random() < 0.5 ? facts.send({ kind: 'inbox', runId }).catch(() => {}) : undefined)
  const round = async () => {
    const claim = await claimNext(sql, 'default', who, ['ocr'])
    if (!claim) return
    const { id, runId, claims } = claim.task
    await wake(runId)
    const dice = Math.random()
    if (dice < 0.25) return
    const output = `${name} ${id} ${claims}`
    const asked: TaskCall =
      dice < 0.5 ? { call: 'fail', error: { code: 'NO', message: 'no' }, retryable: true } : { call: 'complete', output }
    const move = await moveTask(sql, { namespace: 'default', id, caller: who, asked, token: claims })
    if (!move || 'refused' in move) return
    if (asked.call === 'complete') completed.set(id, output)
    await wake(runId)
  }
  const working = (async () => {
    while (!stopped) await round().then(() => new Promise((resolve) => setTimeout(resolve, 20)))
  })()
  return {
    completed,
    async stop() {
      stopped = true
      await working
    },
  }
}

t.test(
  'runners are killed and workers die: every completion that was answered is the output of its step, and each task has one outcome',
  async (t) => {
    const world = await openWorld(t)
    const { sql, urls, facts } = world
    await saveWorkflow(sql, 'scans', FLOW)
    const runs = await startRuns(sql, 'scans', FLOW, 40)
    let runner = await startRunner(t, urls, undefined, QUICK)
    for (const runId of runs) await facts.send({ kind: 'start', runId })
    const workers = ['ann', 'bob', 'eve'].map((name) => startWorker(world, name))
    t.teardown(() => Promise.all(workers.map((worker) => worker.stop())))
    const ended = async () => (await sql`select from tasks where closed_at is not null`).length
    const open = async () => (await sql`select from runs where ended_at is null`).length
    for (let kill = 1; kill <= 4; kill++) {
      const before = await ended()
      const isTime = async () => (await ended()) >= before + 12 || (await open()) === 0
      await until(isTime, { timeoutMs: 60_000, what: `12 more ends before kill ${kill}` })
      if (kill === 2) for (const runId of runs.slice(0, 3)) await facts.send((await command(sql, runId, 'cancel')).fact as Fact)
      await runner.kill('SIGKILL')
      runner = await startRunner(t, urls, runner.port, QUICK)
    }
    await until(async () => (await open()) === 0, { timeoutMs: 90_000, what: 'the end of all runs' })
    await Promise.all(workers.map((worker) => worker.stop()))

    const rows = await sql<{ id: string; status: string; output: string | null; told: string[] }[]>`
    select t.id, t.status, t.result ->> 'output' as output,
           array(select e.type from run_events e where e.run_id = t.run_id and e.data ->> 'task' = 'tsk_' || t.id
                    and e.type in ('task.completed', 'task.failed', 'task.cancelled')) as told
      from tasks t`
    for (const { id, status, told } of rows) if (told.join() !== `task.${status}`) t.fail(`${id} is ${status}, and told as ${told}`)
    const answered = new Map(workers.flatMap((worker) => [...worker.completed]))
    const completed = new Map(rows.flatMap(({ id, status, output }) => (status === 'completed' ? [[id, output] as const] : [])))
    t.same(completed, answered, 'what was answered is there, and nothing else')
    const outputs = await sql<{ output: string }[]>`
    select data ->> 'output' as output from run_events where type = 'step.succeeded' and path like '%scan'`
    t.same(new Set(outputs.map(({ output }) => output)), new Set(answered.values()), 'each is the output of a step')
    t.equal(outputs.length, answered.size)
    t.same(await sql`select distinct status from runs order by 1`, [{ status: 'cancelled' }, { status: 'succeeded' }])
    const gaps = await sql`select from runs r where r.seq <> (select count(*) from run_events e where e.run_id = r.id)`
    t.equal(gaps.length, 0, 'no gap in the events of a run')
    const [late] = await sql<{ n: number }[]>`select sum(lease_expiries)::int as n from tasks`
    t.ok(late!.n > 0, `${late!.n} leases ran out`)
    t.same(await sql`select from inbox`, [])
  },
)

t.test('a runner that dies while it takes up the end of a task: the next one takes it, once', async (t) => {
  const world = await openWorld(t)
  const { sql, urls, facts, holdCommit, statusOf, eventCounts } = world
  const ONE = { steps: [{ id: 'scan', task: { capabilities: ['ocr'] } }] }
  await saveWorkflow(sql, 'one', ONE)
  const [id] = (await startRuns(sql, 'one', ONE, 1)) as [string]
  const runner = await startRunner(t, urls, undefined, QUICK)
  await facts.send({ kind: 'start', runId: id })
  await until(async () => (await statusOf(id)) === 'waiting', { timeoutMs: 20_000 })
  const caller: TaskCaller = { id: 'key_ann', name: 'ann', mayTakeAny: false }
  const { task } = (await claimNext(sql, 'default', caller, ['ocr']))!
  const release = await holdCommit(id, async () => {
    await moveTask(sql, { namespace: 'default', id: task.id, caller, asked: { call: 'complete', output: 42 } })
    await facts.send({ kind: 'inbox', runId: id })
  })
  await runner.kill('SIGKILL')
  await release() // applied or not, both are right
  await startRunner(t, urls, runner.port, QUICK)
  await until(async () => (await statusOf(id)) === 'succeeded', { timeoutMs: 30_000 })
  const counts = await eventCounts(id)
  for (const once of ['task.opened scan', 'task.claimed scan', 'task.completed scan', 'step.succeeded scan']) t.equal(counts[once], 1, once)
})
