import { test } from 'tap'
import { judgeSoak, type Soak } from '../src/judge-soak.ts'
import type { Sample } from '../src/sample-soak.ts'
import { soakReport } from '../src/soak-report.ts'

const MIB = 2 ** 20
type Course = { process?: string; memoryMiB?: number; keys?: number; inboxRows?: number; deadRows?: number; databaseMiB?: number }

function sample(
  phase: string,
  { process = 'runner', memoryMiB = 100, keys = 40, inboxRows = 0, deadRows = 0, databaseMiB = 1 }: Course = {},
): Sample {
  const tables = [
    { name: 'inbox', liveRows: inboxRows, deadRows: 0, bytes: MIB },
    { name: 'timers', liveRows: 0, deadRows: 0, bytes: MIB },
    { name: 'runs', liveRows: 1_000, deadRows, bytes: databaseMiB * MIB },
  ]
  return { phase, memory: { [process]: memoryMiB * MIB }, redis: { bytes: 3 * MIB, keys }, tables }
}

function soakOf(samples: Sample[], more: Partial<Soak> = {}): Soak {
  const load = { tag: '-b', started: 1_000, refused: 0, wanted: 1_000 }
  return { samples, load, done: 1_000, settlingCpuPercent: 6, barePercent: 0.02, idleCpuPercent: 1.5, idleSeconds: 180, ...more }
}

const broken = (soak: Soak) => judgeSoak(soak).flatMap(({ what, met }) => (met ? [] : [what]))
const calm = [sample('load'), sample('load'), sample('load'), sample('load', { databaseMiB: 9 }), sample('idle', { databaseMiB: 9 })]

test('a calm soak meets every bound', (t) => {
  t.same(broken(soakOf(calm)), [])
  t.match(soakReport(soakOf(calm), { seconds: 600, perSecond: 300, saturation: 600 }, new Date()), 'All bounds are met.')
  t.end()
})

test('each bound can be broken, and the report says which', (t) => {
  t.same(broken(soakOf(calm, { idleCpuPercent: 3.1 })), ['idle CPU of the whole stack'])
  t.same(broken(soakOf(calm, { done: 999 })), ['runs that ended well'])
  const refused = { tag: '-b', started: 1_000, refused: 1, firstRefusal: 'POST answered 500', wanted: 1_000 }
  t.match(judgeSoak(soakOf(calm, { load: refused }))[0], { met: false, measured: /POST answered 500/ })
  t.same(broken(soakOf(calm, { load: { tag: '-b', started: 1_000, refused: 0, wanted: 1_100 } })), ['runs started on time'])
  t.same(broken(soakOf([...calm, sample('idle', { keys: 1_001 })])), ['Redis keys, most'])
  t.same(broken(soakOf([...calm, sample('idle', { inboxRows: 1 })])), ['table inbox, rows left'])
  t.same(broken(soakOf([...calm, sample('idle', { databaseMiB: 60 })])), ['database for each run'])
  const dead = soakOf([...calm, sample('idle', { deadRows: 1_201 })])
  t.same(broken(dead), ['table runs, dead rows left'])
  t.match(
    soakReport(dead, { seconds: 1, perSecond: 1, saturation: 2 }, new Date()),
    /\| table runs, dead rows left \| 1201 rows \| ≤ 1200 rows \| \*\*broken\*\* \|/,
  )
  t.end()
})

test('a process that grows for as long as it works is caught; one that only warms up is not', (t) => {
  const course = (sizes: number[], process = 'runner') => soakOf(sizes.map((memoryMiB) => sample('load', { process, memoryMiB })))
  t.same(broken(course([80, 150, 160, 165, 168, 170, 170])), [])
  t.same(broken(course([80, 100, 120, 140, 160, 180, 200])), ['memory of runner after the load'])
  t.same(broken(course([80, 100, 120, 140, 160, 180, 200], 'postgres')), [], 'it fills its shared buffers')
  t.same(broken(course([80, 100, 120, 140, 160, 180, 600], 'postgres')), ['memory of postgres after the load'])
  t.end()
})

test('dead rows are not judged before vacuum had its time', (t) => {
  t.same(broken(soakOf([...calm, sample('idle', { deadRows: 50_000 })], { idleSeconds: 30 })), [])
  t.end()
})
