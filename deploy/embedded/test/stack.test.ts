import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { readDotEnv } from '../src/dot-env.ts'
import { findFreePort, isPortFree } from '../src/ports.ts'
import { isAlive, recordedProcess, recordedProcesses } from '../src/process-identity.ts'
import { POSTGRES_PORT, REDIS_PORT, SERVICE_NAMES, SERVICES } from '../src/services.ts'
import { stackPaths } from '../src/stack-paths.ts'
import { readState } from '../src/stack-state.ts'
import { waitUntil } from '../src/stop-process.ts'
import { temporaryFolder } from './temporary-folder.ts'

const COMMANDS = resolve(import.meta.dirname, '../src')

/** Stands in for a service: serves /health, and 503 until the database lets it in. */
const STAND_IN = `
import { createServer } from 'node:http'
import { connect } from 'node:net'
const { port, hostname } = new URL(process.env.DATABASE_URL)
const server = createServer((request, response) => {
  const socket = connect(Number(port), hostname)
  socket.once('connect', () => { socket.destroy(); response.end('{"status":"ok"}') })
  socket.once('error', () => { response.statusCode = 503; response.end('{"status":"down"}') })
})
server.listen(Number(process.env.PORT), process.env.HOST)
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)) })
`

type Teardown = { teardown(action: () => unknown): void }

/** A checkout with stand-ins for the services, on ports that are free now. */
async function standInCheckout(t: Teardown) {
  const root = temporaryFolder(t)
  for (const service of SERVICE_NAMES) {
    mkdirSync(join(root, 'services', service, 'src'), { recursive: true })
    writeFileSync(join(root, 'services', service, 'src', 'main.ts'), STAND_IN)
  }
  const portOffset = await freeOffset()
  const env = { PATH: process.env['PATH'], HOME: root, BATON_STACK_ROOT: root, BATON_MODE: 'local', BATON_PORT_OFFSET: String(portOffset) }
  const run = (command: string, more: Record<string, string> = {}) => runCommand(join(COMMANDS, `${command}.ts`), { ...env, ...more })
  t.teardown(() => run('down'))
  return { root, paths: stackPaths(root), run, portOffset }
}

async function freeOffset(): Promise<number> {
  for (;;) {
    const offset = (await findFreePort()) - POSTGRES_PORT // so that all of them are below those that the system hands out
    const wanted = [...Object.values(SERVICES), POSTGRES_PORT, REDIS_PORT].map((port) => port + offset)
    if ((await Promise.all(wanted.map((port) => isPortFree(port)))).every(Boolean)) return offset
  }
}

async function runCommand(file: string, env: NodeJS.ProcessEnv): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['--conditions=@baton/source', file], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, said }
}

test('a stack is started once, heals, is found again, and leaves nothing behind', async (t) => {
  const { paths, run, portOffset } = await standInCheckout(t)

  // two at the same moment: one starts it, the other waits and finds it
  const [one, two] = await Promise.all([run('up'), run('up')])
  t.match(one, { code: 0 }, one.said)
  t.match(two, { code: 0 }, two.said)
  t.match(one.said + two.said, /waiting for it/)
  t.match(one.said + two.said, /The stack is running/)
  const key = readDotEnv(paths.dotEnv)['BATON_ADMIN_KEY']!
  t.match(one.said, key)
  t.match(one.said, `http://127.0.0.1:${8081 + portOffset}/api/v1`)
  t.match(one.said, /make demo/)
  const everything = recordedProcesses(paths.pids)
  t.same([...everything.keys()].sort(), [...SERVICE_NAMES, 'postgres', 'redis', 'supervisor'].sort())
  t.match(await run('health'), { code: 0 })

  // whatever dies comes back by itself, the stores too
  for (const name of ['postgres', 'redis', 'http-worker']) {
    const before = recordedProcess(paths.pids, name)!
    process.kill(before.pid, 'SIGKILL')
    t.ok(
      await waitUntil(() => (recordedProcess(paths.pids, name)?.pid ?? before.pid) !== before.pid, 5_000, 20),
      `${name} is back within 5 s`,
    )
  }
  t.ok(await waitUntil(async () => (await run('health')).code === 0, 10_000, 100))
  t.match((await run('health')).said, /http-worker .*started again 1 times, last ended by SIGKILL/)

  const again = performance.now()
  t.match(await run('up'), { code: 0 })
  t.ok(performance.now() - again < 10_000, 'a second make up is ready within 10 s')

  // the supervisor itself is killed: its children are found by their pids
  const orphan = recordedProcess(paths.pids, 'postgres')!
  process.kill(recordedProcess(paths.pids, 'supervisor')!.pid, 'SIGKILL')
  t.match(await run('health'), { code: 1, said: /supervisor +gone/ })
  const healed = await run('up')
  t.match(healed, { code: 0 }, healed.said)
  t.match(healed.said, /whose supervisor is gone/)
  t.equal(isAlive(orphan), false)

  const last = recordedProcesses(paths.pids)
  t.match(await run('down'), { code: 0, said: /has stopped/ })
  for (const [name, identity] of [...everything, ...last]) t.equal(isAlive(identity), false, `${name} is gone`)
  t.match(await run('down'), { code: 0, said: /Nothing was running/ })
  t.match(await run('health'), { code: 1, said: /no answer/ })
  t.match(await run('clean'), { code: 1, said: /CONFIRM=yes/ })
  t.match(await run('clean', { CONFIRM: 'yes' }), { code: 0 })
})

test('a service that does not stay up is named with its last words, and what was started is stopped again', async (t) => {
  const { root, paths, run } = await standInCheckout(t)
  writeFileSync(join(root, 'services/fanout/src/main.ts'), "throw new Error('FANOUT_BUFFER is not a number')\n")
  const failed = await run('up')
  t.equal(failed.code, 1)
  t.match(failed.said, /fanout does not stay up \(ended with exit code 1\): Error: FANOUT_BUFFER is not a number/)
  t.equal(recordedProcesses(paths.pids).size, 0)
})

test('settings that changed are taken over by the next make up, and replicas get ports of their own', async (t) => {
  const { paths, run } = await standInCheckout(t)
  t.match(await run('up'), { code: 0 })
  const before = recordedProcess(paths.pids, 'supervisor')!
  const changed = await run('up', { HTTP_WORKER_REPLICAS: '3', FANOUT_REPLICAS: '0' })
  t.match(changed, { code: 0 }, changed.said)
  t.match(changed.said, /with other settings/)
  t.equal(isAlive(before), false)
  t.match(
    readState(paths)?.programs.map(({ name }) => name),
    /http-worker-2.*http-worker-3/s,
  )
  t.notOk(recordedProcess(paths.pids, 'fanout'))
  t.notMatch(readFileSync(paths.state, 'utf8'), readDotEnv(paths.dotEnv)['BATON_ADMIN_KEY']!)
})
