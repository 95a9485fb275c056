/** `baton schedules …`, `baton triggers …` and `baton events …` */
import type { NewEvent, NewSchedule, NewTrigger, Schedule, Trigger, TriggerSaved } from '@baton/client'
import type { Command } from 'commander'
import { UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import { addReading } from './reading-commands.ts'
import type { Open } from './run-cli.ts'
import { ago, brief } from './table.ts'
import type { CommandContext } from './terminal.ts'

interface ScheduleFlags {
  body?: string
  cron?: string
  timezone?: string
  workflow?: string
  tag?: string
  input?: string
  catchUp?: string
  disabled?: boolean
}
interface EventFlags {
  body?: string
  type?: string
  source: string
  subject?: string
  data?: string
  id?: string
}

const BODY = 'all of it: JSON, @file with JSON or YAML, or - for stdin'
const RUNS_GO_ON = 'the runs that they started go on'

/** Adds the commands. */
export function addTriggerCommands(program: Command, open: Open): void {
  addScheduleCommands(program, open)
  const triggers = program.command('triggers').alias('trigger').description('what starts runs: webhooks and events')
  triggers
    .command('put')
    .description('make or change a trigger; the address of a new webhook is shown this once')
    .argument('<name>')
    .requiredOption('--body <json>', BODY)
    .action(async (name: string, flags: { body: string }, command: Command) => putTrigger(await open(command), name, flags.body))
  triggers
    .command('rotate')
    .description('give a webhook another address; the old one is unknown from now on')
    .argument('<name>')
    .action(async (name: string, _flags: unknown, command: Command) => {
      const context = await open(command)
      showTrigger(context, await context.client.triggers.rotate(name), 'has another address')
    })
  addReading(triggers, open, {
    what: 'trigger',
    of: ({ client }) => client.triggers,
    heading: TRIGGER_HEADING,
    row: triggerRow,
    rest: RUNS_GO_ON,
  })
  program
    .command('events')
    .alias('event')
    .description('events from outside')
    .command('post')
    .description('send an event, or those of --body, accepted together or not at all')
    .option('--type <type>')
    .option('--subject <text>')
    .option('--data <json>', 'JSON, @file with JSON or YAML, or - for stdin')
    .option('--source <uri>', 'where it comes from', '/cli')
    .option('--id <id>', 'sent again with the same source, it does nothing; default: a new one')
    .option('--body <json>', 'CloudEvents, one or a list: JSON, @file with JSON or YAML, or - for stdin')
    .action(async (flags: EventFlags, command: Command) => postEvents(await open(command), flags))
}

function addScheduleCommands(program: Command, open: Open): void {
  const schedules = program.command('schedules').alias('schedule').description('what starts runs by the clock')
  schedules
    .command('put')
    .description('make or change a schedule; options go before what --body says')
    .argument('<name>')
    .option('--cron <pattern>', 'five fields, or six with seconds first; @hourly and the like')
    .option('--workflow <name>')
    .option('--timezone <zone>', 'IANA time zone; default UTC')
    .option('--tag <tag>', 'the version that this tag points at')
    .option('--input <json>', 'may hold ${{ schedule.slot }}: JSON, @file with JSON or YAML, or - for stdin')
    .option('--catch-up <skip|last|all>', 'what becomes of slots that nobody could fire; default skip')
    .option('--disabled', 'keep it, and fire no slots')
    .option('--body <json>', BODY)
    .action(async (name: string, flags: ScheduleFlags, command: Command) => putSchedule(await open(command), name, flags))
  addReading(schedules, open, {
    what: 'schedule',
    of: ({ client }) => client.schedules,
    heading: SCHEDULE_HEADING,
    row: scheduleRow,
    rest: RUNS_GO_ON,
  })
}

const SCHEDULE_HEADING = ['NAME', 'WORKFLOW', 'CRON', 'ZONE', 'NEXT', 'LAST RUN', 'ERROR']

function scheduleRow({ name, workflow, cron, timezone, enabled, nextAt, lastRun, lastError }: Schedule): string[] {
  return [name, workflow, cron, timezone, enabled ? (nextAt ?? 'never') : 'off', lastRun ?? '–', brief(lastError?.message ?? '', 60)]
}

const TRIGGER_HEADING = ['NAME', 'TYPE', 'WORKFLOW', 'STATE', 'SAVED', 'ERROR']

function triggerRow(trigger: Trigger): string[] {
  const { name, type, workflow, enabled, updatedAt, lastError } = trigger
  const what = type === 'event' ? `event ${trigger.event}` : type
  return [name, what, workflow, enabled ? 'on' : 'off', ago(updatedAt), brief(lastError?.message ?? '', 60)]
}

async function putSchedule(context: CommandContext, name: string, { body, disabled, input, ...flags }: ScheduleFlags): Promise<void> {
  const given = body === undefined ? {} : await readObject(context, body)
  const mapped = input === undefined ? {} : { input: await readJson(input, context.terminal) }
  const schedule = { ...given, ...flags, ...mapped, ...(disabled ? { enabled: false } : {}) } as NewSchedule
  const saved = await context.client.schedules.put(name, schedule)
  context.print(saved, () => `${name} starts ${saved.workflow} ${saved.nextAt === null ? 'at no time' : `next at ${saved.nextAt}`}\n`)
}

async function putTrigger(context: CommandContext, name: string, body: string): Promise<void> {
  const saved = await context.client.triggers.put(name, (await readObject(context, body)) as NewTrigger)
  showTrigger(context, saved, `starts ${saved.workflow}`)
}

function showTrigger(context: CommandContext, saved: TriggerSaved, sentence: string): void {
  const url = 'url' in saved && saved.url !== undefined ? `; deliveries go to ${saved.url}, which is shown this once` : ''
  context.print(saved, () => `${saved.name} ${sentence}${url}\n`)
}

async function postEvents(context: CommandContext, { body, data, type, ...flags }: EventFlags): Promise<void> {
  if ((body === undefined) === (type === undefined)) throw new UsageError('give --type of one event, or --body with whole ones')
  const one = async () => ({ ...flags, type: type!, ...(data === undefined ? {} : { data: await readJson(data, context.terminal) }) })
  const events = body === undefined ? await one() : await readJson(body, context.terminal)
  const accepted = await context.client.events.post(events as NewEvent | NewEvent[])
  context.print(accepted, () => `${accepted.accepted} accepted, ${accepted.duplicates} seen before\n`)
}

async function readObject(context: CommandContext, text: string): Promise<object> {
  const value = await readJson(text, context.terminal)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new UsageError('--body must be an object')
}
