/** `baton vars …` */
import type { VarInfo } from '@baton/client'
import type { Command } from 'commander'
import { readJson } from './read-json.ts'
import { addReading } from './reading-commands.ts'
import type { Open } from './run-cli.ts'
import { ago, brief } from './table.ts'
import type { CommandContext } from './terminal.ts'

/** Adds the commands. */
export function addVarCommands(program: Command, open: Open): void {
  const vars = program.command('vars').alias('var').description('variables, which expressions read as vars.<NAME>')
  vars
    .command('set')
    .description('make or change a variable; steps that are scheduled from now on read it')
    .argument('<name>')
    .argument('<value>', 'JSON, @file with JSON or YAML, or - for stdin')
    .option('--text', 'the value is a text as it stands')
    .action(async (name: string, value: string, flags: { text?: boolean }, command: Command) =>
      set(await open(command), name, value, flags.text === true),
    )
  addReading(vars, open, {
    what: 'variable',
    of: ({ client }) => client.vars,
    heading: ['NAME', 'VALUE', 'SAVED'],
    row: ({ name, value, updatedAt }: VarInfo) => [name, brief(JSON.stringify(value), 80), ago(updatedAt)],
    rest: 'steps that were scheduled before keep what they read',
  })
}

async function set(context: CommandContext, name: string, value: string, isText: boolean): Promise<void> {
  const saved = await context.client.vars.put(name, isText ? value : await readJson(value, context.terminal))
  context.print(saved, () => `${name} is ${brief(JSON.stringify(saved.value), 80)}\n`)
}
