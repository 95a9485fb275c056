/** `baton …` in this process, against a stub of Baton. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type StubAnswer, type StubRequest, stubServer } from '@baton/testing'
import type { Test } from 'tap'
import { runCli } from '../src/run-cli.ts'

/** Runs `baton …` against a stub; its HOME is empty but for what the test puts there. */
export async function bench(t: Test, handler?: (request: StubRequest, index: number) => StubAnswer) {
  // Not below the checkout, whose own .env would be found.
  const home = await mkdtemp(join(tmpdir(), 'baton-cli-'))
  t.teardown(() => rm(home, { recursive: true }))
  const server = await stubServer(t, handler)
  const output = { out: '', err: '' }
  const baton = (args: string[], options: { env?: NodeJS.ProcessEnv; stdin?: string; cwd?: string } = {}) => {
    output.out = output.err = ''
    return runCli(args, {
      env: { HOME: home, BATON_URL: server.url, BATON_KEY: 'k', ...options.env },
      cwd: options.cwd ?? home,
      isTty: false,
      columns: 120,
      stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
      out: (text) => {
        output.out += text
      },
      err: (text) => {
        output.err += text
      },
      signal: new AbortController().signal,
    })
  }
  return { home, server, output, baton }
}
