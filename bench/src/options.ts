/** What the commands of the benchmark take; everything wrong is said at once, in words. */
import { parseArgs } from 'node:util'
import { PEERS, type PeerName } from './peers/list-peers.ts'

/** The workloads of a comparison. */
export const WORKLOADS = ['w1', 'w2', 'w3', 'w4', 'parked', 'growth'] as const
export type WorkloadName = (typeof WORKLOADS)[number]

/** A comparison of Baton with peers. */
export interface CompareOptions {
  peers: PeerName[]
  rounds: number
  workloads: WorkloadName[]
  /** Sizes are multiplied by this. */
  scale: number
  /** Finished runs at which growth looks, ascending. */
  growth: number[]
  /** Add to what was measured before, rather than beginning anew. */
  keep: boolean
  write: boolean
}

/** The parts of the measurement of live events. */
export const LIVE_PARTS = ['delivery', 'idle', 'storm'] as const
export type LivePart = (typeof LIVE_PARTS)[number]

/** A measurement of live events. */
export interface LiveOptions {
  rounds: number
  parts: LivePart[]
  /** Numbers of clients are multiplied by this, and times, which do not grow. */
  scale: number
  write: boolean
}

/** A soak. */
export interface SoakOptions {
  seconds: number
  idleSeconds: number
  /** How long saturation is measured first. */
  saturateSeconds: number
  write: boolean
}

/** Baton on an empty and on a full database. */
export interface GrowthOptions {
  /** Finished runs in the full one. */
  runs: number
  rounds: number
  /** W1 runs of a probe. */
  probe: number
  /** Times that each list is read. */
  reads: number
  /** Fill the database and measure nothing. */
  fill: boolean
  /** Leave the full database for the next command. */
  keep: boolean
  write: boolean
}

/** One replica of what runs the steps beside several. */
export interface ScaleOptions {
  replicas: number
  rounds: number
  /** W1 runs of a round. */
  runs: number
  /** W1 runs before the first round, times `replicas`, on either side. */
  warmUp: number
  write: boolean
}

/** One `forEach` of many items beside many of few. */
export interface ItemsOptions {
  /** Items of the large list. */
  items: number
  /** Items of a small one. */
  few: number
  rounds: number
  write: boolean
}

/** Arguments that cannot be used; the message is for whoever typed them. */
export class BadArguments extends Error {}

const FLAG = { type: 'boolean', default: false } as const

/** Reads the arguments of `make bench`; throws BadArguments. */
export function parseStackOptions(args: string[]): { quick: boolean; write: boolean } {
  const { quick, write } = parse(args, { quick: FLAG, write: FLAG })
  return { quick: quick === true, write: write === true }
}

