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
  const [alone, together] = [byService(rounds.map((round) => round.one)), byService(rounds.map((round) => round.several))]
  const row = (label: string, before = 0, after = 0) => {
    return [label, shown(before), shown(after), before < 0.005 ? '–' : `${(after / before).toFixed(2)} ×`]
  }
  const wrong = (which: keyof ScaleRound) => shown(rounds.reduce((sum, round) => sum + round[which].wrongRuns!, 0))
  const ratios = rounds.map((round) => round.several.runsPerSecond! / round.one.runsPerSecond!)
  const services = Object.entries(together).filter(([, cost]) => cost >= 0.005)
  return [
    `${takenOn(today)} Medians of ${rounds.length} interleaved rounds of ${runs} W1 runs each, after ${warmUp * replicas} on each side.`,
    table(
      ['', '1 workflow-runner, 1 http-worker', `${replicas} workflow-runners, ${replicas} http-workers`, ''],
      [
        row('W1 runs/s', one.runsPerSecond, several.runsPerSecond),
        ['W1 runs/s, median of the ratios of the rounds', '', '', `${median(ratios).toFixed(2)} ×`],
        row('CPU-ms a run', one.cpuMsPerRun, several.cpuMsPerRun),
        ...services.map(([name, cost]) => row(`CPU-ms a run: ${name}`, alone[name], cost)),
        ['runs with a step that was not called exactly once', wrong('one'), wrong('several'), ''],
      ],
    ),
  ].join('\n\n')
}

/** CPU-ms a run of each service: of a round all its replicas together, then the median. */
function byService(rounds: readonly Figures[]): Figures {
  return mediansOf(rounds.map(sumReplicas))
}

function sumReplicas(figures: Figures): Figures {
  const costs: Figures = {}
  for (const [name, cost] of Object.entries(figures)) {
    if (!name.startsWith(CPU_OF)) continue
    const service = name.slice(CPU_OF.length).replace(/-\d+$/, '')
    costs[service] = (costs[service] ?? 0) + cost
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
