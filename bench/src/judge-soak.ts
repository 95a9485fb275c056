/** Whether a soak stayed within its bounds. */
import type { Load } from './load-at-rate.ts'
import type { Sample } from './sample-soak.ts'

/** The bounds; README.md says why they are where they are. */
export const BOUNDS = {
  /** Idle CPU time of all processes together, % of one core. */
  idleCpuPercent: 3,
  /** A process at the end of the load may hold this much more than when a third of it was over … */
  memoryGrowth: 1.25,
  /** … and this much for chance. */
  memoryChanceMiB: 32,
  memoryMiB: 512,
  redisMiB: 128,
  redisKeys: 1_000,
  /** Database bytes for each run of the load. */
  bytesPerRun: 16_384,
  /** Tables whose rows go again may never be larger. */
  passingTableMiB: 64,
  /** Dead rows at the end, as part of the live ones … */
  deadRows: 0.2,
  /** … and this many beside, below which vacuum does not come; Postgres looks once a minute. */
  deadRowsBeside: 1_000,
  /** Part of the wanted runs that were started on time. */
  pace: 0.95,
} as const

/** Tables whose rows are taken out again when they have been worked on. */
export const PASSING_TABLES = ['inbox', 'timers']

/** One bound, and how it was met. */
export interface Verdict {
  what: string
  measured: string
  bound: string
  met: boolean
}

/** Everything that a soak saw. */
export interface Soak {
  samples: readonly Sample[]
  load: Load
  /** Runs of the load that had succeeded when the idle time began. */
  done: number
  /** Of a core, of the whole stack, until it was calm; shown, not bounded. */
  settlingCpuPercent: number
  /** Of a process that wakes twice a second for nothing, while the stack idled. */
  barePercent: number
  idleCpuPercent: number
  /** How long the stack had been left alone at the end, in seconds. */
  idleSeconds: number
}

const MIB = 2 ** 20
/** Vacuum comes at most this often; a stack that was idle for less still has the dead rows of its last minutes. */
const VACUUM_EVERY_S = 60

/** Judges every bound. */
export function judgeSoak(soak: Soak): Verdict[] {
  const { samples, load, done } = soak
  const first = samples[0]!
  const last = samples.at(-1)!
  const most = (read: (sample: Sample) => number) => Math.max(...samples.map(read))
  const atMost = (what: string, value: number, bound: number, unit: string): Verdict => {
    const digits = bound < 100 ? 2 : 0
    return { what, measured: `${value.toFixed(digits)} ${unit}`, bound: `≤ ${bound.toFixed(digits)} ${unit}`, met: value <= bound }
  }
  const perRun = (databaseBytes(last) - databaseBytes(first)) / Math.max(1, load.started)
  return [
    {
      what: 'runs that ended well',
      measured: `${done} of ${load.started}${load.refused > 0 ? `, ${load.refused} requests refused: ${load.firstRefusal}` : ''}`,
      bound: 'all',
      met: done === load.started && load.refused === 0,
    },
    {
      what: 'runs started on time',
      measured: `${load.started} of ${load.wanted}`,
      bound: `≥ ${BOUNDS.pace * 100} %`,
      met: load.started >= load.wanted * BOUNDS.pace,
    },
    atMost('idle CPU of the whole stack', soak.idleCpuPercent, BOUNDS.idleCpuPercent, '% of a core'),
    ...judgeMemory(samples, atMost),
    atMost('Redis memory, most', most(({ redis }) => redis.bytes) / MIB, BOUNDS.redisMiB, 'MiB'),
    atMost(
      'Redis keys, most',
      most(({ redis }) => redis.keys),
      BOUNDS.redisKeys,
      'keys',
    ),
    atMost('database for each run', perRun, BOUNDS.bytesPerRun, 'bytes'),
    ...PASSING_TABLES.map((name) =>
      atMost(`table ${name}, most`, most((sample) => tableOf(sample, name).bytes) / MIB, BOUNDS.passingTableMiB, 'MiB'),
    ),
    ...PASSING_TABLES.map((name) => atMost(`table ${name}, rows left`, tableOf(last, name).liveRows, 0, 'rows')),
    ...(soak.idleSeconds > 2 * VACUUM_EVERY_S ? judgeDeadRows(last, atMost) : []),
  ]
}

type AtMost = (what: string, value: number, bound: number, unit: string) => Verdict

/** No process keeps growing: the end of the load is compared with the time when a third of it was over, when code and caches are warm. */
function judgeMemory(samples: readonly Sample[], atMost: AtMost): Verdict[] {
  const loaded = samples.filter(({ phase }) => phase === 'load')
  const warm = loaded[Math.floor(loaded.length / 3)] ?? samples[0]!
  const end = loaded.at(-1) ?? warm
  return Object.entries(end.memory).map(([name, bytes]) => {
    // Postgres fills its shared buffers for as long as there is something new to read: it has the fixed bound alone.
    const growth = name === 'postgres' ? Number.POSITIVE_INFINITY : BOUNDS.memoryGrowth
    const grown = ((warm.memory[name] ?? 0) / MIB) * growth + BOUNDS.memoryChanceMiB
    return atMost(`memory of ${name} after the load`, bytes / MIB, Math.min(grown, BOUNDS.memoryMiB), 'MiB')
  })
}

function judgeDeadRows({ tables }: Sample, atMost: AtMost): Verdict[] {
  return tables.map(({ name, liveRows, deadRows }) =>
    atMost(`table ${name}, dead rows left`, deadRows, Math.round(liveRows * BOUNDS.deadRows + BOUNDS.deadRowsBeside), 'rows'),
  )
}

/** Bytes of all tables of a sample. */
export function databaseBytes({ tables }: Sample): number {
  return tables.reduce((sum, { bytes }) => sum + bytes, 0)
}

function tableOf({ tables }: Sample, name: string) {
  return tables.find((table) => table.name === name) ?? { name, liveRows: 0, deadRows: 0, bytes: 0 }
}
