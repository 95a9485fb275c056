/**
 * One batch at a time: whatever has arrived while the last batch was committed becomes the next one. Only this loop touches run states, so a
 * run is never advanced twice at once inside a process; between processes the fence of the commit decides.
 */
import type { Advance, Delivery } from './advance.ts'
import { advanceRuns } from './advance-runs.ts'
import { createTroubledRuns, type Patience } from './troubled-runs.ts'

/** Something to advance, and what to do when it is safe to forget it. */
export interface Item {
  deliveries: Delivery[]
  /** Called when everything that follows from the deliveries was committed and sent. */
  done?(): void
  /** Called instead when the loop ends before some run of it could be advanced; it will come again. */
  failed?(): void
}

export interface AdvanceLoop {
  /** Takes items; resolves when there is room for more. */
  offer(items: Item[]): Promise<void>
  /** Resolves when every item that was offered until now has had its batch, or the signal is aborted, or the loop has ended. */
  caughtUp(signal: AbortSignal): Promise<void>
  /** Finishes the batch under way, takes no other. */
  stop(): Promise<void>
}

const RETRY_MS_MAX = 2_000

/** Starts the loop. `factsMax` bounds a batch; twice as many may wait. */
export function createAdvanceLoop(a: Advance, factsMax: number, patience?: Patience): AdvanceLoop {
  let waiting: Item[] = []
  let waitingFacts = 0
  let stopped = false
  let room: (() => void)[] = []
  /** Items that were offered, and those that have had their batch: they pass in the order in which they came. */
  let offered = 0
  let passed = 0
  let behind: { until: number; resolve: () => void }[] = []
  let wake: (() => void) | undefined
  const troubled = createTroubledRuns(put, patience)

  function put(items: readonly Item[]): void {
    waiting.push(...items)
    offered += items.length
    for (const item of items) waitingFacts += item.deliveries.length
    wake?.()
  }

  function take(): Item[] {
    const batch: Item[] = []
    let facts = 0
    while (waiting.length > batch.length && (facts < factsMax || batch.length === 0)) {
      facts += waiting[batch.length]!.deliveries.length
      batch.push(waiting[batch.length]!)
    }
    waiting = waiting.slice(batch.length)
    waitingFacts -= facts
    if (waitingFacts < factsMax) makeRoom()
    return batch
  }

  /** Readers, timers and the reconciler may all wait: each is let go on. */
  function makeRoom(): void {
    const waiters = room
    room = []
    for (const resolve of waiters) resolve()
  }

  function pass(items: number): void {
    passed += items
    const waiters = behind
    behind = []
    for (const waiter of waiters) {
      if (stopped || waiter.until <= passed) waiter.resolve()
      else behind.push(waiter)
    }
  }

  async function process(items: Item[]): Promise<void> {
    const batch = troubled.admit(items)
    let deliveries = batch.flatMap((item) => item.deliveries)
    for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
      try {
        return troubled.settle(batch, await advanceRuns(a, troubled.withAborts(deliveries)))
      } catch (error) {
        a.log.warn({ err: error, facts: deliveries.length }, 'batch failed, trying it again')
        if (stopped) return letGo(batch)
        deliveries = deliveries.map((delivery) => ({ ...delivery, redelivered: true }))
        await new Promise((resolve) => setTimeout(resolve, delayMs))
      }
    }
  }

  function letGo(items: readonly Item[]): void {
    for (const item of items) item.failed?.()
  }

  async function run(): Promise<void> {
    while (!stopped) {
      if (waiting.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      wake = undefined
      const batch = stopped ? [] : take()
      if (batch.length > 0) await process(batch)
      pass(batch.length)
    }
  }
  const running = run()

  return {
    async offer(items) {
      if (stopped) return
      put(items)
      if (waitingFacts >= factsMax * 2)
        await new Promise<void>((resolve) => {
          room.push(resolve)
        })
    },
    async caughtUp(signal) {
      if (passed >= offered || stopped || signal.aborted) return
      await new Promise<void>((resolve) => {
        const end = () => {
          signal.removeEventListener('abort', end)
          resolve()
        }
        behind.push({ until: offered, resolve: end })
        signal.addEventListener('abort', end, { once: true })
      })
    },
    async stop() {
      stopped = true
      wake?.()
      makeRoom()
      await running
      troubled.stop()
    },
  }
}
