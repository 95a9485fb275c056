/** Leases of tasks are looked at when somebody says that one is over, and now and then in case nobody says anything. */
import { setTimeout as after } from 'node:timers/promises'
import { type Teardown, until } from '@baton/testing'
import t from 'tap'
import type { Item } from '../src/advance-loop.ts'
import { watchLeases } from '../src/watch-leases.ts'

function watching(t: Teardown, found: { expired: number; runs: string[] }[], everyMs: number) {
  const seen = { looks: 0, expired: 0, woken: [] as string[], errors: 0 }
  const watch = watchLeases({
    async expire() {
      seen.looks++
      const next = found.shift()
      if (next?.expired === -1) throw new Error('Postgres is away')
      return next ?? { expired: 0, runs: [] }
    },
    offer: async (items: Item[]) => void seen.woken.push(...items.flatMap(({ deliveries }) => deliveries.map(({ fact }) => fact.runId))),
    onExpired: (count) => {
      seen.expired += count
    },
    onError: () => {
      seen.errors++
    },
    everyMs,
  })
  t.teardown(() => watch.stop())
  return { watch, seen }
}

t.test('one that is over is put back at once, and all of them when there are many', async (t) => {
  const { watch, seen } = watching(
    t,
    [
      { expired: 500, runs: ['r1', 'r2'] },
      { expired: 1, runs: ['r3'] },
    ],
    60_000,
  )
  watch.told(false)
  t.equal(seen.looks, 0)
  watch.told(true)
  watch.told(true)
  await until(() => seen.woken.length === 3)
  t.match(seen, { looks: 2, expired: 501, woken: ['r1', 'r2', 'r3'] })
})

t.test('it looks by itself when nobody has told it anything, and goes on after a failure', async (t) => {
  const { watch, seen } = watching(t, [{ expired: -1, runs: [] }], 200)
  for (let n = 0; n < 12; n++) {
    watch.told(false)
    await after(25)
  }
  t.equal(seen.looks, 0, 'it was told all the time')
  await until(() => seen.looks >= 2)
  t.equal(seen.errors, 1)
  await watch.stop()
  watch.told(true)
  t.ok(seen.looks <= 3)
})
