/** Everything at once, at random: runs of every family, people who act on them, and faults all the while. */
import { setTimeout as pause } from 'node:timers/promises'
import { makeVoters } from './drive.ts'
import { type Fault, type Injected, injectUntil, rollingRestart, SERVICE_FAULTS } from './faults.ts'
import { type Scene, tell } from './scene.ts'
import { FAMILIES, type Family, type Started } from './workload.ts'

/** Runs of `slow` hold a call for 40 s, so there are few, and none in a short round. */
const SLOW_SHARE = 0.03
const SLOW_SECONDS_MIN = 60
const FOLLOWED_SHARE = 0.15
const PAUSED_SHARE = 0.2
const CONTROLLED_SHARE = 0.6
const REST_MS_MAX = 2_500
const ROLLING_REST_MS_MAX = 20_000

export interface Storm {
  runs: number
  seconds: number
  /** What is done to PostgreSQL and Redis. */
  serverFaults: readonly Fault[]
}

/** Resolves when all runs are started and the last fault is undone. */
export async function raiseStorm(scene: Scene, { runs, seconds, serverFaults }: Storm): Promise<void> {
  const { stack, random, people } = scene
  people.startVoting(await makeVoters(scene.reach))
  people.startCutting()
  const stopping = new AbortController()
  const counts = new Map<string, number>()
  const beganAt = Date.now()
  const onDone = ({ name, said, at, ms }: Injected) => {
    counts.set(name, (counts.get(name) ?? 0) + 1)
    tell(`  ${((at - beganAt) / 1_000).toFixed(1).padStart(6)} s  ${name} ${said} (${ms} ms)`)
  }
  const lanes = [SERVICE_FAULTS, serverFaults, [rollingRestart]].map((faults) =>
    injectUntil(stopping.signal, stack, {
      faults,
      random: random.fork(),
      restMsMax: faults.length === 1 ? ROLLING_REST_MS_MAX : REST_MS_MAX,
      onDone,
    }),
  )
  const started = startOver(scene, runs, seconds)
  await pause(seconds * 1_000)
  stopping.abort() // also when starts still wait: on a slow machine one fault would follow the other for ever
  await Promise.all([started, ...lanes])
  tell(`chaos storm: ${[...counts].map(([name, count]) => `${name} ×${count}`).join(', ')}`)
}

/** Starts the runs evenly, also those whose orchestrator does not answer just then; people act on them. */
async function startOver(scene: Scene, runs: number, seconds: number): Promise<void> {
  const { random } = scene
  const slowShare = seconds < SLOW_SECONDS_MIN ? 0 : SLOW_SHARE
  const quick = FAMILIES.filter((family) => family !== 'slow')
  const beganAt = Date.now()
  const starting: Promise<void>[] = []
  for (let n = 0; n < runs; n++) {
    const waitMs = beganAt + (n * seconds * 1_000) / runs - Date.now()
    if (waitMs > 0) await pause(waitMs)
    starting.push(startAndAct(scene, random.chance(slowShare) ? 'slow' : random.pick(quick)))
  }
  await Promise.all(starting)
}

/** Done to a chain, whose output is the same afterwards. */
function controlLater(run: Started, random: Scene['random'], people: Scene['people']): void {
  const step = random.pick(['s2', 's3', 's5'])
  random.pick([() => people.replayLater(run, step), () => people.forkLater(run, step), () => people.cancelAndRetryLater(run)])()
}

async function startAndAct({ start, random, people }: Scene, family: Family): Promise<void> {
  const isControlled = family === 'chain' && random.chance(CONTROLLED_SHARE)
  const isPaused = random.chance(PAUSED_SHARE)
  const followedOver = random.chance(FOLLOWED_SHARE) ? random.pick(['WebSocket', 'SSE'] as const) : undefined
  const run = await start(family)
  if (family === 'doomed') people.cancelLater(run)
  else if (family === 'heard') people.tellLater(run)
  else if (isControlled) controlLater(run, random, people)
  else if (isPaused) people.pauseLater(run)
  // Followers leave at the end of a run; one that is reopened has further events.
  if (followedOver && !isControlled) people.followLater(run, followedOver)
}
