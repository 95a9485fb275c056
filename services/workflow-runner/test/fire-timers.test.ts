import { setTimeout as after } from 'node:timers/promises'
import { until } from '@baton/testing'
import t from 'tap'
import type { Item } from '../src/advance-loop.ts'
import { type DueTimer, pumpTimers } from '../src/fire-timers.ts'

const timersDue = (count: number): DueTimer[] =>
  Array.from({ length: count }, (_, n) => ({ runId: `r${n}`, path: 'w', timer: 'wait', generation: 0, attempt: 1, lateMs: 0 }))

t.test('timers that are being applied are offered once, and not asked for without pause', async (t) => {
  const offered: Item[] = []
  let asked = 0
  const due = timersDue(500)
  const pump = pumpTimers({
    source: {
      async due() {
        asked++
        return due
      },
      nextInMs: async () => null,
    },
    partitions: () => [0],
    offer: async (items) => void offered.push(...items),
    pollMs: 1_000,
    onLate() {},
    onError: t.error,
  })
  t.teardown(() => pump.stop())
  await after(200)
  t.equal(offered.length, 500)
  t.ok(asked < 15, `asked ${asked} times in 200 ms`)
  for (const item of offered.splice(0)) item.done?.()
  await until(() => offered.length === 500, { what: 'those that are still there afterwards to come again' })
})

t.test('a timer that is due in a month is not waited for with a timeout that overflows', async (t) => {
  let asked = 0
  const gate = Promise.withResolvers<DueTimer[]>()
  const due = () => {
    asked++
    return gate.promise
  }
  const source = { due, nextInMs: async () => null }
  const pump = pumpTimers({ source, partitions: () => [0], offer: async () => {}, pollMs: 1_000, onLate() {}, onError: t.error })
  t.teardown(() => pump.stop())
  const warnings: string[] = []
  const warn = (warning: Error) => warnings.push(warning.name)
  process.on('warning', warn)
  t.teardown(() => process.removeListener('warning', warn))
  await after(20) // it is asking
  pump.expect(30 * 86_400_000)
  await after(20)
  gate.resolve([])
  await after(20)
  t.strictSame([asked, warnings], [1, []])
})

t.test('while nothing is due one question a poll is enough, and what another runner has set fires with it', async (t) => {
  const asked: string[] = []
  let set: DueTimer[] = []
  const offered: Item[] = []
  const pump = pumpTimers({
    source: {
      async due() {
        asked.push('due')
        return set.splice(0)
      },
      async nextInMs() {
        asked.push('next')
        return set.length > 0 ? -1 : null
      },
    },
    partitions: () => [0],
    offer: async (items) => void offered.push(...items),
    pollMs: 50,
    onLate() {},
    onError: t.error,
  })
  t.teardown(() => pump.stop())
  await until(() => asked.length >= 6)
  t.strictSame(asked.slice(0, 6), ['due', 'next', 'next', 'next', 'next', 'next'])
  set = timersDue(3)
  await until(() => offered.length === 3)
  for (const item of offered) item.done?.()
  asked.length = 0
  set = timersDue(4)
  pump.expect(0)
  await until(() => offered.length === 7)
  t.strictSame(asked[0], 'due', 'what is known to be due is asked for at once')
})

t.test('a timer that is set while it is asked what is due is not left to the next poll', async (t) => {
  let asked = 0
  const gate = Promise.withResolvers<DueTimer[]>()
  const due = async () => (asked++ === 0 ? gate.promise : [])
  const source = { due, nextInMs: async () => null }
  const pump = pumpTimers({ source, partitions: () => [0], offer: async () => {}, pollMs: 5_000, onLate() {}, onError: t.error })
  t.teardown(() => pump.stop())
  await until(() => asked === 1)
  pump.expect(0)
  await after(20) // its time has come meanwhile
  gate.resolve([])
  await until(() => asked === 2, { timeoutMs: 1_000 })
})

t.test('who looks at other things asks along, while nothing is known to be due', async (t) => {
  const asked: string[] = []
  const source = {
    async due() {
      asked.push('due')
      return []
    },
    async nextInMs() {
      asked.push('next')
      return null
    },
  }
  const pump = pumpTimers({ source, partitions: () => [0], offer: async () => {}, pollMs: 60_000, onLate() {}, onError: t.error })
  t.teardown(() => pump.stop())
  await until(() => asked.length === 2)
  await after(5)
  pump.look()
  pump.look()
  await after(5)
  t.strictSame(asked, ['due', 'next', 'next'], 'once, as long as it has not been answered')
  pump.stop()
  pump.look()
  t.equal(asked.length, 3)
})
