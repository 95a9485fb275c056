/**
 * `make bench-scale`: W1 at saturation with one workflow-runner and one http-worker, and with several of each on the same cores, in turn.
 * Exits 1 when a step was not called exactly once. `--write` puts the table into bench/README.md.
 */
import { join } from 'node:path'
import { stackPaths } from '@baton/embedded'
import { newTag } from './engine.ts'
import { parseScaleOptions, type ScaleOptions } from './options.ts'
import type { OwnStack } from './own-stack.ts'
import { writeFigures } from './report.ts'
import { runCommand } from './run-command.ts'
import { countWrongRuns, type ScaleRound, scaleReport } from './scale-report.ts'
import type { Target } from './start-target.ts'
import type { Figures } from './statistics.ts'
import { withStacks } from './with-stacks.ts'
import { measureSaturation } from './workloads.ts'

const FOLDER = join(stackPaths().local, 'bench')
const WARM_UP_PORTION = 2_000
async function scale(options: ScaleOptions): Promise<number> {
  return withStacks(async (target, start) => {
    const { replicas } = options
    const one = await start(join(FOLDER, 'stack'))
    const several = await start(join(FOLDER, 'scaled'), { replicas: { 'workflow-runner': replicas, 'http-worker': replicas } })
    const rounds = await measure(one, several, target, options)
    const report = scaleReport(rounds, options, new Date())
    console.log(report)
    if (options.write) writeFigures('scale', report)
    return rounds.every(({ one, several }) => one.wrongRuns === 0 && several.wrongRuns === 0) ? 0 : 1
  })
}

async function measure(one: OwnStack, several: OwnStack, target: Target, options: ScaleOptions): Promise<ScaleRound[]> {
  const wrongBefore = await warmUp(one, several, target, options)
  const rounds: ScaleRound[] = []
  for (let round = 0; round < options.rounds; round++) {
    const figures = {} as ScaleRound
    for (const which of round % 2 === 0 ? (['one', 'several'] as const) : (['several', 'one'] as const)) {
      figures[which] = await measureOnce(which === 'one' ? one : several, target, options.runs)
      if (round === 0) figures[which].wrongRuns! += wrongBefore[which]
    }
    const [alone, together] = [figures.one.runsPerSecond!, figures.several.runsPerSecond!]
    console.error(`round ${round + 1}: ${alone.toFixed(0)} runs/s with one of each, ${together.toFixed(0)} with ${options.replicas}`)
    rounds.push(figures)
  }
  return rounds
}

/**
 * As many runs on either side as give each replica its `warmUp`: V8 compiles the code in each of them, Postgres and Redis are asked as often. In
 * portions and in turn, so that no backlog is deeper than that of a round and nobody rests. Gives what went wrong on each side.
 */
async function warmUp(one: OwnStack, several: OwnStack, target: Target, { warmUp, replicas }: ScaleOptions) {
  const wrongRuns = { one: 0, several: 0 }
  for (let left = warmUp * replicas; left > 0; left -= WARM_UP_PORTION) {
    const runs = Math.min(left, WARM_UP_PORTION)
    wrongRuns.one += (await measureOnce(one, target, runs)).wrongRuns!
    wrongRuns.several += (await measureOnce(several, target, runs)).wrongRuns!
  }
  return wrongRuns
}

async function measureOnce(stack: OwnStack, target: Target, runs: number): Promise<Figures> {
  const tag = newTag()
  const figures = await measureSaturation(stack, target, 'sequence', runs, tag)
  const wrongRuns = countWrongRuns(await target.seen(tag), runs)
  await target.forget()
  return { ...figures, wrongRuns }
}

await runCommand('bench-scale', () => scale(parseScaleOptions(process.argv.slice(2))))
