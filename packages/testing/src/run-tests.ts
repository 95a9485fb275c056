/**
 * Runs the tests of the whole repository: `node packages/testing/src/run-tests.ts [file or folder …]`. All files share one PostgreSQL
 * (that of DATABASE_URL, else one that is started here) and one redis-server program. One line for each file, failures in full, and at the
 * end `N passed, N failed, N skipped`; the exit code is 1 when anything failed. Nothing that it started outlives it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdirSync, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { bringRedisServer, StackProblem } from '@baton/embedded'
import { engineAnswers, startPostgresContainer } from './start-container.ts'
import { startPostgres } from './start-postgres.ts'

const ROOT = resolve(import.meta.dirname, '../../..')
const PLACES = ['packages/*/test', 'services/*/test', 'deploy/embedded/test', 'examples/test', 'bench/test', 'docs/test']

type Counts = { pass: number; fail: number; skip: number; todo: number }

const say = (sentence: string) => console.log(sentence)

function findTests(chosen: string[]): string[] {
  const inFolder = (folder: string) => globSync(`${folder}/**/*.test.ts`, { cwd: ROOT, exclude: (name) => name === 'node_modules' })
  if (chosen.length === 0) return PLACES.flatMap(inFolder).sort()
  return chosen.flatMap((path) => (statSync(resolve(ROOT, path)).isDirectory() ? inFolder(path) : [path]))
}

/** What the test files are given: a server for their databases, and the redis-server that they start themselves. */
async function prepare(): Promise<{ env: NodeJS.ProcessEnv; stop(): Promise<void> }> {
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter) }
  // Services are started by the hundred: what is stripped and compiled once need not be again.
  env['NODE_COMPILE_CACHE'] ||= join(ROOT, '.local/compile-cache')
  mkdirSync(join(ROOT, '.local/redis'), { recursive: true })
  env['BATON_REDIS_SERVER'] ||= await bringRedisServer(join(ROOT, '.local/redis/programs'), say).catch((error) => {
    if (env['REDIS_URL']) return '' // tests can borrow databases of that one
    throw error
  })
  if (env['DATABASE_URL']) return { env, stop: async () => {} }
  const server = await startServer()
  env['DATABASE_URL'] = server.url
  return { env, stop: () => server.stop() }
}

/** A container where a Docker engine answers (BATON_TEST_SERVERS=embedded does without), else the PostgreSQL of the embedded stack. */
async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const embedded = () => startPostgres({ settings: { max_connections: '500' } })
  if (process.env['BATON_TEST_SERVERS'] === 'embedded' || !(await engineAnswers())) return embedded()
  try {
    const server = await startPostgresContainer()
    say('PostgreSQL runs in a container')
    return server
  } catch (error) {
    say(`PostgreSQL could not be started in a container (${(error as Error).message}); the embedded one is taken`)
    return embedded()
  }
}

/** tap in a process group of its own, so that a signal can end it with all that it started. */
function startTap(files: string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn('tap', ['run', '--reporter=tap', '--disable-coverage', ...files], {
    cwd: ROOT,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Reads tap's output line by line: tells each file's outcome when it ends, and resolves with the counts that tap prints last. */
async function report(tap: ChildProcess): Promise<Counts | undefined> {
  let block: string[] = []
  let counts: Counts | undefined
  for await (const line of createInterface({ input: tap.stdout! })) {
    const counted = /^# \{ total: .*\}$/.test(line)
    if (counted) counts = readCounts(line)
    const ended = /^(not )?ok \d+ - (.*?)(?: # (.*))?$/.exec(line)
    if (!ended) {
      block.push(line)
      continue
    }
    say(`${ended[1] ? 'FAIL' : 'ok  '} ${ended[2]}${ended[3] ? `   ${ended[3]}` : ''}`)
    if (ended[1]) for (const failure of failuresIn(block)) say(failure)
    block = []
  }
  return counts
}

function readCounts(line: string): Counts {
  const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(line)?.[1] ?? 0)
  return { pass: count('pass'), fail: count('fail'), skip: count('skip'), todo: count('todo') }
}

/** Each failed assertion of a file's output under the names of the tests around it, with its details. */
function failuresIn(block: string[]): string[] {
  const open: (string | undefined)[] = []
  const failures: string[] = []
  for (const [index, line] of block.entries()) {
    const depth = Math.floor((/^ */.exec(line)?.[0].length ?? 0) / 4)
    const opened = /^ *# Subtest: (.*)$/.exec(line)?.[1]
    if (opened !== undefined) open[depth] = opened
    const outcome = /^ *(not )?ok \d+ - (.*)$/.exec(line)
    if (!outcome) continue
    const name = outcome[2]!.replace(/ # time=.*$/, '')
    const closes = open[depth] === name
    if (closes) open[depth] = undefined
    else if (outcome[1] && !/ # (TODO|SKIP)/i.test(name))
      failures.push(`\n  ✖ ${[...open.slice(1, depth), name].join(' > ')}\n${detailsAfter(block, index)}`)
  }
  return failures.length > 0 ? failures : [block.slice(-40).join('\n')]
}

function detailsAfter(block: string[], index: number): string {
  if (block[index + 1]?.trim() !== '---') return ''
  const end = block.findIndex((line, at) => at > index && line.trim() === '...')
  return block
    .slice(index + 2, end)
    .map((line) => `    ${line.trimEnd()}`)
    .join('\n')
}

async function main(): Promise<number> {
  const files = findTests(process.argv.slice(2))
  say(`Running ${files.length} test files …`)
  const { env, stop } = await prepare()
  const tap = startTap(files, env)
  const exit = new Promise<number>((done) => tap.once('error', () => done(127)).once('exit', (code) => done(code ?? 1)))
  const end = (signal: NodeJS.Signals) => {
    try {
      if (tap.pid && tap.exitCode === null) process.kill(-tap.pid, signal)
    } catch {}
  }
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      interrupted = true
      end('SIGTERM')
      setTimeout(end, 5_000, 'SIGKILL').unref()
    })
  }
  const counts = (await report(tap)) ?? { pass: 0, fail: 0, skip: 0, todo: 0 }
  const code = await exit
  await stop()
  if (interrupted) say('interrupted')
  const failed = counts.fail || (code === 0 && !interrupted ? 0 : 1)
  say(`\n${counts.pass} passed, ${failed} failed, ${counts.skip + counts.todo} skipped`)
  return failed === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof StackProblem ? error.message : error)
  say('0 passed, 1 failed, 0 skipped')
  process.exitCode = 1
}
