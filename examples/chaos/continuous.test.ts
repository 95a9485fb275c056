/** Everything at once, at random; `make chaos SECONDS=300 RUNS=1000` for the long one, SEED to see it again. */
import { test } from 'tap'
import { makeVoters } from './drive.ts'
import { injectUntil, rollingRestart, SERVER_FAULTS, SERVICE_FAULTS } from './faults.ts'
import { FAULT_SECONDS, openScene, RUNS, type Scene, SEED, tell } from './scene.ts'
import { FAMILIES, type Family } from './workload.ts'

/** Runs of `slow` hold a call for 40 s, so there are few, and none in a short round. */
const SLOW_SHARE = FAULT_SECONDS < 60 ? 0 : 0.03
const FOLLOWED_SHARE = 0.15
const PAUSED_SHARE = 0.2
const REST_MS_MAX = 2_500
const ROLLING_REST_MS_MAX = 20_000
/** A call of 40 s that is made again right after the last fault, and some time to find that out. */
const END_MS = 120_000

/** Starts the runs evenly over `ms`, also those whose orchestrator does not answer just then; people act on them. */
async function startOver(scene: Scene, runs: number, ms: number): Promise<void> {
  const { random } = scene
  const quick = FAMILIES.filter((family) => family !== 'slow')
  const beganAt = Date.now()
  const starting: Promise<void>[] = []
  for (let n = 0; n < runs; n++) {
    const waitMs = beganAt + (n * ms) / runs - Date.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    starting.push(startAndAct(scene, random.chance(SLOW_SHARE) ? 'slow' : random.pick(quick)))
  }
  await Promise.all(starting)
}

async function startAndAct({ start, random, people }: Scene, family: Family): Promise<void> {
  const isPaused = random.chance(PAUSED_SHARE)
  const followedOver = random.chance(FOLLOWED_SHARE) ? random.pick(['WebSocket', 'SSE'] as const) : undefined
  const run = await start(family)
  if (family === 'doomed') people.cancelLater(run)
  else if (isPaused) people.pauseLater(run)
  if (followedOver) people.followLater(run, followedOver)
}

test(`${RUNS} runs under ${FAULT_SECONDS} s of random faults, seed ${SEED}: nothing is lost, doubled or late`, {
  timeout: (FAULT_SECONDS + 300) * 1_000,
}, async (t) => {
  const scene = await openScene(t, 'continuous')
  const { stack, random, people } = scene
  people.startVoting(await makeVoters(scene.reach))
  people.startCutting()
  const stopping = new AbortController()
  const counts = new Map<string, number>()
  const beganAt = Date.now()
  const onDone = ({ name, said, at, ms }: { name: string; said: string; at: number; ms: number }) => {
    counts.set(name, (counts.get(name) ?? 0) + 1)
    tell(`  ${((at - beganAt) / 1_000).toFixed(1).padStart(6)} s  ${name} ${said} (${ms} ms)`)
  }
  const lanes = [SERVICE_FAULTS, SERVER_FAULTS, [rollingRestart]].map((faults) =>
    injectUntil(stopping.signal, stack, {
      faults,
      random: random.fork(),
      restMsMax: faults.length === 1 ? ROLLING_REST_MS_MAX : REST_MS_MAX,
      onDone,
    }),
  )
  await startOver(scene, RUNS, FAULT_SECONDS * 1_000)
  stopping.abort()
  await Promise.all(lanes)
  tell(`chaos continuous: ${[...counts].map(([name, count]) => `${name} ×${count}`).join(', ')}`)
  await scene.finish(END_MS)
})
