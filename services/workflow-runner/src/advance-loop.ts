/**
 * One batch at a time: whatever has arrived while the last batch was committed becomes the next one. Only this loop touches run states, so a
 * run is never advanced twice at once inside a process; between processes the fence of the commit decides.
 */
import { type Advance, advanceRuns, type Delivery } from './advance-runs.ts'

/** Something to advance, and what to do when it is safe to forget it. */
export interface Item {
  deliveries: Delivery[]
  /** Called when everything that follows from the deliveries was committed and sent. */
  done?(): void
  /** Called instead when some run of it could not be advanced now; it will come again. */
  failed?(): void
}

export interface AdvanceLoop {
  /** Takes items; resolves when there is room for more. */
  offer(items: Item[]): Promise<void>
  /** Finishes the batch under way, takes no other. */
  stop(): Promise<void>
}

const RETRY_MS_MAX = 2_000
const CRASHES_MAX = 5

/** Starts the loop. `factsMax` bounds a batch; twice as many may wait. */
export function createAdvanceLoop(a: Advance, factsMax: number): AdvanceLoop {
  let waiting: Item[] = []
  let waitingFacts = 0
  let stopped = false
  let room: (() => void)[] = []
  let wake: (() => void) | undefined
  const crashes = new Map<string, number>()

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

  async function process(batch: Item[]): Promise<void> {
    let deliveries = batch.flatMap((item) => item.deliveries)
    for (let delayMs = 50; ; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
      try {
        return settle(batch, await advanceRuns(a, withAborts(deliveries)))
      } catch (error) {
        a.log.warn({ err: error, facts: deliveries.length }, 'batch failed, trying it again')
        if (stopped) return settle(batch, new Set(deliveries.map(({ fact }) => fact.runId)))
        deliveries = deliveries.map((delivery) => ({ ...delivery, redelivered: true }))
        await new Promise((resolve) => setTimeout(resolve, delayMs))
      }
    }
  }

  /** A run that crashes us over and over is ended, or it would hold its partition for ever. */
  function withAborts(deliveries: Delivery[]): Delivery[] {
    if (crashes.size === 0) return deliveries
    const doomed = [...new Set(deliveries.map(({ fact }) => fact.runId))].filter((runId) => (crashes.get(runId) ?? 0) >= CRASHES_MAX)
    const error = {
      code: 'BTN_INTERNAL',
      message: `the run could not be advanced ${CRASHES_MAX} times; the log of workflow-runner has the reason`,
    }
    return [...deliveries, ...doomed.map((runId): Delivery => ({ fact: { kind: 'abort', runId, error }, redelivered: false }))]
  }

  function settle(batch: Item[], stuck: ReadonlySet<string>): void {
    for (const { fact } of batch.flatMap((item) => item.deliveries)) {
      if (!stuck.has(fact.runId)) crashes.delete(fact.runId)
    }
    for (const runId of stuck) crashes.set(runId, (crashes.get(runId) ?? 0) + 1)
    for (const item of batch) {
      if (stuck.size > 0 && item.deliveries.some(({ fact }) => stuck.has(fact.runId))) item.failed?.()
      else item.done?.()
    }
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
    }
  }
  const running = run()

  return {
    async offer(items) {
      if (stopped) return
      waiting.push(...items)
      for (const item of items) waitingFacts += item.deliveries.length
      wake?.()
      if (waitingFacts >= factsMax * 2)
        await new Promise<void>((resolve) => {
          room.push(resolve)
        })
    },
    async stop() {
      stopped = true
      wake?.()
      makeRoom()
      await running
    },
  }
}
