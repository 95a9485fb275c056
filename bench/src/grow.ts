/**
 * `make bench-growth`: what a W1 run costs, and how long lists take, with a million finished runs in the database and with none. Two stacks
 * run side by side and are probed in turn, so that the noise of the machine falls on both. `--write` puts the tables into bench/README.md.
 */
import { join } from 'node:path'
import { stackPaths } from '@baton/embedded'
import postgres from 'postgres'
import { filledRuns, fillRuns, keepTemplates } from './fill-runs.ts'
import { type Growth, growthReport } from './growth-report.ts'
import { measureReadings } from './measure-lists.ts'
import { type GrowthOptions, parseGrowthOptions } from './options.ts'
import type { OwnStack } from './own-stack.ts'
import { writeFigures } from './report.ts'
import { runCommand } from './run-command.ts'
import { startMix } from './start-mix.ts'
import type { Target } from './start-target.ts'
import type { Figures } from './statistics.ts'
import { openStores } from './stores.ts'
import { withStacks } from './with-stacks.ts'
import { measureSaturation } from './workloads.ts'

const FOLDER = join(stackPaths().local, 'bench')
/** What copies are made of: one cycle of the mix. */
const TEMPLATES = 2_000
/** Code is compiled, connections and statements are there. */
const WARM_UP_RUNS = 2_500
/** Tables whose sizes are told. */
const TABLES = ['runs', 'run_labels', 'run_events']

async function grow(options: GrowthOptions): Promise<number> {
  return withStacks(async (target, start) => {
    // What a command that was interrupted or asked to --fill has left is gone on with.
    const full = await start(join(FOLDER, 'full'), { keepsData: true })
    await fill(full, target, options.runs)
    if (options.fill) return 0
    const empty = await start(join(FOLDER, 'stack'))
    const growth = await measure(empty, full, target, options)
    const report = growthReport(growth, options, new Date())
    console.log(report)
    if (options.write) writeFigures('growth', report)
    if (!options.keep) await full.stop({ removesData: true })
    return 0
  })
}

async function fill(full: OwnStack, target: Target, runs: number): Promise<void> {
  const sql = postgres(full.databaseUrl, { max: 1, onnotice: () => {} })
  try {
    if ((await filledRuns(sql)) === undefined) {
      const tag = await startMix(full.client, target, Math.min(TEMPLATES, runs))
      await target.forget()
      await keepTemplates(sql, tag)
    }
    if ((await filledRuns(sql))! >= runs) return
    await fillRuns(sql, { runs, onPiece: (filled) => say(`${filled} of ${runs} finished runs are there`) })
  } finally {
    await sql.end({ timeout: 5 })
  }
}

async function measure(empty: OwnStack, full: OwnStack, target: Target, options: GrowthOptions): Promise<Growth> {
  const probe = async (stack: OwnStack, runs: number) => {
    const figures = await measureSaturation(stack, target, 'sequence', runs)
    await target.forget()
    return figures
  }
  for (const stack of [empty, full]) await probe(stack, WARM_UP_RUNS)
  const probes: Growth['probes'] = []
  for (let round = 0; round < options.rounds; round++) {
    // The first of a round has the machine as the last one left it: that falls on both in turn.
    const order = round % 2 === 0 ? (['empty', 'full'] as const) : (['full', 'empty'] as const)
    const figures = {} as Record<'empty' | 'full', Figures>
    for (const which of order) figures[which] = await probe(which === 'empty' ? empty : full, options.probe)
    say(`round ${round + 1}: CPU-ms a run ${figures.empty.cpuMsPerRun!.toFixed(2)} empty, ${figures.full.cpuMsPerRun!.toFixed(2)} full`)
    probes.push(figures)
  }
  const read = (stack: OwnStack, which: string) => measureReadings(stack.client, options.reads, (text) => say(`${which}: ${text}`))
  const readings = { full: await read(full, 'full'), empty: await read(empty, 'empty') }
  return { probes, readings, tables: await sizes(full) }
}

async function sizes(full: OwnStack): Promise<Growth['tables']> {
  const stores = openStores({ databaseUrl: full.databaseUrl })
  try {
    return (await stores.tables(TABLES)).filter(({ name }) => TABLES.includes(name))
  } finally {
    await stores.close()
  }
}

function say(sentence: string): void {
  console.error(sentence)
}

await runCommand('bench-growth', () => grow(parseGrowthOptions(process.argv.slice(2))))
