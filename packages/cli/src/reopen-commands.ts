/** `baton runs retry`, `replay` and `fork`. */
import type { BulkAnswer, Json, RunQuery } from '@baton/client'
import type { Command } from 'commander'
import { eachRun } from './each-run.ts'
import { PartlyFailed, UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import type { Open } from './run-cli.ts'
import type { CommandContext } from './terminal.ts'

interface BulkFlags extends RunQuery {
  limit?: number
}
interface RetryFlags extends BulkFlags {
  reason?: string
}
interface ForkFlags extends BulkFlags {
  from: string
  input?: string
}

/** Adds the commands to those on runs. */
export function addReopenCommands(runs: Command, open: Open, wholeNumber: (text: string) => number): void {
  const withFilter = (command: Command): Command =>
    command
      .option('--workflow <name>')
      .option('--status <status...>', 'default: failed, cancelled and timed_out')
      .option('--label <key:value...>')
      .option('--since <time>', 'RFC 3339')
      .option('--until <time>', 'RFC 3339')
      .option('--limit <n>', 'of many, how many; the newest', wholeNumber)
  withFilter(runs.command('retry').description('let what failed or was cancelled begin again; runs by their ids or by a filter'))
    .argument('[runs...]')
    .option('--reason <text>')
    .action(async (ids: string[], flags: RetryFlags, command: Command) => retry(await open(command), ids, flags))
  runs
    .command('replay')
    .description('let a step, and all that depends on it, begin again')
    .argument('<run>')
    .argument('<step>')
    .requiredOption('--reason <text>')
    .option('--config <json>', "changes of the body of the step's kind: JSON, @file with JSON or YAML, or - for stdin")
    .action(async (id: string, step: string, flags: { reason: string; config?: string }, command: Command) =>
      replay(await open(command), id, step, flags),
    )
  withFilter(
    runs.command('fork').description('a new run that begins with what does not depend on a step; of runs by their ids or by a filter'),
  )
    .argument('[runs...]')
    .requiredOption('--from <step>')
    .option('--input <json>', 'in place of the whole input: JSON, @file with JSON or YAML, or - for stdin')
    .action(async (ids: string[], flags: ForkFlags, command: Command) => fork(await open(command), ids, flags))
}

async function retry(context: CommandContext, ids: readonly string[], { reason, ...flags }: RetryFlags): Promise<void> {
  const options = { ...(reason === undefined ? {} : { reason }), signal: context.terminal.signal }
  if (ids.length === 0) return tellMany(context, await context.client.runs.retryMany({ ...bulkOf(flags), ...options }))
  await eachRun(
    context,
    ids,
    (id) => context.client.runs.retry(id, options),
    () => 'is tried again',
  )
}

async function replay(context: CommandContext, id: string, step: string, flags: { reason: string; config?: string }): Promise<void> {
  const config = flags.config === undefined ? {} : { config: (await readJson(flags.config, context.terminal)) as Record<string, Json> }
  const run = await context.client.runs.replay(id, step, { reason: flags.reason, ...config })
  context.print(run, () => `${run.id} does ${step} again\n`)
}

async function fork(context: CommandContext, ids: readonly string[], { from, input, ...flags }: ForkFlags): Promise<void> {
  const body = { from, ...(input === undefined ? {} : { input: await readJson(input, context.terminal) }) }
  if (ids.length === 0) return tellMany(context, await context.client.runs.forkMany({ ...bulkOf(flags), ...body }))
  await eachRun(
    context,
    ids,
    (id) => context.client.runs.fork(id, body),
    (run) => `is a fork of ${run.forkedFrom}`,
  )
}

/** A filter has to be given: nobody means all runs by leaving out an id. */
function bulkOf({ limit, ...filter }: BulkFlags): { filter: RunQuery; limit?: number } {
  if (Object.keys(filter).length === 0) throw new UsageError('name runs, or a filter such as --workflow')
  return { filter, ...(limit === undefined ? {} : { limit }) }
}

function tellMany(context: CommandContext, items: BulkAnswer['items']): void {
  context.print(items, () =>
    items.map(({ run, ok, problem }) => `${run}  ${ok ? ok.id : `${problem?.detail} (${problem?.code})`}\n`).join(''),
  )
  if (items.some(({ problem }) => problem !== undefined)) throw new PartlyFailed()
}
