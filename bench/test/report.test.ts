import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { compareReport } from '../src/compare-report.ts'
import { drawPlot } from '../src/draw-plot.ts'
import { plotPanels } from '../src/plot-panels.ts'
import { shown, stackReport, writeFigures } from '../src/report.ts'
import { forgetMeasurements, type Measurement, readMeasurements, recordMeasurement, takeMedians } from '../src/results.ts'

const DAY = new Date('2026-11-21T00:00:00Z')

function measurement(engine: string, round: number, more: Partial<Measurement>): Measurement {
  return { engine, round, workload: 'w1', at: DAY.toISOString(), scale: 1, ...more }
}

const THREE_ROUNDS = [
  ...[900, 1_000, 100].map((runsPerSecond, round) =>
    measurement('baton', round + 1, { figures: { runsPerSecond, cpuMsPerRun: 1, 'cpu redis': 0.1 } }),
  ),
  ...[400, 380, 390].map((runsPerSecond, round) => measurement('restate', round + 1, { figures: { runsPerSecond, cpuMsPerRun: 4 } })),
  measurement('restate', 3, { workload: 'w4', error: 'only 3 of 200 runs have succeeded' }),
]

test('medians are of the rounds that came to an end', (t) => {
  const medians = takeMedians([...THREE_ROUNDS, measurement('baton', 4, { error: 'broken' })])
  t.match(medians.get('baton')?.get('w1'), { rounds: 3, figures: { runsPerSecond: 900 } })
  t.equal(medians.get('restate')?.get('w4'), undefined)
  t.end()
})

test('the report has a row for each engine, the ratio to Restate, and names what failed', (t) => {
  const report = compareReport(takeMedians(THREE_ROUNDS), THREE_ROUNDS, DAY)
  t.match(report, 'Taken on 2026-11-21')
  t.match(report, 'Medians of 3 interleaved rounds.')
  t.match(report, '| **Baton** | 900 | 1.00 | – / – |')
  t.match(report, /\| Restate \d+\.\d+\.\d+ \| 390 \| 4\.00 \|/)
  t.match(report, 'Baton against Restate: W1 runs/s 2.31 ×, W1 CPU-ms a run 0.25 ×.')
  t.match(report, /Not measured: Restate .*, w4, round 3: only 3 of 200/)
  t.match(report, '**Baton**: redis 0.10')
  t.notMatch(report, 'Sizes were scaled')
  t.match(compareReport(takeMedians(THREE_ROUNDS), [measurement('baton', 1, { scale: 0.1 })], DAY), 'Sizes were scaled by 0.1')
  t.end()
})

test('memory by process is told where it was measured, and not mentioned elsewhere', (t) => {
  const reportOf = (figures: Record<string, number>) => {
    const measurements = [measurement('baton', 1, { workload: 'parked', figures: { parkedPerSecond: 1_159, ...figures } })]
    return compareReport(takeMedians(measurements), measurements, DAY)
  }
  t.match(reportOf({ 'MiB fanout': 3.21 }), 'MiB by process: **Baton**: fanout 3.2.')
  const silent = reportOf({})
  t.match(silent, '| **Baton** | – | – | – | – | 1159 | – |')
  t.notMatch(silent, 'MiB by process')
  t.end()
})

test('the plot has a bar for each engine, longest for the most, and escapes what it is given', (t) => {
  const svg = drawPlot(plotPanels(takeMedians(THREE_ROUNDS)))
  t.match(svg, /^<svg xmlns=/)
  const widths = [...svg.matchAll(/width="([\d.]+)" height="18"/g)].map(([, width]) => Number(width))
  t.equal(widths.length, 4, 'two panels of two bars')
  t.ok(widths[0]! > widths[1]! && widths[2]! < widths[3]!)
  t.match(svg, '900 runs/s')
  t.match(svg, 'prefers-color-scheme: dark')
  const odd = drawPlot([{ title: 'a < b & c', unit: 'ms', better: 'less', bars: [{ label: '"x"', value: 0, ours: true }] }])
  t.match(odd, 'a &lt; b &amp; c')
  t.notMatch(odd, 'NaN')
  t.end()
})

test('numbers keep three digits that matter', (t) => {
  t.same([0, 0.1234, 1.234, 12.34, 123.4, 1234.5, 23456, undefined, Number.NaN].map(shown), [
    '0',
    '0.123',
    '1.23',
    '12.3',
    '123',
    '1235',
    '23 456',
    '–',
    '–',
  ])
  t.equal(shown(-0.5), '-0.500')
  t.end()
})

test('figures go into their place on the page and nowhere else', (t) => {
  const page = join(t.testdir(), 'README.md')
  writeFileSync(
    page,
    '# Title\n<!-- figures: stack -->\nold\n<!-- /figures: stack -->\n<!-- figures: soak -->\nkept\n<!-- /figures: soak -->\n',
  )
  const report = stackReport([{ name: 'W1: ten', figures: { runsPerSecond: 5, 'cpu redis': 0.25 } }], DAY)
  writeFigures('stack', report, page)
  const text = readFileSync(page, 'utf8')
  t.match(text, '| W1: ten | 5.00 |')
  t.match(text, '| W1 | 0.250 |')
  t.match(text, 'kept')
  t.notMatch(text, 'old')
  t.throws(() => writeFigures('peers', report, page), { message: /has no place for figures/ })
  t.end()
})

test('measurements outlive the command that took them', (t) => {
  const file = join(t.testdir(), 'deep', 'results.jsonl')
  t.same(readMeasurements(file), [])
  for (const each of THREE_ROUNDS) recordMeasurement(file, each)
  t.same(readMeasurements(file), THREE_ROUNDS)
  forgetMeasurements(file)
  t.same(readMeasurements(file), [])
  t.end()
})
