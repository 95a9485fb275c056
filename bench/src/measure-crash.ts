/** W4: what runs the steps is killed in the middle of many runs and started again at once. */
import { type Engine, newTag, STARTS_AT_ONCE, STEPS } from './engine.ts'
import type { Target } from './start-target.ts'
import { type Figures, inParallel, longestGap } from './statistics.ts'
import { countDone, IN_TIME_MS, requestOf } from './workloads.ts'

/** How long the called service takes, so that calls are under way at the moment of the kill. */
const ANSWER_MS = 20
/** Runs that have not ended by then count as lost. */
const DRAIN_MS = 120_000

/** Kills the engine when half of the calls have been seen. `drainMs` is from the kill until the engine says that all runs have succeeded. */
export async function measureCrash(engine: Engine, target: Target, runs: number, { drainWithinMs = DRAIN_MS } = {}): Promise<Figures> {
  const tag = newTag()
  const steps = runs * STEPS.sequence
  const requests = Array.from({ length: runs }, (_, index) => ({ ...requestOf('sequence', tag, index), delayMs: ANSWER_MS }))
  await inParallel(runs, STARTS_AT_ONCE, (index) => engine.client.start(requests[index]!))
  await target.until(tag, steps / 2, IN_TIME_MS)
  const killedAt = performance.timeOrigin + performance.now()
  await engine.crash()
  const done = await countDone(engine.client, tag, runs, drainWithinMs)
  const drainMs = performance.timeOrigin + performance.now() - killedAt
  const calls = Object.values(await target.seen(tag)).flatMap((byStep) => Object.values(byStep))
  const moments = calls.flat()
  return {
    lost: runs - done,
    ...(done === runs && { drainMs }),
    longestGapMs: longestGap(moments, killedAt),
    stepsBeforeKill: moments.filter((at) => at < killedAt).length,
    stepsRepeated: moments.length - calls.length,
    stepsMissing: steps - calls.length,
  }
}
