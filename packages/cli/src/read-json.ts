/** Values given on the command line. */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Json } from '@baton/client'
import { parse } from 'yaml'
import { UsageError } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** JSON as it stands, `@file` with JSON or YAML, or `-` for what is piped in. */
export async function readJson(text: string, terminal: Terminal): Promise<Json> {
  if (text === '-') return parseText(await readAll(terminal.stdin), 'stdin')
  if (!text.startsWith('@')) return parseText(text, 'the value')
  const file = text.slice(1)
  const content = await readFile(resolve(terminal.cwd, file), 'utf8').catch((err: Error) => {
    throw new UsageError(`${file} cannot be read: ${err.message}`)
  })
  return /\.ya?ml$/i.test(file) ? parseText(content, file, parse) : parseText(content, file)
}

function parseText(text: string, what: string, parser: (text: string) => unknown = JSON.parse): Json {
  try {
    return parser(text) as Json
  } catch (err) {
    throw new UsageError(`${what} cannot be parsed: ${(err as Error).message}`)
  }
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer))
  return Buffer.concat(chunks).toString('utf8')
}
