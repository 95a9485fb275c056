/** `baton runs …` */
import type { Run, RunQuery, Step, Why } from '@baton/client'
import type { Command } from 'commander'
import { collect } from './collect.ts'
import { addControlCommands } from './control-commands.ts'
import { PartlyFailed, UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import { addReopenCommands } from './reopen-commands.ts'
import type { Open } from './run-cli.ts'
import { ago, brief, formatTable, paintStatus } from './table.ts'
import type { CommandContext } from './terminal.ts'
import { watch } from './watch-run.ts'

interface StartFlags {
  input?: string
  label: Record<string, string>
  versionNumber?: number
  tag?: string
  priority?: number
  idempotencyKey?: string
  wait?: boolean
}
interface ListFlags extends RunQuery {
  limit: number
}

/** Adds the commands. */
export function addRunCommands(program: Command, open: Open): void {
  const runs = program.command('runs').alias('run').description('start, look at and move runs')
  runs
    .command('start')
    .description('start a run')
    .argument('<workflow>')
    .option('--input <json>', 'JSON, @file with JSON or YAML, or - for stdin')
    .option('--label <key:value>', 'may be repeated', addLabel, {})
    .option('--version-number <n>', 'another version than the tag live or the highest', wholeNumber)
    .option('--tag <tag>', 'the version that this tag points at')
    .option('--priority <0-9>', 'higher goes first; default 5', wholeNumber)
    .option('--idempotency-key <key>', 'starting again under the same key gives the first run')
    .option('--wait', 'wait for the end; exit code 1 unless it succeeded')
    .action(async (workflow: string, flags: StartFlags, command: Command) => start(await open(command), workflow, flags))
  runs
    .command('list')
    .description('runs, newest first')
    .option('--workflow <name>')
    .option('--status <status...>', 'queued, running, waiting, paused, succeeded, failed, cancelled, timed_out')
    .option('--label <key:value...>')
    .option('--since <time>', 'RFC 3339')
    .option('--until <time>', 'RFC 3339')
    .option('--limit <n>', 'how many', wholeNumber, 20)
    .action(async (flags: ListFlags, command: Command) => list(await open(command), flags))
  runs
    .command('show')
    .description('a run, its steps, and what it waits for')
    .argument('<run>')
    .action(async (id: string, _flags: unknown, command: Command) => show(await open(command), id))
  runs
    .command('watch')
    .description("a run's events as they happen, until it has ended")
    .argument('<run>')
    .option('--after <seq>', 'begin after this event', wholeNumber, 0)
    .option('--follow', 'go on after the end, for runs that are reopened')
    .action(async (id: string, flags: { after: number; follow?: boolean }, command: Command) => watch(await open(command), id, flags))
  addControlCommands(runs, open, wholeNumber)
  addReopenCommands(runs, open, wholeNumber)
}

async function start(context: CommandContext, workflow: string, flags: StartFlags): Promise<void> {
  const { label: labels, versionNumber: version, tag, priority, idempotencyKey } = flags
  const { signal } = context.terminal
  const input = flags.input === undefined ? undefined : await readJson(flags.input, context.terminal)
  const given = { input, version, tag, priority, idempotencyKey }
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  let run = await context.client.runs.start(workflow, { ...options, ...(Object.keys(labels).length > 0 && { labels }), signal })
  if (flags.wait) run = await context.client.runs.wait(run.id, { signal })
  context.print(run, () => describeRun(run, context))
  if (flags.wait && run.status !== 'succeeded') throw new PartlyFailed()
}

async function list(context: CommandContext, { limit, ...query }: ListFlags): Promise<void> {
  const runs: Run[] = []
  const pageSize = Math.min(200, Math.max(1, limit))
  for await (const run of context.client.runs.list(query, { signal: context.terminal.signal, pageSize })) {
    if (runs.push(run) >= limit) break
  }
  context.print(runs, () => {
    const rows = runs.map((run) => [
      run.id,
      `${run.workflow} ${run.version}`,
      paintStatus(run.status, context.paint),
      ago(run.createdAt),
      Object.entries(run.labels)
        .map(([key, value]) => `${key}:${value}`)
        .join(' '),
      brief(run.error?.message ?? '', 60),
    ])
    return formatTable(['RUN', 'WORKFLOW', 'STATUS', 'AGE', 'LABELS', 'ERROR'], rows, context.paint)
  })
}

async function show(context: CommandContext, id: string): Promise<void> {
  const { runs } = context.client
  const run = await runs.get(id)
  const [steps, why] = await Promise.all([collect(runs.steps(id)), run.endedAt === null ? runs.why(id) : { items: [] }])
  context.print(
    { ...run, steps, why: why.items },
    () => describeRun(run, context) + describeSteps(steps, context) + describeWhy(why, context),
  )
}

function describeRun(run: Run, { paint }: CommandContext): string {
  const lines = [`${paint('bold', run.id)}  ${run.workflow} ${run.version}  ${paintStatus(run.status, paint)}  ${ago(run.createdAt)} old`]
  if (run.output !== null) lines.push(`output: ${JSON.stringify(run.output)}`)
  for (let error = run.error; error; error = error.cause ?? null) {
    lines.push(
      paint('red', `${error === run.error ? 'error' : '  by'}: ${error.step ? `${error.step}: ` : ''}${error.message} (${error.code})`),
    )
  }
  return `${lines.join('\n')}\n`
}

function describeSteps(steps: readonly Step[], { paint, terminal }: CommandContext): string {
  const rows = steps.map((step) => [
    step.path,
    step.kind,
    paintStatus(step.status, paint),
    step.attempt > 1 ? String(step.attempt) : '',
    brief(step.error === null ? (step.output ?? '') : step.error.message, Math.max(30, terminal.columns - 60)),
  ])
  return `\n${formatTable(['STEP', 'KIND', 'STATUS', 'ATTEMPT', 'RESULT'], rows, paint)}`
}

function describeWhy(why: Why, { paint }: CommandContext): string {
  if (why.items.length === 0) return ''
  const lines = why.items.map((item) => `  ${item.step ?? 'the run'}: ${item.reason} [${item.movableBy.join(', ')}]`)
  return `\n${paint('bold', 'Waits for')}\n${lines.join('\n')}\n`
}

function addLabel(text: string, labels: Record<string, string>): Record<string, string> {
  const colon = text.indexOf(':')
  if (colon < 1) throw new UsageError(`a label is key:value, not ${text}`)
  return { ...labels, [text.slice(0, colon)]: text.slice(colon + 1) }
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`not a whole number: ${text}`)
  return Number(text)
}
