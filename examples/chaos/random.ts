/** Random choices that a seed repeats. */

/** A source of choices; the same seed gives the same ones. */
export interface Random {
  /** 0 ≤ n < 1. */
  next(): number
  /** A whole number from `min` to `max`, both included. */
  whole(min: number, max: number): number
  pick<T>(from: readonly T[]): T
  chance(probability: number): boolean
  /** A source of its own, so that what it gives does not depend on who asks first. */
  fork(): Random
}

/** Mulberry32: 32 bits of state are enough to choose faults. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const whole = (min: number, max: number) => min + Math.floor(next() * (max - min + 1))
  return {
    next,
    whole,
    pick: (from) => from[whole(0, from.length - 1)]!,
    chance: (probability) => next() < probability,
    fork: () => createRandom(whole(0, 2 ** 32 - 1)),
  }
}
