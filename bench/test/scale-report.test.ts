import { test } from 'tap'
import { countWrongRuns, scaleReport } from '../src/scale-report.ts'

const steps = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`s${index}`, [1]]))

test('a run is wrong when a step of it was not called, or called twice, or when it was never seen', (t) => {
  t.equal(countWrongRuns({ a: steps(10), b: steps(10) }, 2), 0)
  t.equal(countWrongRuns({ a: steps(10), b: steps(9) }, 2), 1)
  t.equal(countWrongRuns({ a: steps(10), b: { ...steps(10), s3: [1, 2] } }, 2), 1)
  t.equal(countWrongRuns({ a: steps(10) }, 3), 2)
  t.end()
})

test('replicas are added up under their service, and what went wrong in any round is told', (t) => {
  const one = { runsPerSecond: 100, cpuMsPerRun: 2, 'cpu http-worker': 1, wrongRuns: 0 }
  const several = { runsPerSecond: 95, cpuMsPerRun: 2.2, 'cpu http-worker': 0.5, 'cpu http-worker-2': 0.7, wrongRuns: 0 }
  const rounds = [
    { one, several },
    { one, several: { ...several, wrongRuns: 3 } },
    // One side slower in one round and the other in another: the ratio of the medians is not the median of the ratios.
    { one: { ...one, runsPerSecond: 50 }, several: { ...several, runsPerSecond: 40, 'cpu http-worker': 0.7, 'cpu http-worker-2': 0.5 } },
    { one: { ...one, runsPerSecond: 120 }, several: { ...several, runsPerSecond: 72 } },
    { one: { ...one, runsPerSecond: 120 }, several: { ...several, runsPerSecond: 72, 'cpu http-worker': 0.7, 'cpu http-worker-2': 0.5 } },
  ]
  const report = scaleReport(rounds, { replicas: 2, rounds: 5, runs: 10, warmUp: 5, write: false }, new Date())
  t.match(report, '| W1 runs/s | 100 | 72.0 | 0.72 × |')
  t.match(report, '| W1 runs/s, median of the ratios of the rounds |  |  | 0.80 × |')
  t.match(report, 'Medians of 5 interleaved rounds of 10 W1 runs each, after 10 on each side.')
  t.match(report, '| CPU-ms a run: http-worker | 1.00 | 1.20 | 1.20 × |')
  t.match(report, '| runs with a step that was not called exactly once | 0 | 3.00 |  |')
  t.end()
})
