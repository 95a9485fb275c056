/**
 * Runs the tests of the whole repository: `node packages/testing/src/run-tests.ts [file or folder …]`. All files share one PostgreSQL
 * (that of DATABASE_URL, else one that is started here) and one redis-server program. One line for each file, failures in full, and at the
 * end `N passed, N failed, N skipped`; the exit code is 1 when anything failed. Nothing that it started outlives it: temporary folders of the
 * tests lie in one that goes with this process, and a stack ends when its folder does.
 */
import { execFile } from 'node:child_process'
import { existsSync, globSync, mkdirSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { bringRedisServer, StackProblem } from '@baton/embedded'
import { guardedFolder } from './guard-process.ts'
import { type Counts, type RunningFile, runFile } from './run-file.ts'
import { engineAnswers, startPostgresContainer } from './start-container.ts'
import { startPostgres } from './start-postgres.ts'

const ROOT = resolve(import.meta.dirname, '../../..')
const PLACES = ['packages/*/test', 'services/*/test', 'deploy/embedded/test', 'examples/test', 'bench/test', 'docs/test']

/** Files at a time: most of them start services, and two keep two cores busy. */
const JOBS = 2
/** From more files on, services are bundled first: it takes the CPU time of twenty starts from their sources. */
const FILES_WITHOUT_BUNDLES = 12
/** What one file may take. */
const TIMEOUT_S = 240

const say = (sentence: string) => console.log(sentence)

function findTests(chosen: string[]): string[] {
  const inFolder = (folder: string) => globSync(`${folder}/**/*.test.ts`, { cwd: ROOT, exclude: (name) => name === 'node_modules' })
  if (chosen.length === 0) return PLACES.flatMap(inFolder).sort()
  const missing = chosen.filter((path) => !existsSync(resolve(ROOT, path)))
  if (missing.length > 0)
    throw new StackProblem(`There is no ${missing.join(' and no ')} (paths are taken from the root of the repository).`)
  return chosen.flatMap((path) => (statSync(resolve(ROOT, path)).isDirectory() ? inFolder(path) : [path]))
}

/** What the test files are given: a server for their databases, and the redis-server that they start themselves. */
async function prepare(fileCount: number): Promise<{ env: NodeJS.ProcessEnv; stop(): Promise<void> }> {
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter) }
  mkdirSync(join(ROOT, '.local/redis'), { recursive: true })
  env['BATON_REDIS_SERVER'] ||= await bringRedisServer(join(ROOT, '.local/redis/programs'), say).catch((error) => {
    if (env['REDIS_URL']) return '' // tests can borrow databases of that one
    throw error
  })
  const folder = guardedFolder(tmpdir())
  env['TMPDIR'] = folder.path
  // Services are started by the hundred: what is stripped and compiled once need not be again.
  env['NODE_COMPILE_CACHE'] ||= join(ROOT, '.local/compile-cache')
  if (fileCount > FILES_WITHOUT_BUNDLES) await bundleServices(folder.path, env)
  if (env['DATABASE_URL']) return { env, stop: folder.remove }
  const server = await startServer()
  env['DATABASE_URL'] = server.url
  return { env, stop: () => server.stop().then(folder.remove) }
}

/** The bundles lie elsewhere in each run, and so does what is compiled of them: kept, it would only pile up. */
async function bundleServices(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  env['BATON_TEST_BUNDLES'] = join(folder, 'services')
  env['NODE_COMPILE_CACHE'] = join(folder, 'compile-cache')
  await promisify(execFile)(process.execPath, ['deploy/bundle.ts', `--to=${env['BATON_TEST_BUNDLES']}`], { cwd: ROOT })
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

/** Runs the files, so many at a time, and tells each one's outcome when it ends. `end` ends those that run and starts no more. */
function runAll(files: string[], options: { env: NodeJS.ProcessEnv; jobs: number; timeoutMs: number }) {
  const left = [...files]
  const running = new Set<RunningFile>()
  const sum: Counts = { pass: 0, fail: 0, skip: 0, todo: 0 }

  async function work(): Promise<void> {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      const started = runFile(file, { cwd: ROOT, ...options })
      running.add(started)
      const { ok, counts, durationMs, failures } = await started.ended
      running.delete(started)
      say(`${ok ? 'ok  ' : 'FAIL'} ${file}   ${(durationMs / 1_000).toFixed(1)} s`)
      for (const failure of failures) say(failure)
      for (const name of ['pass', 'fail', 'skip', 'todo'] as const) sum[name] += counts[name]
    }
  }

  const end = (signal: NodeJS.Signals) => {
    left.length = 0
    for (const file of running) file.end(signal)
  }
  return { counts: Promise.all(Array.from({ length: options.jobs }, work)).then(() => sum), end }
}

async function main(): Promise<number> {
  const files = findTests(process.argv.slice(2))
  say(`Running ${files.length} test files …`)
  const { env, stop } = await prepare(files.length)
  const timeoutMs = Number(process.env['TAP_TIMEOUT'] || TIMEOUT_S) * 1_000
  const { counts, end } = runAll(files, { env, jobs: Number(process.env['TAP_JOBS'] || JOBS), timeoutMs })
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (interrupted) return // a second signal must not end what the first one made them do to leave in order
      interrupted = true
      end('SIGTERM')
      setTimeout(end, 5_000, 'SIGKILL').unref()
    })
  }
  const { pass, fail, skip, todo } = await counts
  await stop()
  if (interrupted) say('interrupted')
  const failed = fail || (interrupted ? 1 : 0)
  say(`\n${pass} passed, ${failed} failed, ${skip + todo} skipped`)
  return failed === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof StackProblem ? error.message : error)
  say('0 passed, 1 failed, 0 skipped')
  process.exitCode = 1
}
