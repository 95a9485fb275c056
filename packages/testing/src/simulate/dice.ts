/** Everything random in a simulation comes from one seed. */
export interface Dice {
  /** Uniform in [0, 1). */
  next(): number
  /** A whole number below `n`. */
  below(n: number): number
  between(min: number, max: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** A stream of its own: what is drawn from it does not move this one. */
  fork(): Dice
}

/** mulberry32: small, and the same everywhere. */
export function createDice(seed: number): Dice {
  let a = Math.imul(seed, 0x9e3779b1) >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number) => Math.floor(next() * n)
  return {
    next,
    below,
    between: (min, max) => min + next() * (max - min),
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)]!,
    fork: () => createDice(Math.floor(next() * 2 ** 32)),
  }
}

/** A number below 2^32 that the text always gives. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}
