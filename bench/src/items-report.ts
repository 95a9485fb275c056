/** A long list beside short ones, in Markdown. */
import type { ItemsOptions } from './options.ts'
import { shown, table, takenOn } from './report.ts'
import { median as medianOf } from './statistics.ts'
import { totalOf } from './usage.ts'

/** What lists of one length gave. */
export interface ListFigures {
  /** Milliseconds an item, by process. */
  cpuMs: Map<string, number>
  itemsPerSecond: number
  /** By which the resident memory of the workflow-runner grew at most. */
  grownBytes: number
  /** Runs whose results were not as they must be. */
  wrong: number
}

/** What one round gave: the short lists, and the long one. */
export type ItemsRound = Record<'short' | 'long', ListFigures>

const BYTES_PER_MB = 1e6

/** CPU time an item by process, throughput, memory, and what went wrong. */
export function itemsReport(rounds: readonly ItemsRound[], { items, few }: ItemsOptions, today: Date): string {
  const median = (which: keyof ItemsRound, of: (figures: ListFigures) => number) => medianOf(rounds.map((round) => of(round[which])))
  const row = (label: string, of: (figures: ListFigures) => number) => {
    const [short, long] = [median('short', of), median('long', of)]
    return [label, shown(short), shown(long), short < 0.0005 ? '–' : `${(long / short).toFixed(2)} ×`]
  }
  const names = [...rounds[0]!.short.cpuMs.keys()].filter((name) => median('long', ({ cpuMs }) => cpuMs.get(name) ?? 0) >= 0.005)
  return [
    `${takenOn(today)} Medians of ${rounds.length} rounds.`,
    table(
      ['', `lists of ${few} items`, `one list of ${items}`, ''],
      [
        row('CPU-ms an item', ({ cpuMs }) => totalOf(cpuMs)),
        ...names.map((name) => row(`CPU-ms an item: ${name}`, ({ cpuMs }) => cpuMs.get(name) ?? 0)),
        row('items/s', ({ itemsPerSecond }) => itemsPerSecond),
        row('workflow-runner grows by at most, MB', ({ grownBytes }) => grownBytes / BYTES_PER_MB),
        row('runs with a result missing or out of place', ({ wrong }) => wrong),
      ],
    ),
  ].join('\n\n')
}
