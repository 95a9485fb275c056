/** `list`, `get` and `delete` of things that have names: schedules, triggers, variables. */
import type { Command } from 'commander'
import { collect } from './collect.ts'
import type { Open } from './run-cli.ts'
import { formatTable } from './table.ts'
import type { CommandContext } from './terminal.ts'

interface Calls<T> {
  list(options: { signal: AbortSignal }): AsyncIterable<T>
  get(name: string): Promise<T>
  delete(name: string): Promise<void>
}

/** What the commands read. */
export interface Reading<T> {
  what: string
  of(context: CommandContext): Calls<T>
  heading: string[]
  row(one: T): string[]
  /** What goes on once it is deleted. */
  rest: string
}

/** Adds the commands to a group. */
export function addReading<T>(group: Command, open: Open, { what, of, heading, row, rest }: Reading<T>): void {
  group
    .command('list')
    .description(`all ${what}s`)
    .action(async (_flags: unknown, command: Command) => {
      const context = await open(command)
      const all = await collect(of(context).list({ signal: context.terminal.signal }))
      context.print(all, () => formatTable(heading, all.map(row), context.paint))
    })
  group
    .command('get')
    .alias('show')
    .description(`a ${what}, as JSON`)
    .argument('<name>')
    .action(async (name: string, _flags: unknown, command: Command) => {
      const context = await open(command)
      const one = await of(context).get(name)
      context.print(one, () => `${JSON.stringify(one, null, 2)}\n`)
    })
  group
    .command('delete')
    .description(`${what}s by their names; ${rest}`)
    .argument('<names...>')
    .action(async (names: string[], _flags: unknown, command: Command) => {
      const context = await open(command)
      for (const name of names) await of(context).delete(name)
      context.print(names, () => names.map((name) => `${name} is deleted\n`).join(''))
    })
}
