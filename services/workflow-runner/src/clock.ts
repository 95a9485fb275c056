import type { Logger } from '@baton/runtime'

/** Postgres' clock, as well as this process knows it: its own clock and the offset that each commit shows. */
export interface ServerClock {
  now(): number
  /** Our own clock. It goes on evenly: that of the host may be set, and what is decided before the next answer would be hours off. */
  local(): number
  /**
   * Postgres said that it is this time, after it was asked at `askedAt` by our clock (just now, when left out). Both with their fractions: one
   * that is rounded down pulls ours behind, and events of fast steps before what they tell of.
   */
  observe(at: number, askedAt?: number): void
}

/**
 * Starts at an offset of zero. Postgres read its clock between the question and the answer, so the offset lies between two bounds and is moved
 * no further than into them: an answer that took long says little. On one machine times of events do not fall behind what they tell of; between
 * two they differ by no more than the fastest answer took.
 */
export function createServerClock(): ServerClock {
  let offsetMs = 0
  const local = () => performance.timeOrigin + performance.now()
  return {
    now: () => Math.round(local() + offsetMs),
    local,
    observe(at, askedAt = local()) {
      const least = at - local()
      const most = at - askedAt
      offsetMs = Math.min(Math.max(offsetMs, least), Math.max(most, least))
    },
  }
}

const RETRY_MS = 250

/** Asks until Postgres tells its time: it may go away in the very moment that a service begins. False when `isOver` came first. */
export async function learnClock(
  clock: ServerClock,
  ask: () => Promise<number>,
  options: { isOver(): boolean; log: Logger },
): Promise<boolean> {
  while (!options.isOver()) {
    const askedAt = clock.local()
    try {
      clock.observe(await ask(), askedAt)
      return !options.isOver()
    } catch (error) {
      options.log.warn({ err: error }, 'the time of Postgres is not known yet, asking again')
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }
  return false
}
