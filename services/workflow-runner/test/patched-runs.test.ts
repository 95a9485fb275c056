import { checksumOf, compile, snapshotOf } from '@baton/engine'
import { addToInbox, getRun, listEvents, patchRun, putSnapshot } from '@baton/store'
import { testDatabase } from '@baton/testing'
import t from 'tap'
import { advanceRuns } from '../src/advance-runs.ts'
import { createRunner, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const http = { http: { url: 'https://a.example' } }
const BEFORE = { steps: { a: http, b: { needs: 'a', set: { x: 1 } } } }
const AFTER = { steps: { a: http, b: { needs: 'a', set: { x: 2 } }, c: { set: { y: 1 } } } }

t.test('a runner that holds a run as it was before a patch loses the fence, and goes on by the new definition', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'w', BEFORE)
  const patched = compile(AFTER).plan!
  const [runId] = (await startRuns(sql, 'w', BEFORE, 1)) as [string]
  const runner = createRunner(sql, [plan, patched])
  await advanceRuns(runner, [startOf(runId)])
  const stale = runner.states.get(runId)!
  await putSnapshot(sql, 'default', runId, stale.seq, JSON.stringify(snapshotOf(stale)))
  const [call] = runner.sent.flatMap(({ calls }) => calls)
  const fence = { runId, namespace: 'default', seq: stale.seq, at: stale.at, checksum: checksumOf(AFTER) }
  const write = { ...fence, definition: AFTER, definitionVersion: 2, data: { by: 'key_1', patch: [] } }
  t.equal(await patchRun(sql, write), true)
  t.equal(await patchRun(sql, write), false, 'the run has moved on since it was judged')
  // The result comes first, the wake-up of the patch behind it.
  await advanceRuns(runner, [resultOf(call!)])
  await addToInbox(sql, 'default', runId, { kind: 'patched', by: 'key_1' })
  await advanceRuns(runner, [{ fact: { kind: 'inbox', runId }, redelivered: false }])
  const events = await listEvents(sql, runId, 0, 100)
  t.same(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
  )
  t.match(
    events.find(({ type, path }) => type === 'step.succeeded' && path === 'b'),
    { data: { output: { x: 2 } } },
  )
  t.ok(events.some(({ type, path }) => type === 'step.succeeded' && path === 'c'))
  t.match(await getRun(sql, 'default', runId), { status: 'succeeded', definitionVersion: 2, checksum: checksumOf(AFTER) })
  t.equal((await sql`select from inbox`).length, 0)
})
