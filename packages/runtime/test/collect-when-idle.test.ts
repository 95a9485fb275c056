import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8'
import { until } from '@baton/testing'
import t, { test } from 'tap'
import { collectWhenIdle } from '../src/collect-when-idle.ts'

t.setTimeout(120_000)

const MIB = 2 ** 20
/** More looks than a collection waits for. */
const LOOKS_MORE = 16
/** What a heap may grow by before it is collected. */
const GROWN_MIB = 8
const newMiB = () => getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')!.space_size / MIB
const heapMiB = () => getHeapStatistics().total_heap_size / MIB

/** Makes the heap as large as a burst of work does, and lets go of all of it. */
function makeGarbage(): void {
  let kept: unknown[] = Array.from({ length: 400_000 }, (_, index) => ({ index, text: `garbage ${index}` }))
  kept = []
  void kept
}

/** Counts collections of ours from now on, as V8 also collects by itself; `stop` gives how many there were. */
function countCollections(): { first: Promise<void>; seen(): number; stop(): number } {
  const { promise: first, resolve } = Promise.withResolvers<void>()
  let collections = 0
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { flags } = (entry as unknown as { detail: { flags: number } }).detail
      if ((flags & constants.NODE_PERFORMANCE_GC_FLAGS_ALL_AVAILABLE_GARBAGE) === 0) continue
      collections++
      resolve()
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  return {
    first,
    seen: () => collections,
    stop() {
      observer.disconnect()
      return collections
    },
  }
}

/** Resolves when what the start has left was collected; by then V8 has gone over it as often as it does. */
async function startCollected(): Promise<void> {
  const collections = countCollections()
  const keptAlive = setInterval(() => {}, 60_000)
  await collections.first
  clearInterval(keptAlive)
  await delay(300)
  collections.stop()
}

test('what a burst left is given back once the service idles, and then it is left alone', async (t) => {
  const before = heapMiB()
  const collecting = collectWhenIdle({ everyMs: 100 })
  t.teardown(() => collecting.stop())
  makeGarbage()
  t.ok(heapMiB() - before > 20, `the heap has grown from ${before.toFixed(0)} to ${heapMiB().toFixed(0)} MiB`)
  await until(() => heapMiB() - before < 10, { timeoutMs: 20_000, what: 'a smaller heap' })

  const collections = countCollections()
  await delay(LOOKS_MORE * 100)
  t.equal(collections.stop(), 0, 'a heap that does not grow is not collected again')
})

test('a service that works is not interrupted', async (t) => {
  makeGarbage()
  const grown = heapMiB()
  const collecting = collectWhenIdle({ everyMs: 50 })
  t.teardown(() => collecting.stop())
  const collections = countCollections()
  const until = performance.now() + LOOKS_MORE * 50
  while (performance.now() < until) {
    const busy = performance.now() + 10
    while (performance.now() < busy) Math.sqrt(2)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(collections.stop(), 0)
  t.ok(heapMiB() > grown - 20, `${heapMiB().toFixed(0)} of ${grown.toFixed(0)} MiB`)
})

test('what the start has left goes too, but not while work may be about to come', { timeout: 60_000 }, async (t) => {
  makeGarbage()
  const collections = countCollections()
  const collecting = collectWhenIdle({ everyMs: 250 })
  t.teardown(() => collecting.stop())
  await delay(1_500)
  t.equal(collections.seen(), 0)
  // Asking again and again would be work.
  await startCollected()
  const once = collections.seen()
  await delay(LOOKS_MORE * 250)
  t.equal(collections.stop(), once, 'and only once')
})

/** Objects that are kept until the next ones are made: room for new ones grows, and all else by less than is collected. */
const makeShortLived = () => Array.from({ length: 15_000 }, (_, index) => ({ index, text: `short-lived ${index}` }))

test('the room for new objects, which grows with whatever is done, does not count', { timeout: 60_000 }, async (t) => {
  const collecting = collectWhenIdle({ everyMs: 400 })
  t.teardown(() => collecting.stop())
  await startCollected()
  const [newBefore, oldBefore] = [newMiB(), heapMiB() - newMiB()]
  const collections = countCollections()
  let kept: unknown[] = []
  while (newMiB() - newBefore < GROWN_MIB) {
    kept = makeShortLived()
    await delay(300) // light work: a fiftieth of the time
  }
  t.equal(kept.length, 15_000)
  t.ok(heapMiB() - newMiB() - oldBefore < GROWN_MIB, `all else by ${heapMiB() - newMiB() - oldBefore} MiB`)
  await delay(LOOKS_MORE * 400)
  t.equal(collections.stop(), 0)
})

test('but what was made in a hurry is given back', { timeout: 60_000 }, async (t) => {
  const collecting = collectWhenIdle({ everyMs: 100 })
  t.teardown(() => collecting.stop())
  await startCollected()
  const [newBefore, oldBefore] = [newMiB(), heapMiB() - newMiB()]
  const collections = countCollections()
  let kept: unknown[] = []
  const end = performance.now() + 300
  while (performance.now() < end || newMiB() - newBefore < GROWN_MIB) {
    kept = makeShortLived()
    await delay(1)
  }
  t.equal(kept.length, 15_000)
  kept = []
  t.ok(heapMiB() - newMiB() - oldBefore < GROWN_MIB, `all else by ${heapMiB() - newMiB() - oldBefore} MiB`)
  await until(() => collections.seen() > 0 && newMiB() - newBefore < GROWN_MIB, { timeoutMs: 20_000, what: 'a collection' })
  collections.stop()
})
