/** `baton workflows …` */
import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { BatonProblem, type WorkflowSaved } from '@baton/client'
import type { Command } from 'commander'
import { parseDocument, stringify } from 'yaml'
import { collect } from './collect.ts'
import { explainProblem, PartlyFailed, placeLine, UsageError } from './exit-codes.ts'
import type { Open } from './run-cli.ts'
import { ago, brief, formatTable } from './table.ts'
import type { CommandContext } from './terminal.ts'

/** Adds the commands. */
export function addWorkflowCommands(program: Command, open: Open): void {
  const workflows = program.command('workflows').alias('workflow').description('save, look at and check definitions')
  workflows
    .command('push')
    .description('save definitions; the name is that in the file, else the name of the file')
    .argument('<files...>', 'YAML or JSON')
    .option('--tag <tag>', 'point this tag at the saved version')
    .action(async (files: string[], options: { tag?: string }, command: Command) => push(await open(command), files, options.tag))
  workflows
    .command('list')
    .description('all workflows')
    .action(async (_options: unknown, command: Command) => list(await open(command)))
  workflows
    .command('show')
    .description('a definition, as YAML')
    .argument('<name>')
    .option('--version-number <n>', 'another version than the highest', wholeNumber)
    .action(async (name: string, options: { versionNumber?: number }, command: Command) =>
      show(await open(command), name, options.versionNumber),
    )
  workflows
    .command('validate')
    .description('check definitions and save nothing')
    .argument('<files...>', 'YAML or JSON')
    .action(async (files: string[], _options: unknown, command: Command) => validate(await open(command), files))
}

async function push(context: CommandContext, files: readonly string[], tag: string | undefined): Promise<void> {
  const saved: WorkflowSaved[] = []
  let failed = false
  for (const file of files) {
    const text = await readDefinition(context, file)
    try {
      const answer = await context.client.workflows.put(nameOf(file, text), text, { signal: context.terminal.signal })
      if (tag !== undefined) await context.client.workflows.tag(answer.name, tag, answer.version)
      saved.push(answer)
      for (const warning of answer.warnings) context.terminal.err(`${file}: warning\n${placeLine(warning)}`)
    } catch (err) {
      if (!(err instanceof BatonProblem) || err.status === 401) throw err
      context.terminal.err(`${file}: ${explainProblem(err)}`)
      failed = true
    }
  }
  context.print(saved, () => saved.map(({ name, version }) => `${name} is at version ${version}${tag ? ` (${tag})` : ''}\n`).join(''))
  if (failed) throw new PartlyFailed()
}

/** The name inside the file, else that of the file; what does not parse is for Baton to explain. */
function nameOf(file: string, text: string): string {
  const name: unknown = parseDocument(text, { logLevel: 'silent' }).get?.('name')
  return typeof name === 'string' ? name : basename(file).replace(/\.(ya?ml|json)$/i, '')
}

async function list(context: CommandContext): Promise<void> {
  const workflows = await collect(context.client.workflows.list({ signal: context.terminal.signal }))
  context.print(workflows, () => {
    const rows = workflows.map(({ name, version, tags, updatedAt, description }) => [
      name,
      String(version),
      Object.entries(tags)
        .map(([tag, at]) => `${tag}=${at}`)
        .join(' '),
      ago(updatedAt),
      brief(description ?? '', 60),
    ])
    return formatTable(['NAME', 'VERSION', 'TAGS', 'SAVED', 'DESCRIPTION'], rows, context.paint)
  })
}

async function show(context: CommandContext, name: string, version: number | undefined): Promise<void> {
  const { workflows } = context.client
  const workflow = version === undefined ? await workflows.get(name) : await workflows.version(name, version)
  context.print(workflow, () => `# ${workflow.name}, version ${workflow.version}, ${workflow.checksum}\n${stringify(workflow.definition)}`)
}

async function validate(context: CommandContext, files: readonly string[]): Promise<void> {
  const answers: object[] = []
  let failed = false
  for (const file of files) {
    const text = await readDefinition(context, file)
    try {
      const { valid, errors, warnings } = await context.client.workflows.validate(text, { signal: context.terminal.signal })
      answers.push({ file, valid, errors, warnings })
      failed ||= !valid
      if (context.json) continue
      context.terminal.out(`${file}: ${valid ? 'valid' : `${errors.length} error${errors.length === 1 ? '' : 's'}`}\n`)
      context.terminal.out(
        errors.map(placeLine).join('') +
          warnings.map((warning) => placeLine({ ...warning, message: `warning: ${warning.message}` })).join(''),
      )
    } catch (err) {
      if (!(err instanceof BatonProblem) || err.status === 401) throw err
      failed = true
      answers.push({ file, valid: false, errors: err.errors, warnings: [] })
      if (!context.json) context.terminal.err(`${file}: ${explainProblem(err)}`)
    }
  }
  context.print(answers, () => '')
  if (failed) throw new PartlyFailed()
}

async function readDefinition(context: CommandContext, file: string): Promise<string> {
  return readFile(resolve(context.terminal.cwd, file), 'utf8').catch((err: Error) => {
    throw new UsageError(`${file} cannot be read: ${err.message}`)
  })
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`not a whole number: ${text}`)
  return Number(text)
}
