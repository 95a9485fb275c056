/** Services are killed, restarted in turn, and told the wrong time, under load. */
import { join } from 'node:path'
import { until } from '@baton/testing'
import { test } from 'tap'
import { rollingRestart } from './faults.ts'
import { openScene, type Scene, tell } from './scene.ts'

const END_MS = 60_000
const STALL_MS_MAX = 10_000
const SKEW_MS = 300_000

const underWay = (scene: Scene, calls: number) =>
  until(async () => (await scene.calls()).length >= calls, { timeoutMs: 60_000, what: `${calls} calls` })

/** The longest time in which no call began though runs were open. */
async function longestStall(scene: Scene): Promise<number> {
  const begun = (await scene.calls()).map(({ startedAt }) => startedAt).sort((a, b) => a - b)
  return Math.max(...begun.slice(1).map((at, i) => at - begun[i]!))
}

test('SIGKILL of all runners and all http-workers in the middle of 200 runs: all complete, and the shop never waits for 10 s', {
  timeout: 200_000,
}, async (t) => {
  const scene = await openScene(t, 'killed')
  const { stack } = scene
  await scene.startMany('chain', 200)
  await underWay(scene, 500)
  const victims = [...stack.of('workflow-runner'), ...stack.of('http-worker')]
  await Promise.all(victims.map((replica) => replica.end('SIGKILL')))
  await scene.finish(END_MS)
  const stallMs = await longestStall(scene)
  t.ok(stallMs < STALL_MS_MAX, `the longest pause at the shop was ${stallMs} ms`)
  tell(`  the longest pause at the shop was ${stallMs} ms`)
})

test('a rolling restart under load: every process exits 0 in time, nothing is lost, no call is made twice', {
  timeout: 200_000,
}, async (t) => {
  const scene = await openScene(t, 'rolling')
  const restarted = rollingRestart.run(scene.stack, scene.random, new AbortController().signal)
  let over = false
  void restarted.finally(() => {
    over = true
  })
  while (!over) {
    await scene.startMany('chain', 10)
    await scene.startMany('fan', 5)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  await restarted
  const { repeated } = await scene.finish(END_MS)
  t.equal(repeated, 0, 'no call was made again')
})

test('workers and a runner whose clocks are five minutes wrong do no harm', { timeout: 200_000 }, async (t) => {
  const skewed = (ms: number) => ({ NODE_OPTIONS: `--import=${join(import.meta.dirname, 'skew-clock.ts')}`, SKEW_MS: String(ms) })
  const settingsOf = {
    'http-worker-1': skewed(SKEW_MS),
    'http-worker-2': skewed(-SKEW_MS),
    'workflow-runner-2': skewed(-SKEW_MS),
    'hitl-worker-1': skewed(SKEW_MS),
    'agent-runner-1': skewed(-SKEW_MS),
  }
  const scene = await openScene(t, 'skewed', { settingsOf })
  for (const family of ['chain', 'fan', 'timed', 'drafted'] as const) await scene.startMany(family, 20)
  await underWay(scene, 100)
  await scene.stack.of('http-worker')[0]!.end('SIGKILL')
  await scene.stack.redis.flushAll()
  await scene.stack.of('workflow-runner')[0]!.end('SIGKILL')
  await scene.finish(END_MS)
})
