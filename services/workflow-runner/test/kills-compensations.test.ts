/** SIGKILL of the runner in the middle of compensations: each is made once, in reverse order of the ends, and the run ends. */
import type { Fact } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { command, saveWorkflow, startRuns } from './advance-harness.ts'
import { openWorld } from './kill-harness.ts'
import { answerCalls, startRunner } from './stack-harness.ts'

const undone = { http: { url: 'http://x.example/' }, compensate: { http: { url: 'http://x.example/undo' } } }
const FLOW = {
  steps: [
    { id: 'a', ...undone },
    { id: 'each', forEach: { in: [1], steps: { b: undone } } },
    { id: 'ask', approval: { title: 'Go?' } },
  ],
}

t.test('a runner that dies while a compensation is out goes on with that one, and then with the next', async (t) => {
  const { sql, urls, facts, statusOf, eventCounts } = await openWorld(t)
  const first = answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'undone', FLOW)
  const [id] = (await startRuns(sql, 'undone', FLOW, 1)) as [string]
  const runner = await startRunner(t, urls)
  await facts.send({ kind: 'start', runId: id })
  await until(async () => (await statusOf(id)) === 'waiting', { timeoutMs: 30_000 })
  await first.stop() // nobody answers: the compensation stays out
  await facts.send((await command(sql, id, 'cancel')).fact as Fact)
  await until(async () => (await eventCounts(id))['step.scheduled each[0].b.compensate'] === 1, { timeoutMs: 30_000 })
  await runner.kill('SIGKILL')
  answerCalls(t, urls.redis)
  await startRunner(t, urls, runner.port)
  await until(async () => (await statusOf(id)) === 'cancelled', { timeoutMs: 60_000 })
  const ends = await sql<{ path: string }[]>`
    select path from run_events where run_id = ${id} and type = 'step.succeeded' and path like '%.compensate' order by seq`
  t.same(
    ends.map(({ path }) => path),
    ['each[0].b.compensate', 'a.compensate'],
  )
  const counts = await eventCounts(id)
  for (const path of ['each[0].b.compensate', 'a.compensate']) t.equal(counts[`step.scheduled ${path}`], 1, path)
})
