import t from 'tap'
import { start } from './decide-harness.ts'

const event = (seq: number, n: number, more: object = {}) =>
  ({ kind: 'event', path: 'paid', generation: 0, seq, event: { data: { n } }, ...more }) as const
const waiting = () => start({ steps: { paid: { waitFor: { event: 'order.paid', where: 'event.data.n > 0' } } } })

t.test('a step is woken by the event that was accepted first, in whatever order it is told of them', async (t) => {
  const h = waiting()
  h.take(event(9, 9), event(4, 4), event(5, 5))
  t.match(h.state.steps.get('paid'), { status: 'succeeded', output: { data: { n: 4 } } })
})

t.test('a step that has further events to read leaves those behind them', async (t) => {
  const h = waiting()
  h.take(event(1, 0), event(2, 0, { more: true }), event(9, 9))
  t.equal(h.state.steps.get('paid')!.status, 'waiting')
  t.match(h.last.waitersSet, [{ path: 'paid', generation: 0, type: 'order.paid', after: 2 }])
  h.take(event(9, 9), event(3, 3))
  t.match(h.state.steps.get('paid'), { status: 'succeeded', output: { data: { n: 3 } } })
})
