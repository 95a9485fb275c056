/** The workloads of an engine that stays up: W1 ten HTTP steps in sequence, W2 one to a hundred and a join, W3 an approval and the step after it. */
import { setTimeout as delay } from 'node:timers/promises'
import { type Client, type Engine, newTag, type RunRequest, STARTS_AT_ONCE, STEPS, type WorkflowName } from './engine.ts'
import type { Target } from './start-target.ts'
import { type Figures, inParallel, quantile } from './statistics.ts'
import { cpuMsByProcess, spentCpuMs, totalOf } from './usage.ts'

/** Runs one at a time for the latency, and as many as the engine takes for throughput and CPU time. */
export interface Sizes {
  idleRuns: number
  busyRuns: number
}

/** An engine that is measured. */
export type Subject = Pick<Engine, 'client' | 'processes'>

/** How long a measurement waits for runs to end. */
export const IN_TIME_MS = 180_000
/** Between two questions about how many runs are done. */
const POLL_MS = 25
/** A `gate` run waits for its approval a moment after its first step was called; this is enough for all. */
const SETTLE_MS = 1_500
/** The prefix of figures that name a process. */
export const CPU_OF = 'cpu '

/** W1 and W2: latency of one run at a time on an idle engine, then runs a second and CPU time with many at once. */
export async function measureRuns(subject: Subject, target: Target, workflow: WorkflowName, sizes: Sizes): Promise<Figures> {
  const latencies = await measureLatencies(subject.client, workflow, sizes.idleRuns)
  return { ...latencies, ...(await measureSaturation(subject, target, workflow, sizes.busyRuns)) }
}

async function measureLatencies(client: Client, workflow: WorkflowName, count: number): Promise<Figures> {
  const tag = newTag()
  const latencies: number[] = []
  const warmUp = Math.ceil(count / 5)
  for (let index = 0; index < warmUp + count; index++) {
    const startedAt = performance.now()
    await client.run(requestOf(workflow, tag, index))
    if (index >= warmUp) latencies.push(performance.now() - startedAt)
  }
  return { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) }
}

/** Starts runs as fast as they are accepted and waits until the engine says that all have succeeded. The `tag` is theirs alone. */
export async function measureSaturation(
  subject: Subject,
  target: Target,
  workflow: WorkflowName,
  count: number,
  tag = newTag(),
): Promise<Figures> {
  return measureBusy(subject, count, STEPS[workflow], async () => {
    await inParallel(count, STARTS_AT_ONCE, (index) => subject.client.start(requestOf(workflow, tag, index)))
    await target.until(tag, count * STEPS[workflow], IN_TIME_MS)
    await untilDone(subject.client, tag, count)
  })
}

/** W3: approves waiting runs one at a time, from the vote to the next step's call, then all at once. */
export async function measureGate(subject: Subject, target: Target, sizes: Sizes): Promise<Figures> {
  const { client } = subject
  const single = await park(client, target, sizes.idleRuns)
  const latencies = await approveEach(client, target, single)
  const many = await park(client, target, sizes.busyRuns)
  const busy = await measureBusy(subject, sizes.busyRuns, 1, async () => {
    await inParallel(many.length, STARTS_AT_ONCE, (index) => client.approve(many[index]!))
    await untilDone(client, many[0]!.tag, many.length)
  })
  return { p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99), ...busy }
}

/** Approves waiting runs one after the other; milliseconds from each vote to the call of the step behind it. */
export async function approveEach(client: Client, target: Target, runs: readonly RunRequest[]): Promise<number[]> {
  const tag = runs[0]!.tag
  const sentAt = new Map<string, number>()
  const callsBefore = Object.values(await target.seen(tag)).reduce((sum, steps) => sum + Object.keys(steps).length, 0)
  for (const [index, run] of runs.entries()) {
    sentAt.set(run.id, performance.timeOrigin + performance.now())
    await client.approve(run)
    await target.until(tag, callsBefore + index + 1, IN_TIME_MS)
  }
  const seen = await target.seen(tag)
  return [...sentAt].map(([id, at]) => (seen[id]?.s1?.[0] ?? Number.NaN) - at)
}

/** Starts runs that wait for an approval, and resolves when all wait. */
export async function park(client: Client, target: Target, count: number): Promise<RunRequest[]> {
  const tag = newTag()
  const runs = Array.from({ length: count }, (_, index) => requestOf('gate', tag, index))
  await inParallel(count, STARTS_AT_ONCE, (index) => client.start(runs[index]!))
  await target.until(tag, count, IN_TIME_MS)
  await delay(SETTLE_MS)
  return runs
}

async function measureBusy(subject: Subject, runs: number, steps: number, work: () => Promise<void>): Promise<Figures> {
  const before = cpuMsByProcess(subject.processes())
  const startedAt = performance.now()
  await work()
  const seconds = (performance.now() - startedAt) / 1_000
  const spent = spentCpuMs(before, cpuMsByProcess(subject.processes()))
  const byProcess = Object.fromEntries([...spent].map(([name, ms]) => [`${CPU_OF}${name}`, ms / runs]))
  return { runsPerSecond: runs / seconds, stepsPerSecond: (runs * steps) / seconds, cpuMsPerRun: totalOf(spent) / runs, ...byProcess }
}

/** Waits until the engine itself says that so many runs have succeeded; resolves with how many have when the time is up. */
export async function countDone(client: Client, tag: string, wanted: number, timeoutMs: number): Promise<number> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const done = await client.done(tag)
    if (done >= wanted || performance.now() > deadline) return done
    await delay(POLL_MS)
  }
}

async function untilDone(client: Client, tag: string, wanted: number): Promise<void> {
  const done = await countDone(client, tag, wanted, IN_TIME_MS)
  if (done < wanted) throw new Error(`only ${done} of ${wanted} runs have succeeded after ${IN_TIME_MS} ms`)
}

/** The run of this number among those with the tag. */
export function requestOf(workflow: WorkflowName, tag: string, index: number): RunRequest {
  return { workflow, tag, id: `${tag}-${index}` }
}
