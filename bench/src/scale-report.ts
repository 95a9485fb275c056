/** Several replicas beside one of each, in Markdown. */
import { STEPS } from './engine.ts'
import type { ScaleOptions } from './options.ts'
import { shown, table, takenOn } from './report.ts'
import { type Figures, median, mediansOf } from './statistics.ts'
import { CPU_OF } from './workloads.ts'

/** What one round gave: with one of each, and with several. */
export type ScaleRound = Record<'one' | 'several', Figures>

/** Throughput, CPU time by service, and what went wrong. */
export function scaleReport(rounds: readonly ScaleRound[], { replicas, runs, warmUp }: ScaleOptions, today: Date): string {
  const [one, several] = [mediansOf(rounds.map((round) => round.one)), mediansOf(rounds.map((round) => round.several))]
  const [alone, together] = [byService(one), byService(several)]
  const row = (label: string, before = 0, after = 0) => {
    return [label, shown(before), shown(after), before < 0.005 ? '–' : `${(after / before).toFixed(2)} ×`]
  }
  const wrong = (which: keyof ScaleRound) => shown(rounds.reduce((sum, round) => sum + round[which].wrongRuns!, 0))
  const ratios = rounds.map((round) => round.several.runsPerSecond! / round.one.runsPerSecond!)
  const services = [...together].filter(([, cost]) => cost >= 0.005)
  return [
    `${takenOn(today)} Medians of ${rounds.length} interleaved rounds of ${runs} W1 runs each, after ${warmUp} for each replica.`,
    table(
      ['', '1 workflow-runner, 1 http-worker', `${replicas} workflow-runners, ${replicas} http-workers`, ''],
      [
        row('W1 runs/s', one.runsPerSecond, several.runsPerSecond),
        ['W1 runs/s, median of the ratios of the rounds', '', '', `${median(ratios).toFixed(2)} ×`],
        row('CPU-ms a run', one.cpuMsPerRun, several.cpuMsPerRun),
        ...services.map(([name, cost]) => row(`CPU-ms a run: ${name}`, alone.get(name), cost)),
        ['runs with a step that was not called exactly once', wrong('one'), wrong('several'), ''],
      ],
    ),
  ].join('\n\n')
}

/** CPU-ms a run of all replicas of a service together. */
function byService(figures: Figures): Map<string, number> {
  const costs = new Map<string, number>()
  for (const [name, cost] of Object.entries(figures)) {
    if (!name.startsWith(CPU_OF)) continue
    const service = name.slice(CPU_OF.length).replace(/-\d+$/, '')
    costs.set(service, (costs.get(service) ?? 0) + cost)
  }
  return costs
}

/** Runs of which a step was not called, or called twice, by the record of the called service. */
export function countWrongRuns(seen: Record<string, Record<string, number[]>>, runs: number): number {
  const isRight = (steps: Record<string, number[]>) => {
    return Object.keys(steps).length === STEPS.sequence && Object.values(steps).every((times) => times.length === 1)
  }
  return runs - Object.values(seen).filter(isRight).length
}
