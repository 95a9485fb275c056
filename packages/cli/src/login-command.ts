/** `baton login`: checks a key and stores it. */
import { createInterface } from 'node:readline/promises'
import { createClient } from '@baton/client'
import type { Command } from 'commander'
import { type Connection, type ConnectionFlags, storeConnection } from './connection.ts'
import { UsageError } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** Adds the command. */
export function addLoginCommand(program: Command, terminal: Terminal): void {
  program
    .command('login')
    .description('check a key and store it with its URL in ~/.config/baton/config.json')
    .action(async (_options: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ConnectionFlags & { json?: boolean }>()
      const { env } = terminal
      const url = flags.url ?? (env['BATON_URL'] || 'http://localhost:8081')
      if (!URL.canParse(url)) throw new UsageError(`not a URL: ${url}`)
      const key = flags.key ?? (env['BATON_KEY'] || env['BATON_ADMIN_KEY'] || (await askKey(terminal)))
      const { fanoutUrl, namespace } = flags
      const connection: Connection = { url, key, ...(fanoutUrl && { fanoutUrl }), ...(namespace && { namespace }) }
      // Any read will do; it stops at the first page.
      await createClient(connection).workflows.list({ pageSize: 1, signal: terminal.signal }).next()
      const path = await storeConnection(connection, terminal)
      terminal.out(flags.json ? `${JSON.stringify({ url, path })}\n` : `Logged in to ${url}; stored in ${path}\n`)
    })
}

/** Typed without being shown on a terminal; else the first line of what is piped in. */
async function askKey(terminal: Terminal): Promise<string> {
  const { stdin } = terminal
  if (stdin.isTTY) terminal.err('API key (not shown): ')
  const lines = createInterface({ input: stdin, terminal: stdin.isTTY === true, signal: terminal.signal })
  try {
    for await (const line of lines) {
      if (line.trim() !== '') return line.trim()
    }
  } finally {
    lines.close()
    if (stdin.isTTY) terminal.err('\n')
  }
  throw new UsageError('no API key: give --key, set BATON_KEY, or pipe it in')
}
