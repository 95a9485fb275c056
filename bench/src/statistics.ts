/** Figures from samples. */

/** The p-quantile (0 … 1) by nearest rank; NaN without samples. */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN
}

/** The middle of the samples, of an even number the mean of the two in the middle; NaN without samples. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const half = sorted.length / 2
  if (sorted.length % 2 === 1) return sorted[Math.floor(half)]!
  return (sorted[half - 1]! + sorted[half]!) / 2
}

/** Named figures of one measurement. */
export type Figures = Record<string, number>

/** The median of each figure over several measurements; one that a measurement lacks is taken from the others. */
export function mediansOf(measurements: readonly Figures[]): Figures {
  const names = [...new Set(measurements.flatMap((figures) => Object.keys(figures)))]
  return Object.fromEntries(names.map((name) => [name, median(measurements.flatMap((figures) => figures[name] ?? []))]))
}

/** The longest time in which nothing happened, between `from` and the last of the moments; 0 when there is none after it. */
export function longestGap(moments: readonly number[], from: number): number {
  let last = from
  let longest = 0
  for (const at of [...moments].sort((a, b) => a - b)) {
    if (at <= from) continue
    longest = Math.max(longest, at - last)
    last = at
  }
  return longest
}

/** Runs `count` tasks, at most `width` at once. */
export async function inParallel(count: number, width: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: Math.min(width, count) }, async () => {
      while (next < count) await task(next++)
    }),
  )
}
