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
