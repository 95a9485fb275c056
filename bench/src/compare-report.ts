/** Baton beside its peers, in Markdown. */
import { MIB_OF } from './measure-parked.ts'
import type { WorkloadName } from './options.ts'
import { findPeer, PEERS } from './peers/list-peers.ts'
import { shown, table, takenOn } from './report.ts'
import type { Measurement, Medians } from './results.ts'
import type { Figures } from './statistics.ts'
import { CPU_OF } from './workloads.ts'

/** An engine's row in a table: its figures by workload. */
type Row = { name: string; of(workload: WorkloadName): Figures }

/** How an engine is called in tables, with its version. */
export function titleOf(engine: string): string {
  const peer = findPeer(engine)
  if (!peer) return engine === 'baton' ? '**Baton**' : engine
  return `${peer.title} ${Object.values(peer.packages)[0]}`
}

/** The tables, what failed, and how safely each engine keeps what it did. */
export function compareReport(medians: Medians, measurements: readonly Measurement[], today: Date): string {
  const rows: Row[] = [...medians].map(([engine, byWorkload]) => ({
    name: titleOf(engine),
    of: (workload) => byWorkload.get(workload)?.figures ?? {},
  }))
  const has = (workload: WorkloadName) => rows.some((row) => Object.keys(row.of(workload)).length > 0)
  const sections = [
    `${takenOn(today)} Medians of ${roundsOf(medians)}.${scaleOf(measurements)}`,
    speed(rows),
    againstRestate(medians),
    has('w4') ? crash(rows) : '',
    has('parked') ? parked(rows) : '',
    has('growth') ? growth(rows) : '',
    has('w1') ? byProcess(rows) : '',
    failures(measurements),
    durability(medians),
  ]
  return sections.filter(Boolean).join('\n\n')
}

function speed(rows: Row[]): string {
  const head = [
    '',
    'W1 runs/s',
    'CPU-ms a run',
    'idle p50 / p99 ms',
    'W2 runs/s',
    'CPU-ms a run',
    'idle p50 / p99 ms',
    'W3 vote → call p50 / p99 ms',
  ]
  const latency = ({ p50Ms, p99Ms }: Figures) => `${shown(p50Ms)} / ${shown(p99Ms)}`
  const busy = ({ runsPerSecond, cpuMsPerRun }: Figures) => [shown(runsPerSecond), shown(cpuMsPerRun)]
  const cells = ({ name, of }: Row) => [name, ...busy(of('w1')), latency(of('w1')), ...busy(of('w2')), latency(of('w2')), latency(of('w3'))]
  return table(head, rows.map(cells))
}

/** The ratios that the project sets itself as goals. */
function againstRestate(medians: Medians): string {
  const figure = (engine: string, workload: WorkloadName, name: string) => medians.get(engine)?.get(workload)?.figures[name]
  const ratio = (workload: WorkloadName, name: string) => {
    const [ours, theirs] = [figure('baton', workload, name), figure('restate', workload, name)]
    return ours === undefined || theirs === undefined ? undefined : ours / theirs
  }
  const ratios = [
    ['W1 runs/s', ratio('w1', 'runsPerSecond')],
    ['W2 runs/s', ratio('w2', 'runsPerSecond')],
    ['W1 CPU-ms a run', ratio('w1', 'cpuMsPerRun')],
    ['W1 idle p50', ratio('w1', 'p50Ms')],
    ['W3 vote → call p50', ratio('w3', 'p50Ms')],
  ] as const
  const known = ratios.filter(([, value]) => value !== undefined)
  if (known.length === 0) return ''
  return `Baton against Restate: ${known.map(([name, value]) => `${name} ${value!.toFixed(2)} ×`).join(', ')}.`
}

function crash(rows: Row[]): string {
  const cells = ({ name, of }: Row) => {
    const { drainMs, lost, stepsRepeated, longestGapMs } = of('w4')
    return [name, shown(lost), shown(drainMs && drainMs / 1_000), shown(stepsRepeated), shown(longestGapMs && longestGapMs / 1_000)]
  }
  const head = ['', 'W4 runs lost', 'all done after the kill, s', 'steps called twice', 'longest time without a call, s']
  return table(head, rows.map(cells))
}

