/** What follows from a commit. */
import { type Decision, emptyDecision, type RunState } from '@baton/engine'
import t from 'tap'
import { outgoingOf } from '../src/outgoing.ts'

t.test('calls that are sent long after their commit are to be asked about first', async (t) => {
  const state = { header: { namespace: 'default', workflow: 'w' }, status: 'running', seq: 4 } as RunState
  const decision = { ...emptyDecision(), calls: [{ path: 'a' }] } as unknown as Decision
  const turns = [{ runId: 'r', state, fromSeq: 3, decision }]
  t.strictSame(outgoingOf(turns, 1_000, 20).calls, [{ path: 'a', at: 1_000 }])
  t.strictSame(outgoingOf(turns, 1_000, 2_000).calls, [{ path: 'a', at: 1_000, resent: true }], 'others may have sent it meanwhile')
})
