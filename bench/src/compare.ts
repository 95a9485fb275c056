/**
 * `make bench-peers`: Baton and other engines side by side, each on stores of its own that start empty, in interleaved rounds, so that the
 * noise of the machine falls on all. Prints medians; `--write` puts them and a plot into bench/README.md.
 */
import { join } from 'node:path'
import { stackPaths } from '@baton/embedded'
import { compareReport } from './compare-report.ts'
import { drawPlot } from './draw-plot.ts'
import type { Engine } from './engine.ts'
import { measureCrash } from './measure-crash.ts'
import { measureGrowth } from './measure-growth.ts'
import { measureParked } from './measure-parked.ts'
import { type CompareOptions, parseCompareOptions, type WorkloadName } from './options.ts'
import { startOwnStack } from './own-stack.ts'
import { findPeer, type PeerName } from './peers/list-peers.ts'
import { startPeer } from './peers/start-peer.ts'
import { plotPanels } from './plot-panels.ts'
import { writeFigures, writePlot } from './report.ts'
import { forgetMeasurements, readMeasurements, recordMeasurement, takeMedians } from './results.ts'
import { onInterrupt, runCommand } from './run-command.ts'
import { startTarget, type Target } from './start-target.ts'
import type { Figures } from './statistics.ts'
import { measureGate, measureRuns, measureSaturation } from './workloads.ts'

const FOLDER = join(stackPaths().local, 'bench')
const FOLDERS = { packages: join(FOLDER, 'peers'), data: join(FOLDER, 'data'), logs: join(FOLDER, 'logs') }
const RESULTS = join(FOLDER, 'results.jsonl')
const BATON = 'baton'
/** These change what comes after them, or take long, so they have an engine of their own, and one round must do. */
const ONCE: readonly WorkloadName[] = ['parked', 'growth']
const WARM_UP_RUNS = 300

type EngineName = PeerName | typeof BATON

function measure(engine: Engine, target: Target, workload: WorkloadName, { scale, growth }: CompareOptions): Promise<Figures> {
  const size = (count: number) => Math.max(1, Math.ceil(count * scale))
  const idle = (count: number) => Math.min(size(count), findPeer(engine.name)?.idleRunsMax ?? Number.POSITIVE_INFINITY)
  switch (workload) {
    case 'w1':
      return measureRuns(engine, target, 'sequence', { idleRuns: idle(100), busyRuns: size(1_000) })
    case 'w2':
      return measureRuns(engine, target, 'fan', { idleRuns: idle(30), busyRuns: size(100) })
    case 'w3':
      return measureGate(engine, target, { idleRuns: idle(50), busyRuns: size(300) })
    case 'w4':
      return measureCrash(engine, target, size(200))
    case 'parked':
      return measureParked(engine, target, { runs: size(10_000), warmUpRuns: size(500) })
    case 'growth':
      return measureGrowth(engine, target, { stages: growth.map(size), probeRuns: size(500) })
  }
}

/** Starts an engine, measures the workloads one after the other, and stops it; a workload that fails is recorded as such. */
async function visit(name: EngineName, round: number, workloads: WorkloadName[], options: CompareOptions): Promise<void> {
  const { scale } = options
  const target = await startTarget()
  let engine: Engine | undefined
  const stop = async () => {
    await engine?.stop()
    await target.stop()
  }
  const watched = onInterrupt(stop)
  try {
    engine = name === BATON ? await startOwnStack(join(FOLDER, 'stack'), target.url) : await startPeer(name, FOLDERS, target.url)
    // What compiles code and opens connections is nobody's speed.
    await measureSaturation(engine, target, 'sequence', Math.ceil(WARM_UP_RUNS * scale))
    for (const workload of workloads) {
      const begunAt = performance.now()
      const outcome = await measure(engine, target, workload, options).then(
        (figures) => ({ figures }),
        (error: Error) => ({ error: error.message }),
      )
      await target.forget()
      recordMeasurement(RESULTS, { engine: name, workload, round, at: new Date().toISOString(), scale, ...outcome })
      say(name, round, workload, outcome, (performance.now() - begunAt) / 1_000)
    }
  } finally {
    watched()
    await stop()
  }
}

function say(name: string, round: number, workload: string, outcome: { figures?: Figures; error?: string }, seconds: number): void {
  const figures = Object.entries(outcome.figures ?? {}).filter(([figure]) => !figure.startsWith('cpu '))
  const text = outcome.error ?? figures.map(([figure, value]) => `${figure} ${Number(value.toPrecision(4))}`).join(', ')
  console.error(`round ${round} ${name} ${workload} (${seconds.toFixed(1)} s): ${text}`)
}

async function compare(options: CompareOptions): Promise<number> {
  if (!options.keep) forgetMeasurements(RESULTS)
  const earlier = Math.max(0, ...readMeasurements(RESULTS).map(({ round }) => round))
  const each = options.workloads.filter((workload) => !ONCE.includes(workload))
  const once = options.workloads.filter((workload) => ONCE.includes(workload))
  for (let round = 1; round <= options.rounds; round++) {
    for (const name of [BATON, ...options.peers] as EngineName[]) {
      if (each.length > 0) await visit(name, earlier + round, each, options)
      if (round === 1) for (const workload of once) await visit(name, earlier + round, [workload], options)
    }
  }
  const measurements = readMeasurements(RESULTS)
  const medians = takeMedians(measurements)
  const takenAt = new Date(measurements.at(-1)?.at ?? Date.now())
  const report = compareReport(medians, measurements, takenAt)
  console.log(report)
  if (options.write) {
    writePlot(drawPlot(plotPanels(medians)))
    writeFigures('peers', report)
  }
  return measurements.some(({ error }) => error !== undefined) ? 1 : 0
}

await runCommand('bench-peers', () => compare(parseCompareOptions(process.argv.slice(2))))
