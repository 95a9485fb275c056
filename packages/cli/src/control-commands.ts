/** `baton runs cancel`, `pause`, `resume` and `patch`. */
import type { PatchOperation, Run } from '@baton/client'
import type { Command } from 'commander'
import { eachRun } from './each-run.ts'
import { UsageError } from './exit-codes.ts'
import { readJson } from './read-json.ts'
import type { Open } from './run-cli.ts'
import type { CommandContext } from './terminal.ts'

interface Move {
  verb: 'cancel' | 'pause' | 'resume'
  about: string
  /** What the run is. An accepted move is answered before the run has made it. */
  say(run: Run): string
}
interface PatchFlags {
  definition?: string
  operations?: string
  expected?: number
}

const MOVES: readonly Move[] = [
  {
    verb: 'cancel',
    about: 'end runs: nothing new starts',
    say: ({ status }) => (status === 'cancelled' ? 'cancelled' : 'being cancelled'),
  },
  {
    verb: 'pause',
    about: 'hold runs: nothing new starts until they are resumed',
    say: ({ status }) => (status === 'paused' ? 'paused' : 'being paused'),
  },
  {
    verb: 'resume',
    about: 'let paused runs go on',
    say: ({ status }) => (status === 'paused' ? 'being resumed' : status),
  },
]

/** Adds the commands to those on runs. */
export function addControlCommands(runs: Command, open: Open, wholeNumber: (text: string) => number): void {
  for (const one of MOVES) {
    runs
      .command(one.verb)
      .description(one.about)
      .argument('<runs...>')
      .action(async (ids: string[], _flags: unknown, command: Command) => move(await open(command), ids, one))
  }
  runs
    .command('patch')
    .description('change the definition that a run executes, as far as it has not begun')
    .argument('<run>')
    .option('--definition <json>', 'the whole of the new one: JSON, @file with JSON or YAML, or - for stdin')
    .option('--operations <json>', 'a JSON Patch (RFC 6902) of the old one: JSON, @file with JSON or YAML, or - for stdin')
    .option('--expected <n>', "refuse unless this is the definition's version; default: what it is now", wholeNumber)
    .action(async (id: string, flags: PatchFlags, command: Command) => patch(await open(command), id, flags))
}

async function move(context: CommandContext, ids: readonly string[], { verb, say }: Move): Promise<void> {
  const { signal } = context.terminal
  const act = (id: string) => context.client.runs[verb](id, { signal })
  await eachRun(context, ids, act, (run) => `is ${say(run)}`)
}

async function patch(context: CommandContext, id: string, flags: PatchFlags): Promise<void> {
  const { runs } = context.client
  const { signal } = context.terminal
  const operations = await readOperations(context, flags)
  const expected = flags.expected ?? (await runs.definition(id, { signal })).definitionVersion
  const patched = await runs.patchDefinition(id, operations, { expected, signal })
  const { definitionVersion: version } = patched
  const sentence = version === expected ? `keeps version ${version} of its definition: nothing changed` : `goes on by version ${version}`
  context.print(patched, () => `${id} ${sentence}\n`)
}

/** A whole definition takes the place of the old one; Baton looks only at what differs. */
async function readOperations(context: CommandContext, { definition, operations }: PatchFlags): Promise<PatchOperation[]> {
  if ((definition === undefined) === (operations === undefined)) {
    throw new UsageError('give the whole --definition, or --operations that change it')
  }
  if (definition !== undefined) return [{ op: 'replace', path: '', value: await readJson(definition, context.terminal) }]
  return (await readJson(operations!, context.terminal)) as PatchOperation[]
}
