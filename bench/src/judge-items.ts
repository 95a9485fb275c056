/** The bounds of long lists. */
import type { ItemsRound, ListFigures } from './items-report.ts'
import { median as medianOf } from './statistics.ts'
import { totalOf } from './usage.ts'

const COST_MAX = 1.3
const GROWTH_BYTES_MAX = 100e6

/** A sentence for each bound that is broken. */
export function judgeItems(rounds: readonly ItemsRound[]): string[] {
  const median = (which: keyof ItemsRound, of: (figures: ListFigures) => number) => medianOf(rounds.map((round) => of(round[which])))
  const cost = (which: keyof ItemsRound) => median(which, ({ cpuMs }) => totalOf(cpuMs))
  const ratio = cost('long') / cost('short')
  const grown = median('long', ({ grownBytes }) => grownBytes)
  const wrong = rounds.reduce((sum, { short, long }) => sum + short.wrong + long.wrong, 0)
  return [
    ...(ratio > COST_MAX ? [`an item of the long list costs ${ratio.toFixed(2)} × one of a short list, more than ${COST_MAX} ×`] : []),
    ...(grown >= GROWTH_BYTES_MAX
      ? [`the workflow-runner grew by ${(grown / 1e6).toFixed(0)} MB, not less than ${GROWTH_BYTES_MAX / 1e6} MB`]
      : []),
    ...(wrong > 0 ? [`${wrong} runs had results that were missing or out of place`] : []),
  ]
}
