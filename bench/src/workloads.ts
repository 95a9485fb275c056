/** The three workloads: W1 ten HTTP steps in sequence, W2 one to a hundred and a join, W3 an approval and the step after it. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Stack } from './stack.ts'
import { inParallel, quantile } from './statistics.ts'

/** What one workload came to. Latencies are those of one run at a time, on an idle stack; for W3 from the vote to the next step's call. */
export interface Figures {
  name: string
  runsPerSecond: number
  stepsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** CPU milliseconds a step, by process, while saturated. */
  cpuMsPerStep: Map<string, number>
}

export interface Sizes {
  idleRuns: number
  busyRuns: number
}

interface Workload {
  name: string
  workflow: string
  /** HTTP steps in a run. */
  steps: number
}

interface RunAnswer {
  id: string
  status: string
  error?: unknown
}

const WIDTH = 64
const POLL_MS = 20
const IN_TIME_MS = 120_000
const FAN = 100
let tags = 0

/** Saves the workflows whose steps call the target. */
export async function saveWorkflows(stack: Stack, target: string): Promise<void> {
  const call = (step: string) => ({ http: { url: `${target}/s/\${{ input.tag }}/\${{ input.id }}/${step}` } })
  const sequence = Array.from({ length: 10 }, (_, index) => ({ id: `s${index}`, ...call(`s${index}`) }))
  const fan = Object.fromEntries(Array.from({ length: FAN }, (_, index) => [`s${index}`, call(`s${index}`)]))
  const gate = { id: 'gate', approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }
  await stack.call('PUT', '/workflows/bench-sequence', { steps: sequence })
  await stack.call('PUT', '/workflows/bench-fan', { steps: { ...fan, join: { needs: Object.keys(fan), ...call('join') } } })
  await stack.call('PUT', '/workflows/bench-gate', { steps: [{ id: 's0', ...call('s0') }, gate, { id: 's1', ...call('s1') }] })
}

/** W1. */
export function measureSequence(stack: Stack, sizes: Sizes): Promise<Figures> {
  return measureRuns(stack, { name: 'W1: ten http steps in sequence', workflow: 'bench-sequence', steps: 10 }, sizes)
}

/** W2. */
export function measureFan(stack: Stack, sizes: Sizes): Promise<Figures> {
  return measureRuns(stack, { name: 'W2: 1 → 100 → join', workflow: 'bench-fan', steps: FAN + 1 }, sizes)
}

async function measureRuns(stack: Stack, workload: Workload, sizes: Sizes): Promise<Figures> {
  const latencies: number[] = []
  const warmUp = Math.ceil(sizes.idleRuns / 5)
  for (let index = 0; index < warmUp + sizes.idleRuns; index++) {
    const startedAt = performance.now()
    const run = await start(stack, workload.workflow, 'idle', index, '?wait=60s')
    if (run.status !== 'succeeded') throw new Error(`a run of ${workload.workflow} ended ${run.status}: ${JSON.stringify(run.error)}`)
    if (index >= warmUp) latencies.push(performance.now() - startedAt)
  }
  const tag = newTag()
  const before = stack.cpuMs()
  const startedAt = performance.now()
  await inParallel(sizes.busyRuns, WIDTH, async (index) => {
    await start(stack, workload.workflow, tag, index)
  })
  await untilCounted(stack, tag, 'succeeded', sizes.busyRuns)
  const seconds = (performance.now() - startedAt) / 1_000
  return figuresOf(workload.name, latencies, sizes.busyRuns, workload.steps, seconds, spent(before, stack.cpuMs()))
}

/** W3: parks runs at an approval, then approves them one at a time for the latency, and all at once for the throughput. */
export async function measureGate(stack: Stack, target: string, sizes: Sizes): Promise<Figures> {
  const single = await park(stack, sizes.idleRuns)
  const sentAt = new Map<string, number>()
  for (const { id, key } of single.runs) {
    sentAt.set(key, performance.timeOrigin + performance.now())
    await approve(stack, id)
    await stack.call('GET', `/runs/${id}?wait=60s`)
  }
  const seen = (await (await fetch(`${target}/seen/${single.tag}`)).json()) as Record<string, Record<string, number[]>>
  const latencies = [...sentAt].map(([key, at]) => (seen[key]?.s1?.[0] ?? Number.NaN) - at)
  const many = await park(stack, sizes.busyRuns)
  const before = stack.cpuMs()
  const startedAt = performance.now()
  await inParallel(many.runs.length, WIDTH, (index) => approve(stack, many.runs[index]!.id))
  await untilCounted(stack, many.tag, 'succeeded', sizes.busyRuns)
  const seconds = (performance.now() - startedAt) / 1_000
  return figuresOf('W3: approval → next step', latencies, sizes.busyRuns, 1, seconds, spent(before, stack.cpuMs()))
}

async function park(stack: Stack, count: number): Promise<{ tag: string; runs: { id: string; key: string }[] }> {
  const tag = newTag()
  const runs: { id: string; key: string }[] = []
  await inParallel(count, WIDTH, async (index) => {
    const { id } = await start(stack, 'bench-gate', tag, index)
    runs.push({ id, key: String(index) })
  })
  await untilCounted(stack, tag, 'waiting', count)
  return { tag, runs }
}

function approve(stack: Stack, run: string): Promise<void> {
  return stack.call('POST', `/runs/${run}/approvals/gate/decision`, { decision: 'approve' })
}

function start(stack: Stack, workflow: string, tag: string, index: number, query = ''): Promise<RunAnswer> {
  return stack.call('POST', `/workflows/${workflow}/runs${query}`, { input: { tag, id: String(index) }, labels: { tag } })
}

async function untilCounted(stack: Stack, tag: string, status: string, wanted: number): Promise<void> {
  const deadline = performance.now() + IN_TIME_MS
  for (;;) {
    const { count } = await stack.call<{ count: number }>('GET', `/runs/count?status=${status}&label=tag:${tag}`)
    if (count >= wanted) return
    if (performance.now() > deadline) throw new Error(`only ${count} of ${wanted} runs are ${status} after ${IN_TIME_MS} ms`)
    await delay(POLL_MS)
  }
}

function newTag(): string {
  return `b${Date.now().toString(36)}${(tags++).toString(36)}`
}

function spent(before: Map<string, number>, after: Map<string, number>): Map<string, number> {
  return new Map([...after].map(([name, ms]) => [name, ms - (before.get(name) ?? 0)]))
}

function figuresOf(name: string, latencies: number[], runs: number, steps: number, seconds: number, cpuMs: Map<string, number>): Figures {
  return {
    name,
    runsPerSecond: runs / seconds,
    stepsPerSecond: (runs * steps) / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    cpuMsPerStep: new Map([...cpuMs].map(([process, ms]) => [process, ms / (runs * steps)])),
  }
}
