/**
 * The rows of `schedules` and the runs that they start, in memory, with transactions: what is claimed is locked until its transaction ends, and a
 * transaction whose connection broke ends some time later. Each transaction that ends well is judged by what a schedule promises.
 */
import type { CatchUp } from '@baton/contracts'
import type { DueSchedule, ScheduleMove } from '@baton/store'
import { createLink, type Dice, type Process, type Scheduler, type Weather } from '@baton/testing/simulate'
import type { FireStore, Firing } from '../../src/fire-schedules.ts'
import type { RunToStart, StartedRun } from '../../src/start-runs.ts'

export interface Schedule {
  name: string
  catchUp: CatchUp
  everyMs: number
  nextAt: number
  /** Slots that started a run, in the order in which they did. */
  fired: number[]
}

export interface ScheduleWorld {
  scheduler: Scheduler
  weather: Weather
  dice: Dice
  now(): number
  schedules: Map<string, Schedule>
  lateMsMax: number
  fail(violation: string): void
}

interface Transaction {
  owner: Process
  state: 'open' | 'committed' | 'gone'
  claimed: Map<string, { since: number; now: number; nextAt: number }>
  runs: RunToStart[]
  moves: ScheduleMove[]
}

const CLAIM_AFTER_MS = 2_000

/** Tables that several processes connect to. */
export function createScheduleTables(world: ScheduleWorld) {
  const { scheduler, weather, dice, schedules, now } = world
  const open = new Set<Transaction>()
  const lost = () => Object.assign(new Error('write CONNECTION_CLOSED'), { code: 'CONNECTION_CLOSED' })

  function end(tx: Transaction, state: 'committed' | 'gone'): void {
    if (tx.state === 'open') tx.state = state
    open.delete(tx)
  }

  function claim(tx: Transaction, limit: number, since: number, bornAt: number): DueSchedule[] {
    if (since < bornAt) world.fail(`a process watches since ${bornAt - since} ms before it was there`)
    const isLocked = (name: string) => [...open].some((other) => other.claimed.has(name))
    const at = now()
    const due = [...schedules.values()].filter(({ nextAt }) => nextAt <= at && (nextAt >= since || nextAt < at - CLAIM_AFTER_MS))
    const rows = due.filter(({ name }) => !isLocked(name)).slice(0, limit)
    for (const { name, nextAt } of rows) tx.claimed.set(name, { since, now: at, nextAt })
    return rows.map((row) => rowOf(row, at))
  }

  function commit(tx: Transaction): void {
    if (tx.state !== 'open') throw lost()
    for (const move of tx.moves) {
      const slots = tx.runs
        .filter(({ startedBy }) => startedBy === `schedule:${move.name}`)
        .map(({ labels }) => Date.parse(labels!['baton.slot']!))
      const wrong = judgeMove(schedules.get(move.name)!, tx.claimed.get(move.name), slots, move.nextAt, world.lateMsMax)
      if (wrong) world.fail(`${move.name} ${wrong}`)
      schedules.get(move.name)!.fired.push(...slots)
      schedules.get(move.name)!.nextAt = move.nextAt ?? Number.POSITIVE_INFINITY
    }
    end(tx, 'committed')
  }

  function connect(
    owner: Process,
  ): FireStore & { agenda(): Promise<{ dueInMs: number | null; untriggered: boolean }>; clock(): Promise<number> } {
    const link = createLink(scheduler, weather, owner, dice)
    const bornAt = now()

    async function ask<T>(effect: () => T): Promise<T> {
      owner.hot = true
      if (weather.chance('lostRequest')) return link.request(() => raise(lost()))
      const answer = await link.request(effect)
      if (weather.chance('lostAnswer')) throw lost()
      return answer
    }

    async function endWell(tx: Transaction): Promise<void> {
      if (!weather.chance('lateCommit')) return ask(() => commit(tx))
      scheduler.after(dice.between(5, 3_000), () => tx.state === 'open' && commit(tx))
      return link.request(() => raise(lost()))
    }

    return {
      clock: () => ask(now),
      agenda: () => ask(() => ({ dueInMs: Math.min(...[...schedules.values()].map(({ nextAt }) => nextAt)) - now(), untriggered: false })),
      async transaction(act) {
        const tx: Transaction = { owner, state: 'open', claimed: new Map(), runs: [], moves: [] }
        open.add(tx)
        const firing: Firing = {
          claimDue: (limit, since) => ask(() => claim(tx, limit, since, bornAt)),
          storeRuns: (runs) =>
            ask(() => {
              tx.runs.push(...runs)
              return runs.map(({ id }): StartedRun => ({ id, outcome: 'created', at: now() }))
            }),
          move: (moves) => ask(() => void tx.moves.push(...moves)),
        }
        try {
          const result = await act(firing)
          await endWell(tx)
          return result
        } catch (error) {
          // The server finds out later that the connection is gone; a commit that is under way goes on.
          scheduler.after(dice.between(3_001, 5_000), () => end(tx, 'gone'))
          throw error
        }
      },
    }
  }

  return {
    connect,
    /** The process is gone: its connections close, and what they had begun is undone. */
    disconnect(owner: Process): void {
      for (const tx of open) if (tx.owner === owner) scheduler.after(dice.between(0, 1_000), () => end(tx, 'gone'))
    },
  }
}

function rowOf({ name, nextAt, catchUp, everyMs }: Schedule, now: number): DueSchedule {
  const settings = { cron: `*/${everyMs / 1_000} * * * * *`, timezone: 'UTC', catchUp, input: { slot: '${{ schedule.slot }}' } }
  const none = { lastAt: null, lastRun: null, lastError: null, lastErrorAt: null }
  return {
    ...none,
    namespace: 'default',
    name,
    workflow: 'tick',
    enabled: true,
    settings,
    nextAt,
    now,
    createdBy: 'key_ann',
    createdAt: 0,
    updatedAt: 0,
  }
}

/** What is wrong with what a transaction made of a schedule, told by its policy alone. */
function judgeMove(
  { catchUp, everyMs, nextAt: current }: Schedule,
  claimed: { since: number; now: number; nextAt: number } | undefined,
  slots: readonly number[],
  nextAt: number | null,
  lateMsMax: number,
): string | undefined {
  if (!claimed || claimed.nextAt !== current) return 'is moved by somebody who does not hold it'
  const { since, now } = claimed
  const due: number[] = []
  for (let slot = current; slot <= now; slot += everyMs) due.push(slot)
  const missed = due.filter((slot) => slot < since || now - slot > lateMsMax)
  const kept = catchUp === 'all' ? missed : catchUp === 'last' ? missed.slice(-1) : []
  const expected = due.filter((slot) => !missed.includes(slot) || kept.includes(slot))
  if (JSON.stringify(slots) !== JSON.stringify(expected))
    return `(${catchUp}) fires ${slots.map((slot) => slot - now)}, not ${expected.map((slot) => slot - now)}`
  const first = due.at(-1)! + everyMs
  return nextAt === first ? undefined : `goes on at ${(nextAt ?? 0) - now}, not ${first - now}`
}

function raise(error: Error): never {
  throw error
}
