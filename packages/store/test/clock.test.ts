/** What Postgres tells of its clock. */
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { clock, dueTimers, nextDue } from '../src/index.ts'

const ASKED = 3

test('the clock is told with its fractions: rounded down, what others wrote at the same time would lie ahead of it', async (t) => {
  const { sql } = await testDatabase(t)
  const asks = {
    clock: () => clock(sql),
    dueTimers: async () => (await dueTimers(sql, [0], 1)).now,
    nextDue: async () => (await nextDue(sql, [0])).now,
  }
  for (const [name, ask] of Object.entries(asks)) {
    const times: number[] = []
    for (let n = 0; n < ASKED; n++) times.push(await ask())
    const isExact = times.some((time) => !Number.isInteger(time))
    t.ok(isExact, `${name}: ${times.join(', ')}`)
    t.ok(Math.abs(times[0]! - Date.now()) < 60_000, `${name} is in milliseconds`)
  }
})
