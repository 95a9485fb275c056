/**
 * Runs that could not be advanced: tried again by themselves after a while that doubles, so that they neither spin nor hold up the others, and
 * given up after some tries. What comes for such a run meanwhile waits with it, unacknowledged.
 */

import type { Delivery } from './advance.ts'
import type { Item } from './advance-loop.ts'
import type { Unsettled } from './advance-runs.ts'

export interface TroubledRuns {
  /** The items that may be taken now; what belongs to runs that rest waits with them. */
  admit(items: Item[]): Item[]
  /** The facts, and an abort for each run of theirs that is to be given up. */
  withAborts(deliveries: Delivery[]): Delivery[]
  /** Says how a batch went: `stuck` runs rest, the others are no longer in trouble; what is doubtful is let go of, to come again. */
  settle(items: readonly Item[], unsettled: Unsettled): void
  /** Lets go of all that waits; it will come again. */
  stop(): void
}

/** How often, and how long after each other, a run is tried. */
export interface Patience {
  triesMax: number
  pauseMs: number
  pauseMsMax: number
}

/** Twenty seconds in all: longer than a rolling restart may mix versions, shorter than people wait. */
const PATIENCE: Patience = { triesMax: 8, pauseMs: 250, pauseMsMax: 8_000 }

interface Trouble {
  tries: number
  since: number
  restsUntil: number
  /** It has failed while others could be advanced, or nobody else was in trouble. */
  alone: boolean
}

/** Nobody is in trouble yet. `offer` takes what has waited for long enough. */
export function createTroubledRuns(offer: (items: Item[]) => void, patience: Patience = PATIENCE): TroubledRuns {
  const troubles = new Map<string, Trouble>()
  const waiting = new Map<Item, NodeJS.Timeout>()
  let lastSuccessAt = 0

  /** Keeps what the item holds of these runs until the last of them has rested. What has no end of its own comes again anyway. */
  function park(item: Item, runs: (runId: string) => boolean): void {
    if (!item.done && !item.failed) return
    const deliveries = item.deliveries.filter(({ fact }) => runs(fact.runId)).map((delivery) => ({ ...delivery, redelivered: true }))
    const until = Math.max(...deliveries.map(({ fact }) => troubles.get(fact.runId)?.restsUntil ?? 0))
    const parked = { ...item, deliveries }
    const wake = () => {
      waiting.delete(parked)
      offer([parked])
    }
    waiting.set(parked, setTimeout(wake, Math.max(1, until - performance.now())))
  }

  /** When nothing at all goes on, the fault is not that of each of many runs. */
  function isGivenUp(runId: string): boolean {
    const trouble = troubles.get(runId)
    return trouble !== undefined && trouble.tries >= patience.triesMax && trouble.alone
  }

  return {
    admit(items) {
      if (troubles.size === 0) return items
      const now = performance.now()
      const rests = (runId: string) => (troubles.get(runId)?.restsUntil ?? 0) > now
      return items.flatMap((item) => {
        const now = item.deliveries.filter(({ fact }) => !rests(fact.runId))
        if (now.length === item.deliveries.length) return item
        const parts = partsOf(item, now.length > 0 ? 2 : 1)
        park(parts, rests)
        return now.length > 0 ? { ...parts, deliveries: now } : []
      })
    },
    withAborts(deliveries) {
      if (troubles.size === 0) return deliveries
      const doomed = [...new Set(deliveries.map(({ fact }) => fact.runId))].filter(isGivenUp)
      const error = {
        code: 'BTN_INTERNAL',
        message: `the run could not be advanced ${patience.triesMax} times; the log of workflow-runner has the reason`,
      }
      return [...deliveries, ...doomed.map((runId): Delivery => ({ fact: { kind: 'abort', runId, error }, redelivered: false }))]
    },
    settle(items, { stuck, doubtful }) {
      const now = performance.now()
      for (const { fact } of items.flatMap((item) => item.deliveries)) {
        if (stuck.has(fact.runId)) continue
        troubles.delete(fact.runId)
        lastSuccessAt = now
      }
      const isOnly = stuck.size === 1 && [...troubles.keys()].every((runId) => stuck.has(runId))
      for (const runId of stuck) {
        const { tries, since, alone } = troubles.get(runId) ?? { tries: 0, since: now, alone: false }
        const restsUntil = now + Math.min(patience.pauseMs * 2 ** tries, patience.pauseMsMax)
        troubles.set(runId, { tries: tries + 1, since, restsUntil, alone: alone || lastSuccessAt > since || isOnly })
      }
      const holds = (item: Item, runs: ReadonlySet<string>) => runs.size > 0 && item.deliveries.some(({ fact }) => runs.has(fact.runId))
      for (const taken of items) {
        const item = holds(taken, doubtful) ? withoutDone(taken) : taken
        if (holds(item, stuck)) park(item, (runId) => stuck.has(runId))
        else item.done?.()
      }
    },
    stop() {
      for (const [item, timer] of waiting) {
        clearTimeout(timer)
        item.failed?.()
      }
      waiting.clear()
    },
  }
}

/** The item, let go of where it would be done. */
function withoutDone(item: Item): Item {
  return item.failed ? { ...item, done: item.failed } : item
}

/** The item in parts: it is done when each of them is. */
function partsOf(item: Item, parts: number): Item {
  let left = parts
  const { done } = item
  if (!done) return item
  return {
    ...item,
    done() {
      left -= 1
      if (left === 0) done()
    },
  }
}
