import { metricsText } from '@baton/runtime'
import { testDatabase } from '@baton/testing'
import t from 'tap'
import { advanceRuns } from '../src/advance-runs.ts'
import { createMetrics, observeBatch, observeEnded } from '../src/metrics.ts'
import { command, createRunner, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

/** Lines of `/metrics` that begin so, without those of buckets. */
async function linesOf(prefix: string): Promise<string[]> {
  const { text } = await metricsText()
  return text.split('\n').filter((line) => line.startsWith(prefix) && !line.includes('_bucket'))
}

const DEFINITION = {
  steps: {
    call: { http: { url: 'http://x.example/' } },
    never: { if: 'false', set: { a: 1 } },
    note: { needs: ['call'], set: { done: true } },
    pause: { needs: ['note'], wait: { for: '1h' } },
  },
}

t.test('each step that ended is observed once, by kind and outcome, and its run too', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'w', DEFINITION)
  const zero = () => 0
  const metrics = createMetrics({ cachedRuns: zero, cachedBytes: zero, heldPartitions: zero })
  const runner = createRunner(sql, [plan])
  runner.committed = (state, _fromSeq, events) => observeEnded(metrics, state, events)
  runner.observe = (batch) => observeBatch(metrics, batch)
  const [id] = await startRuns(sql, 'w', DEFINITION, 1)
  await advanceRuns(runner, [startOf(id!)])
  t.same(await linesOf('baton_step_seconds_count'), [], 'a step that was skipped took no time')
  const [call] = runner.sent.flatMap(({ calls }) => calls)
  await advanceRuns(runner, [resultOf(call!)])
  await advanceRuns(runner, [resultOf(call!, { ok: true }, true)])
  await advanceRuns(runner, [await command(sql, id!, 'cancel')])
  t.same((await linesOf('baton_step_seconds_count')).sort(), [
    'baton_step_seconds_count{kind="http",outcome="succeeded"} 1',
    'baton_step_seconds_count{kind="set",outcome="succeeded"} 1',
    'baton_step_seconds_count{kind="wait",outcome="cancelled"} 1',
  ])
  t.same(await linesOf('baton_run_seconds_count'), ['baton_run_seconds_count{outcome="cancelled"} 1'])
  const [events] = await linesOf('baton_runner_batch_events_sum')
  t.equal(events, `baton_runner_batch_events_sum ${runner.sent.flatMap((out) => out.events).length}`)
})
