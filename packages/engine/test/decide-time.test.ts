/** The time of a run never goes back, whatever the process that decides thinks that Postgres' clock says. */
import t from 'tap'
import { start } from './decide-harness.ts'

t.test('no event is before the one before it', async (t) => {
  const h = start({ steps: { w: { wait: { for: '1s' } }, b: { set: { x: '${{ now }}' }, needs: ['w'] } } })
  h.now = 400
  const early = h.take({ kind: 'pause', by: 'key_1' })
  t.ok(early.events.length > 0)
  t.ok(early.events.every((event) => event.at === 1_000))
})

t.test('a timer that fires is due', async (t) => {
  const h = start({ steps: { w: { wait: { for: '1s' } } } })
  h.now = 1_950
  const fired = h.timer('w', 'wait')
  t.ok(fired.events.every((event) => event.at === 2_000))
  t.match(fired.events[0], { type: 'step.succeeded', data: { output: { waitedMs: 1_000 } } })
})
