/**
 * `make soak`: a stack of its own at half of what it can do, then left alone. Memory, Redis and tables are looked at every few seconds;
 * exits 1 when a bound is broken (they stand in judge-soak.ts). `--write` puts the tables into bench/README.md.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stackPaths } from '@baton/embedded'
import { judgeSoak } from './judge-soak.ts'
import { type Load, loadAtRate } from './load-at-rate.ts'
import { parseSoakOptions, type SoakOptions } from './options.ts'
import { type OwnStack, startOwnStack } from './own-stack.ts'
import { cpuMsOf } from './processes.ts'
import { writeFigures } from './report.ts'
import { onInterrupt, runCommand } from './run-command.ts'
import { type Sample, sampleWhile, takeSample } from './sample-soak.ts'
import { soakReport } from './soak-report.ts'
import { startTarget, type Target } from './start-target.ts'
import { openStores, type Stores } from './stores.ts'
import { cpuMsByProcess, spentCpuMs, totalOf } from './usage.ts'
import { countDone, measureSaturation } from './workloads.ts'

const SAMPLES = 40
const SAMPLE_MS_MIN = 250
/** Looking costs Postgres some milliseconds each time: an idle stack is looked at but three times. */
const IDLE_SAMPLES = 3
const FIRST_RUNS = 200
const DRAIN_MS = 120_000
/**
 * What goes on after the load (memory given back, vacuum, which comes once a minute to each table) is no idling: it is read by itself, for two thirds of
 * the time, at most this long, and the idling from then on.
 */
const CALM_MS = 120_000
/** A process that wakes twice a second for nothing: what waking up costs on this machine, to which the idle CPU of a stack is to be held. */
const WAKES_FOR_NOTHING = 'setInterval(() => {}, 500)'

async function soak(options: SoakOptions): Promise<number> {
  const target = await startTarget()
  let stack: OwnStack | undefined
  let stores: Stores | undefined
  let bare: ChildProcess | undefined
  const stop = async () => {
    bare?.kill()
    await stores?.close()
    await stack?.stop()
    await target.stop()
  }
  const watched = onInterrupt(stop)
  try {
    stack = await startOwnStack(join(stackPaths().local, 'bench/stack'), target.url)
    stores = openStores(stack)
    bare = spawn(process.execPath, ['-e', WAKES_FOR_NOTHING], { stdio: 'ignore' })
    return await soakStack({ stack, stores, target, barePid: bare.pid! }, options)
  } finally {
    watched()
    await stop()
  }
}

interface Parts {
  stack: OwnStack
  stores: Stores
  target: Target
  barePid: number
}

async function soakStack({ stack, stores, target, barePid }: Parts, options: SoakOptions): Promise<number> {
  const saturation = await findSaturation(stack, target, options.saturateSeconds)
  const perSecond = saturation / 2
  say(`saturation is ${saturation.toFixed(0)} W1 runs/s; ${options.seconds} s at ${perSecond.toFixed(0)} follow`)
  const samples: Sample[] = []
  const sample = (phase: string) => async () => void samples.push(await takeSample(stack, stores, phase))
  const every = (seconds: number, samples: number) => Math.max(SAMPLE_MS_MIN, (seconds * 1_000) / samples)

  const load = await sampleWhile(loadAtRate(stack.client, perSecond, options.seconds), every(options.seconds, SAMPLES), sample('load'))
  const done = await untilEnded(stack, load)
  say(`${done} of ${load.started} runs ended well; ${options.idleSeconds} s of idling follow`)
  const idle = await sampleWhile(leaveAlone(stack, barePid, options.idleSeconds), every(options.idleSeconds, IDLE_SAMPLES), sample('idle'))

  const { settling, idling, barePercent } = idle
  say(`CPU while it settles, % of a core: ${namesOf(settling)}`)
  say(`idle CPU, % of a core: ${namesOf(idling)}; a process that only wakes twice a second ${barePercent.toFixed(2)}`)
  const cpu = { settlingCpuPercent: totalOf(settling), idleCpuPercent: totalOf(idling), barePercent }
  const outcome = { samples, load, done, ...cpu, idleSeconds: options.idleSeconds }
  const report = soakReport(outcome, { seconds: options.seconds, perSecond, saturation }, new Date())
  console.log(report)
  if (options.write) writeFigures('soak', report)
  return judgeSoak(outcome).every(({ met }) => met) ? 0 : 1
}

async function findSaturation(stack: OwnStack, target: Target, seconds: number): Promise<number> {
  const roughly = await measureSaturation(stack, target, 'sequence', FIRST_RUNS)
  const runs = Math.ceil(roughly.runsPerSecond! * seconds)
  const { runsPerSecond } = await measureSaturation(stack, target, 'sequence', runs)
  await target.forget()
  return runsPerSecond!
}

function untilEnded(stack: OwnStack, { tag, started }: Load): Promise<number> {
  return countDone(stack.client, tag, started, DRAIN_MS)
}

type CpuPercents = Map<string, number>

/** Leaves the stack alone; CPU time of each process as % of a core, until it is calm and from then on, and that of the bare process then. */
async function leaveAlone(stack: OwnStack, barePid: number, seconds: number) {
  const calmMs = Math.min(CALM_MS, (seconds * 2_000) / 3)
  const stackCpu = () => cpuMsByProcess(stack.processes())
  const settling = await percentsOver(calmMs, stackCpu)
  const bare = percentsOver(seconds * 1_000 - calmMs, () => cpuMsOf(new Map([['bare', barePid]])))
  const idling = await percentsOver(seconds * 1_000 - calmMs, stackCpu)
  return { settling, idling, barePercent: totalOf(await bare) }
}

async function percentsOver(ms: number, cpuMs: () => Map<string, number>): Promise<CpuPercents> {
  const before = cpuMs()
  const from = performance.now()
  await delay(ms)
  const spent = spentCpuMs(before, cpuMs())
  const elapsedMs = performance.now() - from
  return new Map([...spent].map(([name, ms]) => [name, (ms / elapsedMs) * 100]))
}

const namesOf = (percents: CpuPercents) => [...percents].map(([name, percent]) => `${name} ${percent.toFixed(2)}`).join(', ')

function say(sentence: string): void {
  console.error(`soak: ${sentence}`)
}

await runCommand('soak', () => soak(parseSoakOptions(process.argv.slice(2))))
