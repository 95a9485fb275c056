/** What every scenario begins and ends with: a stack, a client, people; then everything has to end, and to be right. */
import type { Test } from 'tap'
import type { ShopCall } from '../src/shop.ts'
import { findDerived, judge, type Verdict } from './checker.ts'
import { people } from './drive.ts'
import { type StackOptions, startProcessStack } from './process-stack.ts'
import { createRandom, type Random } from './random.ts'
import { type Reach, reachReplicas } from './reach.ts'
import type { ChaosStack } from './stack.ts'
import { OPEN, waitForEnd } from './stuck.ts'
import { type Family, type Started, saveFamilies, startOne } from './workload.ts'

/** Settings of the suite, by the environment: `make chaos SEED=… SECONDS=… RUNS=…`. */
export const SEED = setting('SEED', Math.floor(Math.random() * 2 ** 32))
export const faultSeconds = (byDefault: number) => setting('SECONDS', byDefault)
export const runCount = (byDefault: number) => setting('RUNS', byDefault)

function setting(name: 'SEED' | 'SECONDS' | 'RUNS', byDefault: number): number {
  const text = process.env[`CHAOS_${name}`] || String(byDefault)
  if (!/^\d+$/.test(text)) throw new Error(`${name} has to be a whole number, not "${text}"`)
  return Number(text)
}

export interface Scene {
  stack: ChaosStack
  reach: Reach
  random: Random
  people: ReturnType<typeof people>
  started: Started[]
  /** Starts a run of the family; its order is unique. */
  start(family: Family, delayMsMax?: number): Promise<Started>
  startMany(family: Family, count: number, delayMsMax?: number): Promise<Started[]>
  /** Calls that the shop has seen so far. */
  calls(): Promise<ShopCall[]>
  /** Waits until all runs have ended, says what the others wait for, and judges everything. */
  finish(timeoutMs: number): Promise<Verdict>
}

/** A line that is seen whatever the reporter shows. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

export interface SceneOptions extends StackOptions {
  /** What it runs on: processes, or something else that takes no settings. */
  startStack?: (t: Test, name: string, options: StackOptions) => Promise<ChaosStack>
}

/** Starts a stack for one scenario. */
export async function openScene(t: Test, name: string, { startStack = startProcessStack, ...options }: SceneOptions = {}): Promise<Scene> {
  const random = createRandom(SEED)
  const stack = await startStack(t, name, options)
  const reach = reachReplicas({ ...stack, random: random.fork() })
  const folk = people(reach, random.fork())
  const started: Started[] = []
  let orders = 0
  await saveFamilies(reach.client)
  const start = async (family: Family, delayMsMax?: number) => {
    const run = await startOne(reach.client, stack.callUrl, family, `o${++orders}x`, random, delayMsMax)
    started.push(run)
    return run
  }
  const scene: Scene = {
    ...{ stack, reach, random, people: folk, started, start },
    startMany: (family, count, delayMsMax) => Promise.all(Array.from({ length: count }, () => start(family, delayMsMax))),
    calls: async () => ((await (await fetch(`${stack.shopUrl}/calls`)).json()) as { items: ShopCall[] }).items,
    finish: (timeoutMs) => finish(t, name, scene, timeoutMs),
  }
  return scene
}

async function finish(t: Test, name: string, scene: Scene, timeoutMs: number): Promise<Verdict> {
  const { stack, reach, people: folk, started } = scene
  const { client } = reach
  await stack.allReady()
  await folk.resumeDoubtful()
  await folk.controlled()
  const from = Date.now()
  const { ended, stuck } = await waitForEnd(client, timeoutMs)
  const endedAfterMs = Date.now() - from
  if (!ended) {
    t.fail(`${await client.runs.count({ status: OPEN })} runs had not ended ${Math.round(endedAfterMs / 1_000)} s after the last fault`)
    for await (const { id, status } of client.runs.list({ status: OPEN })) {
      const { items } = await client.runs.why(id)
      tell(`  ${id} is ${status}: ${JSON.stringify(items[0])}`)
    }
  }
  t.strictSame(stuck, [], 'no run stands still for good')
  await folk.stop()
  const followed = await Promise.all(folk.followed)
  const { derived, strange } = await findDerived(client, started)
  t.strictSame(strange, [], 'as many runs as were started')
  const { votes, cancelled, controls } = folk
  const verdict = await judge(client, stack.shopUrl, { started, derived, votes, cancelled, controls, followed })
  t.strictSame(verdict.violations, [], 'every promise was kept')
  t.strictSame(folk.surprises, [], 'nobody was told what should not be')
  t.strictSame(reach.errors, [], 'no answer was a 5xx other than 503')
  t.strictSame(stack.crashes, [], 'no process ended by itself')
  tell(
    `chaos ${name}: seed ${SEED}, ${started.length} runs, ${verdict.steps} steps, ${verdict.events} events, ${verdict.calls} calls ` +
      `(${verdict.repeated} repeated), ${votes.length} votes, ${cancelled.length} cancels, ${folk.paused()} pauses, ${controls.length} replays, retries, forks and their cancels, ${derived.length} child runs and forks, ` +
      `${followed.length} followers; all ended ${endedAfterMs} ms after the last fault; ${verdict.violations.length} violations`,
  )
  return verdict
}
