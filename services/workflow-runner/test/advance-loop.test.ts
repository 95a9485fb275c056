import t from 'tap'
import type { Advance } from '../src/advance.ts'
import { createAdvanceLoop, type Item } from '../src/advance-loop.ts'

t.test('everybody who waits for room is let go on when there is room', { timeout: 10_000 }, async (t) => {
  const gate = Promise.withResolvers<void>()
  const store = {
    async loadRuns() {
      await gate.promise
      return new Map()
    },
  }
  const loop = createAdvanceLoop({ store, cache: new Map() } as unknown as Advance, 1)
  let done = 0
  const item = (): Item => ({ deliveries: [{ fact: { kind: 'start', runId: 'x' }, redelivered: false }], done: () => void done++ })
  await loop.offer([item()])
  await new Promise(setImmediate) // the batch is under way
  await loop.offer([item()])
  const offers = [loop.offer([item()]), loop.offer([item()]), loop.offer([item()])]
  gate.resolve()
  await Promise.all(offers)
  await loop.stop()
  t.ok(done >= 1)
})

t.test(
  'whoever waits until the loop has caught up waits for what was offered before, and for nothing after it',
  { timeout: 10_000 },
  async (t) => {
    let gate = Promise.withResolvers<void>()
    const batches: string[][] = []
    const store = {
      async loadRuns(runIds: string[]) {
        batches.push(runIds)
        await gate.promise
        return new Map()
      },
    }
    const item = (runId: string): Item => ({ deliveries: [{ fact: { kind: 'start', runId }, redelivered: false }] })
    const loop = createAdvanceLoop({ store, cache: new Map() } as unknown as Advance, 1)
    const { signal } = new AbortController()
    await loop.caughtUp(signal) // nothing was offered

    const seen: string[] = []
    const wait = (name: string, signal: AbortSignal) => loop.caughtUp(signal).then(() => void seen.push(name))
    const next = async () => {
      const ended = gate
      gate = Promise.withResolvers()
      const count = batches.length
      ended.resolve()
      while (batches.length === count) await new Promise(setImmediate)
    }
    await loop.offer([item('a')])
    const first = wait('first', signal)
    await new Promise(setImmediate)
    await loop.offer([item('b')])
    const second = wait('second', signal)
    const ending = new AbortController()
    const aborted = wait('aborted', ending.signal)
    void loop.offer([item('c')])
    t.same(seen, [])
    await next()
    await first
    t.same(seen, ['first'])
    ending.abort()
    await aborted
    await next()
    await second
    t.same(seen, ['first', 'aborted', 'second'])
    t.same(batches.at(-1), ['c'], 'the last is under way')

    void loop.offer([item('d')])
    const last = wait('last', signal)
    const stopped = loop.stop() // takes no other: nobody may wait for d
    gate.resolve()
    await Promise.all([last, stopped, loop.caughtUp(signal)])
    t.same(batches.at(-1), ['c'])
  },
)
