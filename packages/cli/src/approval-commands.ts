/** `baton approvals …` */
import type { Approval, Json } from '@baton/client'
import type { Command } from 'commander'
import { collect } from './collect.ts'
import { UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import type { Open } from './run-cli.ts'
import { ago, brief, formatTable, paintStatus } from './table.ts'
import type { CommandContext } from './terminal.ts'

interface DecideFlags {
  comment?: string
  data?: string
}

/** Adds the commands. */
export function addApprovalCommands(program: Command, open: Open): void {
  const approvals = program.command('approvals').alias('approval').description('questions put to people')
  approvals
    .command('list')
    .description('pending approvals')
    .option('--all', 'also those that are over')
    .option('--mine', 'only those that this key may decide')
    .option('--run <run>')
    .action(async (flags: { all?: boolean; mine?: boolean; run?: string }, command: Command) => list(await open(command), flags))
  const vote = (name: string, description: string, choose: (approval: Approval) => string) =>
    approvals
      .command(name)
      .description(description)
      .argument('<approval>')
      .option('--comment <text>')
      .option('--data <json>', 'answers to its form: JSON, @file or -')
      .action(async (id: string, flags: DecideFlags, command: Command) => decide(await open(command), id, choose, flags))
  vote('approve', 'vote for the option that approves', (approval) => optionOf(approval, 'approves', 'approve'))
  vote('reject', 'vote for the option that rejects', (approval) => optionOf(approval, 'rejects', 'reject'))
  approvals
    .command('decide')
    .description('vote for any option')
    .argument('<approval>')
    .argument('<option>')
    .option('--comment <text>')
    .option('--data <json>', 'answers to its form: JSON, @file or -')
    .action(async (id: string, option: string, flags: DecideFlags, command: Command) =>
      decide(await open(command), id, () => option, flags),
    )
}

async function list(context: CommandContext, flags: { all?: boolean; mine?: boolean; run?: string }): Promise<void> {
  const query = {
    ...(!flags.all && { status: 'pending' as const }),
    ...(flags.mine && { assignee: 'me' }),
    ...(flags.run && { run: flags.run }),
  }
  const approvals = await collect(context.client.approvals.list(query, { signal: context.terminal.signal }))
  context.print(approvals, () => {
    const rows = approvals.map((approval) => [
      approval.id,
      paintStatus(approval.decision ?? approval.status, context.paint),
      brief(approval.title, 60),
      approval.assignees.join(' '),
      ago(approval.createdAt),
      approval.run,
    ])
    return formatTable(['APPROVAL', 'STATUS', 'TITLE', 'ASSIGNEES', 'AGE', 'RUN'], rows, context.paint)
  })
}

async function decide(context: CommandContext, id: string, choose: (approval: Approval) => string, flags: DecideFlags): Promise<void> {
  const data: Json | undefined = flags.data === undefined ? undefined : await readJson(flags.data, context.terminal)
  const decision = choose(await context.client.approvals.get(id))
  const body = { decision, ...(flags.comment !== undefined && { comment: flags.comment }), ...(data !== undefined && { data }) }
  const approval = await context.client.approvals.decide(id, body)
  context.print(approval, () => {
    const state = approval.status === 'pending' ? 'more votes are needed' : `decided: ${approval.decision}`
    return `Voted ${decision} on "${approval.title}"; ${state}\n`
  })
}

function optionOf(approval: Approval, flag: 'approves' | 'rejects', name: string): string {
  const option = approval.options.find((one) => one[flag] === true) ?? approval.options.find((one) => one.id === name)
  if (option !== undefined) return option.id
  throw new UsageError(
    `no option of it ${flag}: use \`baton approvals decide ${approval.id} <${approval.options.map((one) => one.id).join('|')}>\``,
  )
}
