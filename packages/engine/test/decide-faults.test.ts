/** What late, doubled and lost facts may not do. */
import { stepsOf, whyOf } from '@baton/engine'
import t from 'tap'
import { start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const retry = { attempts: 3, jitter: false }

t.test('a timer of an earlier attempt does not take away the one that is set now', async (t) => {
  const h = start({ steps: { a: http({ retry }) } })
  h.fail('a', {}, true)
  const first = h.last.timersSet[0]!
  h.timer('a', 'retry')
  h.fail('a', {}, true)
  t.match(h.last.timersSet, [{ path: 'a', timer: 'retry', attempt: 2 }])
  h.take({ kind: 'timer', path: 'a', timer: 'retry', generation: 0, attempt: first.attempt })
  t.strictSame([h.last.events, h.last.timersCleared], [[], []], 'the timer of attempt 2 stays')
  h.timer('a', 'retry')
  t.equal(h.last.calls[0]?.attempt, 3)
})

t.test('a timer that nobody waits for is cleared, or it would be due for ever', async (t) => {
  const h = start({ steps: { a: http({ retry }) } })
  h.take({ kind: 'timer', path: 'a', timer: 'retry', generation: 0, attempt: 1 })
  t.strictSame(h.last.timersCleared, [{ path: 'a', timer: 'retry' }])
  h.take({ kind: 'timer', path: 'gone', timer: 'wait', generation: 0, attempt: 1 })
  t.strictSame(h.last.timersCleared, [{ path: 'gone', timer: 'wait' }])
})

t.test('a switch that takes no case leaves no timer', async (t) => {
  const h = start({ steps: { a: { switch: { cases: [{ if: 'false', steps: { b: http() } }] }, timeout: '1m' } } })
  t.equal(h.state.status, 'succeeded')
  t.strictSame(h.last.timersSet, [])
})

t.test('when an attempt started is known in its backoff too, from the events alone', async (t) => {
  const h = start({ steps: { a: http({ retry }) } })
  h.now = 5_000
  h.fail('a', {}, true)
  t.equal(h.state.steps.get('a')?.startedAt, 5_000)
  t.strictSame(stepsOf(h.refold()), stepsOf(h.state))
})

t.test('a run that is cancelled while it is paused or waits counts as running while calls are in flight', async (t) => {
  const paused = start({ steps: { a: http() } })
  paused.take({ kind: 'pause', by: 'me' })
  paused.take({ kind: 'cancel', by: 'me' })
  t.strictSame([paused.state.status, paused.state.ending], ['running', 'cancelled'])
  paused.succeed('a')
  t.equal(paused.state.status, 'cancelled')

  const waiting = start({
    steps: [
      { id: 'ok', approval: { title: '?' } },
      { id: 'a', ...http() },
    ],
  })
  t.equal(waiting.state.status, 'waiting')
  const said = { decision: 'approve', rejects: false, comment: null, data: null, decidedBy: ['ann'], decidedAt: 1_000 }
  const approvalId = '01920000-0000-7000-9000-000000000001'
  waiting.take({ kind: 'approval-decided', path: 'ok', generation: 0, approvalId, ...said }, { kind: 'cancel', by: 'me' })
  t.strictSame([waiting.state.status, waiting.state.ending], ['running', 'cancelled'])
  t.strictSame(
    [...waiting.refold().inFlight].map(({ path }) => path),
    ['a'],
  )
})

t.test('what is redelivered sends nothing again while the run is ending; only a call that was looked for in vain is over', async (t) => {
  const h = start({ steps: { a: http(), b: http() } })
  h.take({ kind: 'cancel', by: 'me' })
  h.take({ kind: 'resend', calls: 'all' })
  t.strictSame([h.last.calls, h.last.events], [[], []])
  h.take({ kind: 'resend', calls: [`${h.state.header.runId}/a/0/1`] })
  t.equal(h.state.steps.get('a')?.status, 'cancelled')
})

t.test('that a switch is ending is known to whoever takes the run up', async (t) => {
  const steps = { b: http(), c: http(), d: http({ needs: ['c'] }) }
  const h = start({ steps: { a: { switch: { cases: [{ if: 'true', steps }] }, timeout: '1m', onError: 'continue' } } })
  h.timer('a', 'timeout')
  h.succeed('a.b')
  t.match([...h.refold().steps.values()].find(({ path }) => path === 'a')?.failing, { code: 'BTN_TIMEOUT' })
  h.succeed('a.c')
  t.strictSame(h.log.slice(-2), ['step.failed a', 'run.succeeded'])
  t.equal(h.state.steps.get('a.d')?.status, 'pending')
})

const said = { comment: null, data: null, decidedBy: ['ann'], decidedAt: 1_000, generation: 0 }

t.test('an approval that people have decided is not withdrawn when another decision of the same moment fails the run', async (t) => {
  const h = start({ steps: { a: { approval: { title: '?' } }, b: { approval: { title: '?', timeout: '1h' } } } })
  const [a, b] = h.last.approvalsOpened
  h.take(
    { kind: 'approval-decided', path: 'a', approvalId: a!.id, decision: 'reject', rejects: true, ...said },
    { kind: 'approval-decided', path: 'b', approvalId: b!.id, decision: 'approve', rejects: false, ...said },
  )
  t.equal(h.state.status, 'failed')
  t.strictSame(h.last.approvalsClosed, [], 'or the commit would be void for ever')
  t.strictSame(h.log.filter((line) => line.startsWith('approval.')).slice(2), ['approval.decided a', 'approval.decided b'])
  t.equal(h.state.steps.get('b')?.status, 'cancelled')
})

t.test('an approval that was decided in time does not expire, whichever of the two is told first', async (t) => {
  const h = start({ steps: { a: { approval: { title: '?', timeout: '1h' } } } })
  const { id } = h.last.approvalsOpened[0]!
  h.take(
    { kind: 'timer', path: 'a', timer: 'approval', generation: 0, attempt: 1 },
    { kind: 'approval-decided', path: 'a', approvalId: id, decision: 'approve', rejects: false, ...said },
  )
  t.equal(h.state.status, 'succeeded')
  t.strictSame(h.last.approvalsClosed, [])
})

t.test('why says nothing of steps that will never start because the run is ending', async (t) => {
  const h = start({ steps: { a: http(), b: http({ needs: ['a'] }) } })
  h.take({ kind: 'cancel', by: 'me' })
  t.strictSame(
    whyOf(h.state, []).items.map(({ step }) => step),
    [null, 'a'],
  )
})
