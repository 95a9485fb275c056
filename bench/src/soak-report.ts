/** A soak in Markdown. */
import { databaseBytes, judgeSoak, type Soak } from './judge-soak.ts'
import { shown, table, takenOn } from './report.ts'
import type { Sample } from './sample-soak.ts'

const MIB = 2 ** 20

/** How the soak was made. */
export interface SoakSetting {
  seconds: number
  perSecond: number
  saturation: number
}

/** The course of memory, Redis and tables, and the verdict on each bound. */
export function soakReport(soak: Soak, setting: SoakSetting, today: Date): string {
  const verdicts = judgeSoak(soak)
  const broken = verdicts.filter(({ met }) => !met).length
  const { seconds, perSecond, saturation } = setting
  return [
    `${takenOn(today)} ${seconds} s at ${shown(perSecond)} runs/s (half of the saturation of ${shown(saturation)}), then ${soak.idleSeconds.toFixed(0)} s idle.`,
    course(soak.samples),
    tables(soak.samples),
    table(
      ['bound', 'measured', 'allowed', ''],
      verdicts.map(({ what, measured, bound, met }) => [what, measured, bound, met ? 'met' : '**broken**']),
    ),
    `While the stack settled, before its idle CPU was read, it took ${soak.settlingCpuPercent.toFixed(2)} % of a core. A Node process that only wakes up twice a second took ${soak.barePercent.toFixed(2)} % beside the idle stack: what waking up costs on this machine.`,
    broken === 0 ? 'All bounds are met.' : `${broken} of ${verdicts.length} bounds are broken.`,
  ].join('\n\n')
}

const HEAD = ['before', 'after the load', 'most', 'after idling']

function course(samples: readonly Sample[]): string {
  const names = [...new Set(samples.flatMap(({ memory }) => Object.keys(memory)))]
  const rows = [
    ...names.map((name) => [
      `${name}, ${name === 'postgres' ? 'PSS' : 'RSS'} MiB`,
      ...moments(samples, ({ memory }) => (memory[name] ?? 0) / MIB),
    ]),
    ['Redis used_memory MiB', ...moments(samples, ({ redis }) => redis.bytes / MIB)],
    ['Redis keys', ...moments(samples, ({ redis }) => redis.keys)],
    ['database MiB', ...moments(samples, (sample) => databaseBytes(sample) / MIB)],
  ]
  return table(['', ...HEAD], rows)
}

function tables(samples: readonly Sample[]): string {
  const names = [...new Set(samples.flatMap((sample) => sample.tables.map(({ name }) => name)))]
  const of = (name: string) => (sample: Sample) => sample.tables.find((each) => each.name === name)
  const written = names.filter((name) =>
    samples.some((sample) => (of(name)(sample)?.liveRows ?? 0) + (of(name)(sample)?.deadRows ?? 0) > 0),
  )
  const rows = written.flatMap((name) => [
    [`${name}: rows`, ...moments(samples, (sample) => of(name)(sample)?.liveRows ?? 0)],
    [`${name}: dead rows`, ...moments(samples, (sample) => of(name)(sample)?.deadRows ?? 0)],
    [`${name}: MiB`, ...moments(samples, (sample) => (of(name)(sample)?.bytes ?? 0) / MIB)],
  ])
  return table(['table', ...HEAD], rows)
}

function moments(samples: readonly Sample[], read: (sample: Sample) => number): string[] {
  const loaded = samples.findLast(({ phase }) => phase === 'load') ?? samples[0]!
  return [read(samples[0]!), read(loaded), Math.max(...samples.map(read)), read(samples.at(-1)!)].map(shown)
}
