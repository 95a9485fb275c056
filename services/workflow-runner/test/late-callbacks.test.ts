/** A callback that is accepted while something that ends its step waits for the runner. */
import { addToInbox, takeCallback } from '@baton/store'
import { testDatabase } from '@baton/testing'
import t from 'tap'
import { advanceRuns } from '../src/advance-runs.ts'
import { command, createRunner, eventsOf, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const FLOW = {
  steps: {
    call: { http: { url: 'http://x.example/', body: '${{ callback.url }}', callback: true } },
    ask: { approval: { title: 'Go?' } },
  },
}
const DECIDED = { decision: 'reject', rejects: true, comment: null, data: null, decidedBy: ['ann'], decidedAt: 1 }

for (const [what, status] of [
  ['a cancel', 'cancelled'],
  ['a rejection', 'failed'],
] as const) {
  t.test(`${what} and then a callback, before the runner has heard of either: both count`, async (t) => {
    const { sql } = await testDatabase(t)
    const runner = createRunner(sql, [await saveWorkflow(sql, 'calls', FLOW)])
    const [runId] = await startRuns(sql, 'calls', FLOW, 1)
    await advanceRuns(runner, [startOf(runId!)])
    const [call] = runner.sent.flatMap(({ calls }) => calls)
    await advanceRuns(runner, [resultOf(call!)])
    if (what === 'a cancel') await command(sql, runId!, 'cancel')
    else {
      const [ask] = await sql`update approvals set status = 'decided', decision = 'reject', closed_at = now() returning id`
      await addToInbox(sql, 'default', runId!, { kind: 'approval-decided', path: 'ask', generation: 0, approvalId: ask!.id, ...DECIDED })
    }
    const received = { kind: 'callback', path: 'call', generation: 0, receivedAt: Date.now(), headers: {}, query: {}, body: 1 } as const
    t.equal(await takeCallback(sql, runId!, received), true)
    const { stuck } = await advanceRuns(runner, [{ fact: { kind: 'inbox', runId: runId! }, redelivered: false }])
    t.same([...stuck], [], 'the run is not stuck')
    t.match(await sql`select status from runs where id = ${runId!}`, [{ status }])
    const events = (await eventsOf(sql, runId!)).join('\n')
    t.match(events, /step\.succeeded call/)
    t.same(await sql`select from inbox`, [])
  })
}
