/** Everything at once, at random; `make chaos SECONDS=300 RUNS=1000` for the long one, SEED to see it again. */
import { test } from 'tap'
import { SERVER_FAULTS } from './faults.ts'
import { faultSeconds, openScene, runCount, SEED } from './scene.ts'
import { raiseStorm } from './storm.ts'

const SECONDS = faultSeconds(40)
const RUNS = runCount(300)
/** A call of 40 s that is made again right after the last fault, and some time to find that out. */
const END_MS = 120_000

test(`${RUNS} runs under ${SECONDS} s of random faults, seed ${SEED}: nothing is lost, doubled or late`, {
  timeout: (SECONDS + 300) * 1_000,
}, async (t) => {
  const scene = await openScene(t, 'continuous')
  await raiseStorm(scene, { runs: RUNS, seconds: SECONDS, serverFaults: SERVER_FAULTS })
  await scene.finish(END_MS)
})
