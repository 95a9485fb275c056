/** Everything at once, at random, to the stack in containers: what an engine starts again, with networks, names and signals of its own. */
import { test } from 'tap'
import { startContainerStack } from './container-stack.ts'
import { whyNoContainers } from './docker.ts'
import { fillDisk, SERVER_FAULTS } from './faults.ts'
import { faultSeconds, openScene, runCount, SEED, tell } from './scene.ts'
import { raiseStorm } from './storm.ts'

const SECONDS = faultSeconds(25)
const RUNS = runCount(80)
const END_MS = 120_000
/** The images are built first. */
const START_MS = 400_000

const missing = whyNoContainers()
if (missing) tell(`chaos containers: left out, since ${missing}`)

test(`${RUNS} runs in containers under ${SECONDS} s of random faults, seed ${SEED}: nothing is lost, doubled or late`, {
  timeout: START_MS + SECONDS * 1_000 + 300_000,
  skip: missing,
}, async (t) => {
  const scene = await openScene(t, 'containers', { startStack: startContainerStack })
  await raiseStorm(scene, { runs: RUNS, seconds: SECONDS, serverFaults: SERVER_FAULTS.filter((fault) => fault !== fillDisk) })
  await scene.finish(END_MS)
})
