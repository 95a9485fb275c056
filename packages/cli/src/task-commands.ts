/** `baton tasks …` */
import type { Task } from '@baton/client'
import type { Command } from 'commander'
import { collect } from './collect.ts'
import { UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import type { Open } from './run-cli.ts'
import { ago, brief, formatTable, paintStatus } from './table.ts'
import type { CommandContext } from './terminal.ts'

interface ListFlags {
  all?: boolean
  capability?: string[]
  run?: string
}

/** Options that may be given several times. */
const several = (value: string, before: string[] = []) => [...before, value]

/** Adds the commands. */
export function addTaskCommands(program: Command, open: Open): void {
  const tasks = program.command('tasks').alias('task').description('work that task steps offer to outside programs')
  tasks
    .command('list')
    .description('tasks that nobody has ended')
    .option('--all', 'also those that have ended')
    .option('--capability <name>', 'those that ask for it (several: for one of them)', several)
    .option('--run <run>')
    .action(async (flags: ListFlags, command: Command) => list(await open(command), flags))
  tasks
    .command('show')
    .description('a task with its payload')
    .argument('<task>')
    .action(async (id: string, _: object, command: Command) => {
      const context = await open(command)
      const task = await context.client.tasks.get(id)
      context.print(task, () => `${JSON.stringify(task, null, 2)}\n`)
    })
  tasks
    .command('claim')
    .description('claim a task, or the most urgent one for these capabilities')
    .argument('[task]')
    .option('--capability <name>', 'what you can do', several)
    .action(async (id: string | undefined, flags: { capability?: string[] }, command: Command) =>
      claim(await open(command), id, flags.capability),
    )
  addWorkCommands(tasks, open)
  addEndCommands(tasks, open)
}

function addWorkCommands(tasks: Command, open: Open): void {
  tasks
    .command('progress')
    .description('tell how far a claimed task is; its lease begins anew')
    .argument('<task>')
    .option('--percent <number>', '0 to 100', Number)
    .option('--note <text>')
    .action(async (id: string, flags: { percent?: number; note?: string }, command: Command) => {
      const context = await open(command)
      tell(context, await context.client.tasks.progress(id, flags), (task) => `yours until ${task.leaseUntil}`)
    })
  tasks
    .command('release')
    .description('give a claimed task back')
    .argument('<task>')
    .action(async (id: string, _: object, command: Command) => {
      const context = await open(command)
      tell(context, await context.client.tasks.release(id), () => 'open again')
    })
  tasks
    .command('handoff')
    .description('hand a claimed task on')
    .argument('<task>')
    .requiredOption('--reason <text>')
    .option('--to <key>', 'name or id of an API key')
    .option('--capability <name>', 'what the next one must be able to do', several)
    .option('--context <json>', 'what the next one should know: JSON, @file or -')
    .action(async (id: string, flags: { reason: string; to?: string; capability?: string[]; context?: string }, command: Command) => {
      const context = await open(command)
      const { reason, to, capability } = flags
      const handed = flags.context === undefined ? {} : { context: await readJson(flags.context, context.terminal) }
      const body = { reason, ...(to !== undefined && { to }), ...(capability && { capabilities: capability }), ...handed }
      tell(context, await context.client.tasks.handoff(id, body), (task) => `handed to ${task.reservedFor ?? task.capabilities.join(' ')}`)
    })
}

function addEndCommands(tasks: Command, open: Open): void {
  tasks
    .command('complete')
    .description('end a claimed task')
    .argument('<task>')
    .option('--output <json>', 'what the step gives: JSON, @file or -', 'null')
    .action(async (id: string, flags: { output: string }, command: Command) => {
      const context = await open(command)
      tell(context, await context.client.tasks.complete(id, await readJson(flags.output, context.terminal)), () => 'completed')
    })
  tasks
    .command('fail')
    .description('say that a claimed task cannot be done')
    .argument('<task>')
    .requiredOption('--message <text>')
    .option('--code <code>', 'of the error')
    .option('--no-retry', 'the step is not to try again')
    .action(async (id: string, flags: { message: string; code?: string; retry: boolean }, command: Command) => {
      const context = await open(command)
      const { message, code, retry } = flags
      const failure = { error: { message, ...(code !== undefined && { code }) }, retryable: retry }
      tell(context, await context.client.tasks.fail(id, failure), (task) => `failed (${task.error?.code})`)
    })
}

async function list(context: CommandContext, flags: ListFlags): Promise<void> {
  const query = {
    ...(!flags.all && { status: ['open', 'claimed'] as const }),
    ...(flags.capability && { capability: flags.capability }),
    ...(flags.run && { run: flags.run }),
  }
  const tasks = await collect(context.client.tasks.list(query, { signal: context.terminal.signal }))
  context.print(tasks, () => {
    const rows = tasks.map((task) => [
      task.id,
      paintStatus(task.status, context.paint),
      brief(task.capabilities.join(' '), 40),
      String(task.priority),
      task.claimedBy ?? task.reservedFor ?? '',
      task.progress?.percent == null ? '' : `${task.progress.percent} %`,
      ago(task.createdAt),
      task.run,
    ])
    return formatTable(['TASK', 'STATUS', 'CAPABILITIES', 'PRIORITY', 'HOLDER', 'DONE', 'AGE', 'RUN'], rows, context.paint)
  })
}

async function claim(context: CommandContext, id: string | undefined, capabilities: string[] | undefined): Promise<void> {
  if ((id === undefined) === (capabilities === undefined)) throw new UsageError('name a task, or what you can do with --capability')
  const task = id === undefined ? await context.client.tasks.claimNext(capabilities!) : await context.client.tasks.claim(id)
  if (task) return tell(context, task, (claimed) => `yours until ${claimed.leaseUntil}; its payload: ${JSON.stringify(claimed.payload)}`)
  context.print(null, () => 'No open task asks for no more than that\n')
}

function tell(context: CommandContext, task: Task, say: (task: Task) => string): void {
  context.print(task, () => `${task.id} is ${say(task)}\n`)
}
