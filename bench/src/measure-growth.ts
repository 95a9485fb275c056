/** Growth: what finished runs leave in the stores, and whether the next ones cost more for it. */
import type { Engine } from './engine.ts'
import { withoutUndefined } from './measure-parked.ts'
import type { Target } from './start-target.ts'
import { type Figures, quantile } from './statistics.ts'
import { measureSaturation } from './workloads.ts'

/** Runs that are started and waited for together. */
const CHUNK = 10_000
/** Pages of runs that are read at each stage. */
const LISTS = 200

/**
 * Runs W1 until each of the `stages` (finished runs, ascending) is reached, and a probe of `probeRuns` before the first and after each.
 * Figures are named after the stage: `cpuMsPerRun@1000`, `bytesPerRun@1000` (what a run has left so far), `redisBytes@1000`, `listP99Ms@1000` (a
 * page of runs, filtered; where there is such a list).
 */
export async function measureGrowth(
  engine: Engine,
  target: Target,
  { stages, probeRuns }: { stages: readonly number[]; probeRuns: number },
): Promise<Figures> {
  const figures: Figures = {}
  await measureSaturation(engine, target, 'sequence', probeRuns) // warm: code that is not compiled yet is no growth
  await target.forget()
  const empty = await engine.stored()
  let finished = 0
  for (const stage of [0, ...stages]) {
    while (finished < stage) {
      const runs = Math.min(stage - finished, CHUNK)
      await measureSaturation(engine, target, 'sequence', runs)
      await target.forget()
      finished += runs
    }
    const stored = await engine.stored()
    const grown = stored.database === undefined || finished === 0 ? undefined : (stored.database - empty.database!) / finished
    const { cpuMsPerRun } = await measureSaturation(engine, target, 'sequence', probeRuns)
    finished += probeRuns
    await target.forget()
    const named = { cpuMsPerRun, bytesPerRun: grown, redisBytes: stored.redis, listP99Ms: await measureLists(engine) }
    for (const [name, value] of Object.entries(withoutUndefined(named))) figures[`${name}@${stage}`] = value
  }
  return figures
}

async function measureLists({ client }: Engine): Promise<number | undefined> {
  if (!client.list) return undefined
  const latencies: number[] = []
  for (let index = 0; index < LISTS; index++) {
    const startedAt = performance.now()
    await client.list(index)
    latencies.push(performance.now() - startedAt)
  }
  return quantile(latencies, 0.99)
}
