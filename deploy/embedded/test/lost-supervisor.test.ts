/** Nothing of a stack outlives what could stop it: its record, its folder, the end of its supervisor. */
import { spawn } from 'node:child_process'
import { existsSync, renameSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { isAlive, recordedProcess, recordedProcesses, signalProcess } from '../src/process-identity.ts'
import { SUPERVISOR } from '../src/run-supervisor.ts'
import { waitUntil } from '../src/stop-process.ts'
import { ONE_SERVICE, standInCheckout } from './stand-in-checkout.ts'
import { temporaryFolder } from './temporary-folder.ts'

const UP = resolve(import.meta.dirname, '../src/up.ts')

test('a stack whose folder was moved away or removed ends, and does not make it again', { timeout: 60_000 }, async (t) => {
  const aside = join(temporaryFolder(t), 'aside')
  const { paths, run } = await standInCheckout(t, ONE_SERVICE)
  t.match(await run('up'), { code: 0 })
  const everything = recordedProcesses(paths.pids)
  t.same([...everything.keys()].sort(), ['fanout', 'postgres', 'redis', SUPERVISOR])
  renameSync(paths.local, aside)
  // as long as PostgreSQL may take to end without its folder
  t.ok(await waitUntil(() => [...everything.values()].every((identity) => !isAlive(identity)), 45_000))
  t.notOk(existsSync(paths.local))
  renameSync(aside, paths.local)
  t.match(await run('up'), { code: 0 }, 'moved back, it starts again')
})

test('a supervisor that is told twice to stop leaves nothing behind', { timeout: 60_000 }, async (t) => {
  const { paths, run } = await standInCheckout(t, ONE_SERVICE)
  t.match(await run('up'), { code: 0 })
  const everything = recordedProcesses(paths.pids)
  const supervisor = everything.get(SUPERVISOR)!
  signalProcess(supervisor, 'SIGTERM')
  t.ok(await waitUntil(() => !recordedProcess(paths.pids, 'fanout'), 30_000, 1), 'it is stopping')
  signalProcess(supervisor, 'SIGTERM')
  t.ok(await waitUntil(() => !isAlive(supervisor), 60_000))
  for (const [name, identity] of everything) t.equal(isAlive(identity), false, `${name} is gone`)
})

/** Keeps the supervisor, and no other program, from ever running its first line. */
const HELD = `data:text/javascript,${encodeURIComponent(
  "if (process.argv[1]?.endsWith('supervisor.ts')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
)}`

test('make up that is interrupted before its supervisor has begun leaves none', { timeout: 60_000 }, async (t) => {
  const { env, paths } = await standInCheckout(t, { ...ONE_SERVICE, NODE_OPTIONS: `--import=${HELD}` })
  const up = spawn(process.execPath, ['--conditions=@baton/source', UP], { env, stdio: 'ignore' })
  const ended = new Promise((done) => up.once('exit', done))
  t.ok(await waitUntil(() => recordedProcess(paths.pids, SUPERVISOR) !== undefined, 30_000, 5), 'it can be found')
  const supervisor = recordedProcess(paths.pids, SUPERVISOR)!
  up.kill('SIGTERM')
  t.equal(await ended, 130)
  t.equal(isAlive(supervisor), false)
})