/** Reads the arguments of `make bench-peers`; throws BadArguments. */
export function parseCompareOptions(args: string[]): CompareOptions {
  const values = parse(args, {
    peers: { type: 'string', default: Object.keys(PEERS).join(',') },
    rounds: { type: 'string', default: '3' },
    workloads: { type: 'string', default: 'w1,w2,w3,w4' },
    scale: { type: 'string', default: '1' },
    growth: { type: 'string', default: '1000,10000' },
    keep: FLAG,
    write: FLAG,
  })
  const problems: string[] = []
  const options: CompareOptions = {
    peers: values.peers === 'none' ? [] : namesOf('--peers', values.peers, Object.keys(PEERS) as PeerName[], problems),
    rounds: numberOf('--rounds', values.rounds, { min: 0, max: 100, whole: true }, problems),
    workloads: namesOf('--workloads', values.workloads, [...WORKLOADS], problems),
    scale: numberOf('--scale', values.scale, { min: 0.001, max: 1_000 }, problems),
    growth: stagesOf('--growth', values.growth, problems),
    keep: values.keep === true,
    write: values.write === true,
  }
  if (options.rounds === 0 && !options.keep) problems.push('--rounds 0 measures nothing: with --keep it reports what was measured before')
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

/** Reads the arguments of `make bench-live`; throws BadArguments. */
export function parseLiveOptions(args: string[]): LiveOptions {
  const values = parse(args, {
    rounds: { type: 'string', default: '3' },
    parts: { type: 'string', default: LIVE_PARTS.join(',') },
    scale: { type: 'string', default: '1' },
    write: FLAG,
  })
  const problems: string[] = []
  const options: LiveOptions = {
    rounds: numberOf('--rounds', values.rounds, { min: 1, max: 100, whole: true }, problems),
    parts: namesOf('--parts', values.parts, [...LIVE_PARTS], problems),
    scale: numberOf('--scale', values.scale, { min: 0.001, max: 10 }, problems),
    write: values.write === true,
  }
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

/** Reads the arguments of `make soak`; throws BadArguments. */
export function parseSoakOptions(args: string[]): SoakOptions {
  const values = parse(args, {
    seconds: { type: 'string', default: '600' },
    idle: { type: 'string', default: '180' },
    saturate: { type: 'string', default: '10' },
    write: FLAG,
  })
  const problems: string[] = []
  const options: SoakOptions = {
    seconds: numberOf('--seconds', values.seconds, { min: 1, max: 1e6 }, problems),
    idleSeconds: numberOf('--idle', values.idle, { min: 1, max: 1e6 }, problems),
    saturateSeconds: numberOf('--saturate', values.saturate, { min: 0.5, max: 1e4 }, problems),
    write: values.write === true,
  }
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

/** Reads the arguments of `make bench-growth`; throws BadArguments. */
export function parseGrowthOptions(args: string[]): GrowthOptions {
  const values = parse(args, {
    runs: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '5' },
    probe: { type: 'string', default: '1000' },
    reads: { type: 'string', default: '100' },
    fill: FLAG,
    keep: FLAG,
    write: FLAG,
  })
  const problems: string[] = []
  const whole = (name: 'runs' | 'rounds' | 'probe' | 'reads', max: number) =>
    numberOf(`--${name}`, values[name], { min: 1, max, whole: true }, problems)
  const options: GrowthOptions = {
    runs: whole('runs', 1e8),
    rounds: whole('rounds', 100),
    probe: whole('probe', 1e6),
    reads: whole('reads', 1e6),
    fill: values.fill === true,
    keep: values.keep === true,
    write: values.write === true,
  }
  if (options.fill && options.write) problems.push('--fill measures nothing that --write could write')
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

/** Reads the arguments of `make bench-scale`; throws BadArguments. */
export function parseScaleOptions(args: string[]): ScaleOptions {
  const values = parse(args, {
    replicas: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '12' },
    runs: { type: 'string', default: '2000' },
    'warm-up': { type: 'string', default: '10000' },
    write: FLAG,
  })
  const problems: string[] = []
  const options: ScaleOptions = {
    replicas: numberOf('--replicas', values.replicas, { min: 2, max: 64, whole: true }, problems),
    rounds: numberOf('--rounds', values.rounds, { min: 1, max: 100, whole: true }, problems),
    runs: numberOf('--runs', values.runs, { min: 1, max: 1e6, whole: true }, problems),
    warmUp: numberOf('--warm-up', values['warm-up'], { min: 0, max: 1e6, whole: true }, problems),
    write: values.write === true,
  }
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

/** Reads the arguments of `make bench-items`; throws BadArguments. */
export function parseItemsOptions(args: string[]): ItemsOptions {
  const values = parse(args, {
    items: { type: 'string', default: '10000' },
    few: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
    write: FLAG,
  })
  const problems: string[] = []
  const options: ItemsOptions = {
    items: numberOf('--items', values.items, { min: 2, max: 10_000, whole: true }, problems),
    few: numberOf('--few', values.few, { min: 2, max: 10_000, whole: true }, problems),
    rounds: numberOf('--rounds', values.rounds, { min: 1, max: 100, whole: true }, problems),
    write: values.write === true,
  }
  if (problems.length > 0) throw new BadArguments(problems.join('; '))
  return options
}

type Values = Record<string, string | boolean | undefined>

function parse(args: string[], options: NonNullable<Parameters<typeof parseArgs>[0]>['options']): Values {
  try {
    return parseArgs({ args, options: options!, allowPositionals: false }).values as Values
  } catch (error) {
    const known = Object.keys(options ?? {}).map((name) => `--${name}`)
    throw new BadArguments(`${(error as Error).message.split('. ')[0]}; there are ${known.join(', ')}`)
  }
}

function namesOf<T extends string>(option: string, text: Values[string], known: T[], problems: string[]): T[] {
  const names = [...new Set(String(text).split(',').filter(Boolean))]
  const unknown = names.filter((name) => !known.includes(name as T))
  if (unknown.length > 0) problems.push(`${option}: there is no ${unknown.join(', ')}; there are ${known.join(', ')}`)
  if (names.length === 0) problems.push(`${option} names nothing; there are ${known.join(', ')}`)
  return known.filter((name) => names.includes(name))
}

function stagesOf(option: string, text: Values[string], problems: string[]): number[] {
  const stages = String(text)
    .split(',')
    .map((part) => numberOf(option, part, { min: 1, max: 1e8, whole: true }, problems))
  return [...new Set(stages)].sort((a, b) => a - b)
}

function numberOf(option: string, text: Values[string], range: { min: number; max: number; whole?: boolean }, problems: string[]): number {
  const number = text === '' ? Number.NaN : Number(text)
  const fits = number >= range.min && number <= range.max && (!range.whole || Number.isInteger(number))
  if (!fits)
    problems.push(`${option} must be a ${range.whole ? 'whole number' : 'number'} from ${range.min} to ${range.max}, and is "${text}"`)
  return number
}
