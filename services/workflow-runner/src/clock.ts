/** Postgres' clock, as well as this process knows it: its own clock and the offset that each commit shows. */
export interface ServerClock {
  now(): number
  /** Postgres said that it is this time, just now. */
  observe(at: number): void
}

/** Starts at an offset of zero; a jump of either clock is followed at the next observation. */
export function createServerClock(): ServerClock {
  let offsetMs = 0
  return {
    now: () => Date.now() + Math.round(offsetMs),
    observe(at) {
      const seen = at - Date.now()
      // One observation is late by half a round trip: smooth small differences, follow large ones at once.
      offsetMs = Math.abs(seen - offsetMs) > 50 ? seen : offsetMs * 0.9 + seen * 0.1
    },
  }
}
