/** Timers: due by Postgres' clock alone, deleted in the commit that applies them. Sleeps until the next one is due. */
import type { TimerKind } from '@baton/engine'
import type { TimersFact } from './advance.ts'
import type { Item } from './advance-loop.ts'

export interface DueTimer {
  runId: string
  path: string
  timer: TimerKind
  generation: number
  attempt: number
  lateMs: number
}

export interface TimerSource {
  /** Timers of these partitions that are due, oldest first. */
  due(partitions: number[], limit: number): Promise<DueTimer[]>
  /** Milliseconds until the next one is due, or null when there is none. */
  nextInMs(partitions: number[]): Promise<number | null>
}

export interface TimerPump {
  /** A timer was set that is due in this many milliseconds. */
  expect(inMs: number): void
  /** Asks Postgres now, rather than at the end of `pollMs`, when it would have been asked for nothing that is known. */
  look(): void
  stop(): void
}

const LIMIT = 500
/** What is due and still there is being committed: look again soon, not at once, and later each time while nothing is new (a run may rest). */
const UNDER_WAY_MS = 20
const UNDER_WAY_MS_MAX = 320

/** Starts the pump. It asks Postgres when a timer is due, and once per `pollMs` in case another runner set one. */
export function pumpTimers(options: {
  source: TimerSource
  partitions(): number[]
  offer(items: Item[]): Promise<void>
  pollMs: number
  onLate(lateMs: number): void
  onError(error: unknown): void
}): TimerPump {
  const { source, partitions, offer, pollMs } = options
  const underWay = new Set<string>()
  let stopped = false
  let handle: NodeJS.Timeout | undefined
  let dueAt = Number.POSITIVE_INFINITY
  let firing = false
  /** Something was due while it was asked what is. */
  let again = false
  /** Nothing was due within `pollMs`, as far as we know: only another runner can have set what is. */
  let quiet = false
  let underWayMs = UNDER_WAY_MS

  function schedule(inMs: number): void {
    const at = Date.now() + Math.max(0, inMs)
    if (stopped || (handle && dueAt <= at)) return
    clearTimeout(handle)
    dueAt = at
    handle = setTimeout(fire, Math.max(0, inMs))
  }

  async function fire(): Promise<void> {
    handle = undefined
    if (stopped) return
    if (firing) {
      again = true
      return
    }
    firing = true
    let inMs = pollMs
    try {
      inMs = await pump()
    } catch (error) {
      options.onError(error)
    }
    firing = false
    // What was due meanwhile was set after the question was answered.
    if (again) quiet = false
    schedule(again ? 0 : inMs)
    again = false
  }

  async function pump(): Promise<number> {
    const held = partitions()
    if (held.length === 0) return pollMs
    if (quiet) {
      const next = await source.nextInMs(held)
      if (next === null || next > 0) return rest(next)
    }
    quiet = false
    const due = await source.due(held, LIMIT)
    const items = itemsOf(
      due.filter((timer) => !underWay.has(keyOf(timer))),
      underWay,
    )
    underWayMs = items.length > 0 ? UNDER_WAY_MS : Math.min(underWayMs * 2, UNDER_WAY_MS_MAX)
    if (items.length > 0) await offer(items)
    if (due.length === LIMIT) return items.length > 0 ? 0 : underWayMs
    const next = await source.nextInMs(held)
    return next !== null && next <= 0 ? underWayMs : rest(next)
  }

  function rest(next: number | null): number {
    quiet = next === null || next > pollMs
    return Math.min(pollMs, Math.ceil(next ?? pollMs))
  }

  function itemsOf(due: DueTimer[], pending: Set<string>): Item[] {
    const byRun = new Map<string, { fact: TimersFact; keys: string[] }>()
    for (const { runId, lateMs, ...timer } of due) {
      const entry = byRun.get(runId) ?? { fact: { kind: 'timers', runId, facts: [] }, keys: [] }
      entry.fact.facts.push({ kind: 'timer', ...timer })
      const key = keyOf({ runId, ...timer })
      entry.keys.push(key)
      pending.add(key)
      byRun.set(runId, entry)
      options.onLate(lateMs)
    }
    return [...byRun.values()].map(({ fact, keys }) => {
      const forget = () => {
        for (const key of keys) pending.delete(key)
      }
      return { deliveries: [{ fact, redelivered: false }], done: forget, failed: forget }
    })
  }

  schedule(0)
  return {
    // No further ahead than the poll: a timeout of more than 24 days would fire at once.
    expect(inMs) {
      if (inMs <= pollMs) quiet = false
      schedule(Math.min(inMs, pollMs))
    },
    look() {
      if (!quiet || firing || stopped) return
      clearTimeout(handle)
      void fire()
    },
    stop() {
      stopped = true
      clearTimeout(handle)
    },
  }
}

function keyOf(timer: { runId: string; path: string; timer: string; generation: number; attempt: number }): string {
  return `${timer.runId}/${timer.path}/${timer.timer}/${timer.generation}/${timer.attempt}`
}
