import type { Panel } from './draw-plot.ts'
import type { WorkloadName } from './options.ts'
import { findPeer } from './peers/list-peers.ts'
import type { Medians } from './results.ts'

const PANELS: readonly { title: string; unit: string; better: Panel['better']; workload: WorkloadName; figure: string }[] = [
  { title: 'W1: ten steps in sequence, saturated', unit: 'runs/s', better: 'more', workload: 'w1', figure: 'runsPerSecond' },
  { title: 'W2: 1 → 100 → join, saturated', unit: 'runs/s', better: 'more', workload: 'w2', figure: 'runsPerSecond' },
  { title: 'CPU time of a W1 run, all processes', unit: 'ms', better: 'less', workload: 'w1', figure: 'cpuMsPerRun' },
  { title: 'One W1 run on an idle engine, p50', unit: 'ms', better: 'less', workload: 'w1', figure: 'p50Ms' },
  { title: 'W3: from the vote to the next step, p50', unit: 'ms', better: 'less', workload: 'w3', figure: 'p50Ms' },
  { title: 'W4: all runs done after a kill', unit: 'ms', better: 'less', workload: 'w4', figure: 'drainMs' },
]

/** The panels of the plot; one without any figure is left out. */
export function plotPanels(medians: Medians): Panel[] {
  return PANELS.flatMap(({ workload, figure, ...panel }) => {
    const bars = [...medians].flatMap(([engine, byWorkload]) => {
      const value = byWorkload.get(workload)?.figures[figure]
      const label = findPeer(engine)?.title ?? (engine === 'baton' ? 'Baton' : engine)
      return value === undefined ? [] : [{ label, value, ours: engine === 'baton' }]
    })
    return bars.length === 0 ? [] : [{ ...panel, bars }]
  })
}
