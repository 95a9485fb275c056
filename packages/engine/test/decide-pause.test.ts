/** Cancel, pause and resume, as decisions. */
import { stepsOf } from '@baton/engine'
import t from 'tap'
import { sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })

t.test('cancel withdraws approvals and ends at once when nothing is in flight', async (t) => {
  const h = start({ steps: { a: { approval: { title: '?' } }, b: { wait: { for: '1h' } } } })
  h.take({ kind: 'cancel', by: 'key_1' })
  t.equal(h.state.status, 'cancelled')
  t.equal(h.last.approvalsClosed[0]?.status, 'cancelled')
  t.equal(h.take({ kind: 'cancel', by: 'key_1' }).events.length, 0)
  sameWhenFolded(t, h)
})

t.test('a paused run records what is in flight, starts nothing, and goes on at resume', async (t) => {
  const h = start({ steps: { a: http(), b: http({ needs: ['a'] }), w: { wait: { for: '10s' } } } })
  h.take({ kind: 'pause', by: 'me' })
  t.same(h.last.timersCleared, [{ path: 'w', timer: 'wait' }], 'nobody has to look at it over and over')
  h.succeed('a')
  t.equal(h.last.calls.length, 0)
  t.equal(stepsOf(h.state).find((s) => s.path === 'b')?.status, 'ready')
  h.now += 20_000
  h.timer('w', 'wait')
  t.equal(h.state.steps.get('w')?.status, 'waiting', 'a timer that falls due in a pause does not fire')
  h.take({ kind: 'resume', by: 'me' })
  t.equal(h.last.calls[0]?.path, 'b')
  t.match(h.last.timersSet, [{ path: 'w', timer: 'wait' }])
  h.timer('w', 'wait')
  h.succeed('b')
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})

t.test('what is in flight over a pause is sent again at resume, to be looked for first', async (t) => {
  const h = start({ steps: { a: http(), b: http() } })
  h.take({ kind: 'pause', by: 'me' })
  h.succeed('a')
  h.take({ kind: 'resume', by: 'me' })
  t.match(h.last.calls, [{ path: 'b', resent: true }])
  t.equal(h.last.calls.length, 1)
  h.take({ kind: 'resume', by: 'me' })
  t.equal(h.last.calls.length, 0)
})

t.test('a queued run can be paused, resumed and cancelled', async (t) => {
  const h = start({ steps: { a: http() } }, null, { started: false })
  h.take({ kind: 'pause', by: 'me' })
  h.take({ kind: 'start' })
  t.equal(h.state.status, 'paused')
  h.take({ kind: 'resume', by: 'me' })
  t.equal(h.last.calls.length, 1)
  const c = start({ steps: { a: http() } }, null, { started: false })
  c.take({ kind: 'cancel', by: 'me' })
  t.equal(c.state.status, 'cancelled')
})
