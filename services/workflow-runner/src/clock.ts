/** Postgres' clock, as well as this process knows it: its own clock and the offset that each commit shows. */
export interface ServerClock {
  now(): number
  /** Postgres said that it is this time, just now. */
  observe(at: number): void
}

/** Further back than an answer is ever late: the clocks have moved. */
const JUMP_MS = 1_000

/** Starts at an offset of zero; a jump of either clock is followed at the next observation. */
export function createServerClock(): ServerClock {
  let offsetMs = 0
  return {
    now: () => Date.now() + Math.round(offsetMs),
    observe(at) {
      const seen = at - Date.now()
      // An answer comes late, never early: the latest time seen is the truest, and an earlier one counts for little.
      offsetMs = seen > offsetMs || offsetMs - seen > JUMP_MS ? seen : offsetMs * 0.99 + seen * 0.01
    },
  }
}
