/** What a runner knows of Postgres' clock: answers that come late do not set it back. */
import { createLogger } from '@baton/runtime'
import t from 'tap'
import { createServerClock, learnClock } from '../src/clock.ts'

t.test('the offset is moved only as far as an answer tells', async (t) => {
  const clock = createServerClock()
  const ahead = () => clock.now() - Date.now()
  clock.observe(Date.now() + 300)
  t.ok(Math.abs(ahead() - 300) <= 2)
  clock.observe(Date.now() + 200, Date.now() - 150)
  t.ok(Math.abs(ahead() - 300) <= 2, 'read at any time of 150 ms that it took: nothing new')
  clock.observe(Date.now() + 310, Date.now() - 5)
  t.ok(Math.abs(ahead() - 310) <= 2, 'a clock that is further ahead is followed')
  clock.observe(Date.now() - 5_000, Date.now() - 5)
  t.ok(Math.abs(ahead() + 4_995) <= 2, 'a clock that was moved back is followed')
})

t.test('no time is behind what it tells of: fractions of a millisecond count', async (t) => {
  const clock = createServerClock()
  const early = () => {
    let at = clock.local()
    while (at % 1 > 0.1) at = clock.local()
    return at
  }
  clock.observe(clock.local() + 0.7, clock.local() - 0.1)
  const at = early()
  t.equal(clock.now(), Math.floor(at) + 1, 'the clock of Postgres is 0.7 ms ahead')
})

t.test('on one machine the clocks are equal, however slow Postgres is', async (t) => {
  const clock = createServerClock()
  for (const tookMs of [40, 90, 3_000, 20]) clock.observe(Date.now() - tookMs, Date.now() - tookMs)
  t.ok(Math.abs(clock.now() - Date.now()) <= 1)
})

t.test('a Postgres that goes away while a runner begins is asked again, until the runner has to end', async (t) => {
  const clock = createServerClock()
  const log = createLogger({ name: 'test', level: 'silent' })
  let asked = 0
  const ask = async () => {
    if (++asked < 3) throw new Error('CONNECTION_CLOSED')
    return Date.now() + 5_000
  }
  t.ok(await learnClock(clock, ask, { isOver: () => false, log }))
  t.ok(Math.abs(clock.now() - Date.now() - 5_000) <= 2)
  t.equal(asked, 3)
  const away = () => Promise.reject(new Error('ECONNREFUSED'))
  let isOver = false
  setTimeout(() => {
    isOver = true
  }, 300)
  t.notOk(await learnClock(clock, away, { isOver: () => isOver, log }))
})
