/** What a runner knows of Postgres' clock: answers that come late do not set it back. */
import t from 'tap'
import { createServerClock } from '../src/clock.ts'

t.test('the latest time seen is the truest', async (t) => {
  const clock = createServerClock()
  const ahead = () => clock.now() - Date.now()
  clock.observe(Date.now() + 300)
  t.ok(Math.abs(ahead() - 300) <= 2)
  clock.observe(Date.now() + 200)
  t.ok(ahead() > 290, 'an answer that took 100 ms counts for little')
  clock.observe(Date.now() + 310)
  t.ok(Math.abs(ahead() - 310) <= 2, 'a faster one counts at once')
  clock.observe(Date.now() - 5_000)
  t.ok(Math.abs(ahead() + 5_000) <= 2, 'a clock that was moved is followed')
})