function parked(rows: Row[]): string {
  const cells = ({ name, of }: Row) => {
    const { servicesGrownMiB, storesGrownMiB, databaseBytesPerRun, redisBytesPerRun, parkedPerSecond, p50Ms } = of('parked')
    return [name, ...[servicesGrownMiB, storesGrownMiB, databaseBytesPerRun, redisBytesPerRun, parkedPerSecond, p50Ms].map(shown)]
  }
  const head = [
    'parked runs',
    'services grow by MiB',
    'stores grow by MiB',
    'database bytes a run',
    'Redis bytes a run',
    'parked a second',
    'vote → call p50 ms',
  ]
  const lines = rows.flatMap(({ name, of }) => {
    const parts = Object.entries(of('parked')).filter(([figure]) => figure.startsWith(MIB_OF))
    return parts.length === 0
      ? []
      : [`${name}: ${parts.map(([figure, mib]) => `${figure.slice(MIB_OF.length)} ${mib.toFixed(1)}`).join(', ')}`]
  })
  const measured = rows.filter(({ of }) => Object.keys(of('parked')).length > 0)
  const byProcess = lines.length === 0 ? '' : `\n\nMiB by process: ${lines.join('. ')}.`
  return `${table(head, measured.map(cells))}${byProcess}`
}

function growth(rows: Row[]): string {
  const names = rows.flatMap(({ of }) => Object.keys(of('growth')))
  const stages = [...new Set(names.map((name) => Number(name.split('@')[1])))].sort((a, b) => a - b)
  const head = [
    'finished W1 runs',
    ...stages.map((stage) => `CPU-ms a run at ${stage}`),
    ...stages.slice(1).map((stage) => `bytes a run at ${stage}`),
    ...stages.map((stage) => `list of runs p99 ms at ${stage}`),
  ]
  const cells = ({ name, of }: Row) => [
    name,
    ...stages.map((stage) => shown(of('growth')[`cpuMsPerRun@${stage}`])),
    ...stages.slice(1).map((stage) => shown(of('growth')[`bytesPerRun@${stage}`])),
    ...stages.map((stage) => shown(of('growth')[`listP99Ms@${stage}`])),
  ]
  const measured = rows.filter(({ of }) => Object.keys(of('growth')).length > 0)
  return table(head, measured.map(cells))
}

function byProcess(rows: Row[]): string {
  const lines = rows.map(({ name, of }) => {
    const parts = Object.entries(of('w1')).filter(([figure, value]) => figure.startsWith(CPU_OF) && value >= 0.005)
    return `${name}: ${parts.map(([figure, value]) => `${figure.slice(CPU_OF.length)} ${value.toFixed(2)}`).join(', ')}`
  })
  return `CPU-ms a W1 run, by process. ${lines.join('. ')}.`
}

function failures(measurements: readonly Measurement[]): string {
  const failed = measurements.filter(({ error }) => error !== undefined)
  return failed
    .map(({ engine, workload, round, error }) => `Not measured: ${titleOf(engine)}, ${workload}, round ${round}: ${error}.`)
    .join('\n')
}

function durability(medians: Medians): string {
  const peers = Object.entries(PEERS).filter(([name]) => medians.has(name))
  return [
    'What is safe when a step is done:',
    '',
    '- **Baton**: each step is in Postgres, fsync and synchronous_commit on; Redis may be lost at any time',
  ]
    .concat(peers.map(([name, peer]) => `- ${titleOf(name)}: ${peer.durability}`))
    .join('\n')
}

function roundsOf(medians: Medians): string {
  const counts = [...medians.values()].flatMap((byWorkload) =>
    [...byWorkload].filter(([name]) => /^w\d/.test(name)).map(([, { rounds }]) => rounds),
  )
  const [least, most] = [Math.min(...counts, 1e9), Math.max(...counts, 0)]
  if (most === 0) return '1 round'
  return least === most ? `${most} interleaved round${most === 1 ? '' : 's'}` : `${least} to ${most} interleaved rounds`
}

function scaleOf(measurements: readonly Measurement[]): string {
  const scales = [...new Set(measurements.map(({ scale }) => scale))].filter((scale) => scale !== 1)
  return scales.length === 0 ? '' : ` Sizes were scaled by ${scales.join(' and ')}: these figures only show that it works.`
}
