/** Postgres' clock, as well as this process knows it: its own clock and the offset that each commit shows. */
export interface ServerClock {
  now(): number
  /** Postgres said that it is this time, after it was asked at `askedAt` by our clock (just now, when left out). */
  observe(at: number, askedAt?: number): void
}

/** `Date.now` leaves out what is less than this. */
const ROUNDED_MS = 1

/**
 * Starts at an offset of zero. Postgres read its clock between the question and the answer, so the offset lies between two bounds and is moved
 * no further than into them: an answer that took long says little, and times of events never fall behind what they tell of.
 */
export function createServerClock(): ServerClock {
  let offsetMs = 0
  return {
    now: () => Date.now() + Math.round(offsetMs),
    observe(at, askedAt = Date.now()) {
      const least = at - Date.now() - ROUNDED_MS
      const most = at - askedAt
      offsetMs = Math.min(Math.max(offsetMs, least), Math.max(most, least))
    },
  }
}
