/** What goes wrong in one simulation, and how often. Most seeds have a few kinds of faults only: all at once would hide each other. */
import type { Dice } from './dice.ts'
import type { Process, Scheduler } from './scheduler.ts'

export interface Weather {
  /** Chances by name; all are 0 once it has calmed down. */
  chance(fault: Fault): boolean
  /** One way over the network, in ms. */
  latencyMs(): number
  calmDown(): void
  readonly calm: boolean
  /** How many faults happened, by name. */
  readonly faults: Map<string, number>
}

/** Chance of each fault at each occasion, when the weather has it. */
const CHANCES = {
  /** Of a step of a process. */
  kill: 0.002,
  stop: 0.002,
  /** Of a step in the middle of the hot path. */
  killHot: 0.04,
  stopHot: 0.04,
  /** A request or an answer that takes long. */
  slow: 0.05,
  /** Postgres goes away before, after or long before the statement is applied. */
  lostRequest: 0.03,
  lostAnswer: 0.05,
  lateCommit: 0.04,
  /** Redis refuses a command (its disk is full), answers one in vain so that it is sent again, or is away for a while. */
  refused: 0.02,
  sentAgain: 0.02,
  away: 0.004,
  /** Redis is emptied, or forgets what it had not written down; per second. */
  emptied: 0.06,
  forgets: 0.06,
  /** A timer that is handed on once more, long after Postgres gave it out. */
  lateTimers: 0.4,
  /** A wake-up that is never sent; a fact that comes twice, or late, or from another time. */
  wakeLost: 0.3,
  doubled: 0.3,
  ghost: 0.1,
  /** A job that fails in its worker. */
  jobFails: 0.25,
  /** A clock that jumps; per second. */
  jump: 0.08,
  /** Partitions that move, or that two runners hold; per look. */
  shuffled: 0.25,
  /** A call that takes long. */
  longCall: 0.15,
  /** An answer that Postgres does not take. */
  poison: 0.01,
} as const
/** A fault by name. */
export type Fault = keyof typeof CHANCES

/** Draws the weather of a simulation. */
export function drawWeather(dice: Dice): Weather {
  const own = dice.fork()
  const names = Object.keys(CHANCES) as Fault[]
  const fair = dice.chance(0.05)
  const share = dice.pick([0.25, 0.5, 0.8])
  const present = new Set(names.filter(() => !fair && dice.chance(share)))
  const [min, max] = dice.pick([
    [0.1, 1],
    [0.1, 20],
    [5, 60],
  ])
  const faults = new Map<string, number>()
  let calm = false
  return {
    chance(fault) {
      if (calm || !present.has(fault) || !own.chance(CHANCES[fault])) return false
      faults.set(fault, (faults.get(fault) ?? 0) + 1)
      return true
    },
    latencyMs: () => own.between(min!, max!),
    calmDown() {
      calm = true
    },
    get calm() {
      return calm
    },
    faults,
  }
}

/** Lets the weather kill and stop a process between two of its steps. `hot` says that it is in the middle of something. */
export function expose(process: Process, scheduler: Scheduler, weather: Weather, dice: Dice, onKilled: () => void): void {
  process.beforeStep = () => {
    if (process.state !== 'running') return
    const { hot } = process
    process.hot = false
    if (weather.chance('kill') || (hot && weather.chance('killHot'))) {
      scheduler.kill(process)
      onKilled()
    } else if (weather.chance('stop') || (hot && weather.chance('stopHot'))) {
      scheduler.stop(process, dice.chance(0.5) ? dice.between(100, 4_000) : dice.between(4_000, 14_000))
    }
  }
}
