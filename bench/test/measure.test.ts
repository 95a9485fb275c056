import { test } from 'tap'
import { loadAtRate } from '../src/load-at-rate.ts'
import { measureCrash } from '../src/measure-crash.ts'
import { measureGrowth } from '../src/measure-growth.ts'
import { measureParked } from '../src/measure-parked.ts'
import { startTarget } from '../src/start-target.ts'
import { measureGate, measureRuns } from '../src/workloads.ts'
import { stubEngine } from './stub-engine.ts'

test('the workloads give the figures that the report shows', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const engine = stubEngine(target.url)
  const sizes = { idleRuns: 3, busyRuns: 5 }
  const figures = await measureRuns(engine, target, 'sequence', sizes)
  t.ok(figures.runsPerSecond! > 1 && figures.p50Ms! > 0 && figures.p99Ms! >= figures.p50Ms!)
  t.ok(Math.abs(figures.stepsPerSecond! / figures.runsPerSecond! - 10) < 0.001)
  t.ok('cpu stub' in figures && figures.cpuMsPerRun === figures['cpu stub'])
  t.equal(Math.round((await measureRuns(engine, target, 'fan', sizes)).stepsPerSecond! / 101) > 0, true)
  t.ok((await measureGate(engine, target, sizes)).p50Ms! > 0)
})

test('a kill is told by its gap, its repeated steps and its losses', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const figures = await measureCrash(stubEngine(target.url, { restartMs: 300 }), target, 10)
  t.match(figures, { lost: 0, stepsMissing: 0, stepsRepeated: 10 })
  t.ok(figures.longestGapMs! >= 250 && figures.longestGapMs! < 2_000, `${figures.longestGapMs} ms`)
  t.ok(figures.drainMs! > figures.longestGapMs! && figures.stepsBeforeKill! >= 50)
})

test('runs that never end are counted as lost when the time is up', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const figures = await measureCrash(stubEngine(target.url, { loses: 2 }), target, 10, { drainWithinMs: 700 })
  t.equal(figures.lost, 2)
  t.ok(figures.stepsMissing! > 0)
  t.notOk('drainMs' in figures, 'what did not drain has no time')
})

test('parked runs and growth are told a run', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const parked = await measureParked(stubEngine(target.url), target, { runs: 20, warmUpRuns: 5, settleMs: 10 })
  t.equal(parked.databaseBytesPerRun, 0, 'the stub stores a run when it ends')
  t.ok(parked.p50Ms! > 0 && Number.isFinite(parked.servicesGrownMiB!))
  t.notOk('redisBytesPerRun' in parked)
  const growth = await measureGrowth(stubEngine(target.url), target, { stages: [10, 30], probeRuns: 4 })
  t.match(growth, { 'bytesPerRun@10': 100, 'bytesPerRun@30': 100 })
  t.ok('cpuMsPerRun@0' in growth && 'cpuMsPerRun@30' in growth)
})

test('a steady load starts its runs on time, approves those that wait, and counts refusals', async (t) => {
  const target = await startTarget()
  t.teardown(() => target.stop())
  const { client } = stubEngine(target.url)
  const load = await loadAtRate(client, 100, 1)
  t.match(load, { wanted: 100, started: 100, refused: 0 })
  t.same(await target.seen(load.tag), {}, 'a long load leaves nothing in the target')
  const refusing = { ...client, start: () => Promise.reject(new Error('503')) }
  t.match(await loadAtRate(refusing, 20, 0.5), { refused: 10, firstRefusal: '503' })
})
