/** What a full database changes, in Markdown. */
import type { GrowthOptions } from './options.ts'
import { shown, table, takenOn } from './report.ts'
import { type Figures, mediansOf } from './statistics.ts'
import type { TableFigures } from './stores.ts'
import { CPU_OF } from './workloads.ts'

/** Which database: the one without finished runs, or the one with many. */
export type Filling = 'empty' | 'full'

export interface Growth {
  /** One for each round. */
  probes: Record<Filling, Figures>[]
  readings: Record<Filling, Figures>
  tables: Pick<TableFigures, 'name' | 'liveRows' | 'bytes'>[]
}

const FILLINGS = ['empty', 'full'] as const
const BYTES_PER_MIB = 2 ** 20

/** CPU time a run and latencies of lists, empty beside full. */
export function growthReport({ probes, readings, tables }: Growth, { runs, probe, reads }: GrowthOptions, today: Date): string {
  const medians = Object.fromEntries(FILLINGS.map((filling) => [filling, mediansOf(probes.map((round) => round[filling]))]))
  const full = `${runs.toLocaleString('en').replaceAll(',', ' ')} finished runs`
  const cost = (label: string, figure: string) => {
    const [before, after] = FILLINGS.map((filling) => medians[filling]![figure])
    const ratio = before === undefined || after === undefined || before < 0.005 ? undefined : after / before
    return [label, shown(before), shown(after), ratio === undefined ? '–' : `${ratio.toFixed(2)} ×`]
  }
  const processes = Object.keys(medians.full!).filter((name) => name.startsWith(CPU_OF) && medians.full![name]! >= 0.005)
  const costs = [
    cost('W1 CPU-ms a run', 'cpuMsPerRun'),
    cost('W1 runs/s', 'runsPerSecond'),
    ...processes.map((name) => cost(`CPU-ms a run: ${name.slice(CPU_OF.length)}`, name)),
  ]
  const names = Object.keys(readings.full).flatMap((name) => (name.endsWith('@p50') ? name.slice(0, -'@p50'.length) : []))
  const latencies = names.map((name) => {
    const of = (filling: Filling) => `${shown(readings[filling][`${name}@p50`])} / ${shown(readings[filling][`${name}@p99`])}`
    return [name, of('empty'), of('full')]
  })
  return [
    `${takenOn(today)} Medians of ${probes.length} interleaved probes of ${probe} runs each; each list read ${reads} times.`,
    table(['', 'empty', full, ''], costs),
    table(['list of runs (a page of 50), p50 / p99 ms', 'empty', full], latencies),
    table(
      ['table, with its indexes', 'rows', 'MiB', 'bytes a row'],
      tables.map(({ name, liveRows, bytes }) => [name, shown(liveRows), shown(bytes / BYTES_PER_MIB), shown(bytes / liveRows)]),
    ),
  ].join('\n\n')
}
