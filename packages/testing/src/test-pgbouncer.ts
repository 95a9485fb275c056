import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { accountForPostgres, findFreePort } from '@baton/embedded'
import { endProcess, guardProcess } from './guard-process.ts'
import type { Teardown } from './test-database.ts'
import { until } from './until.ts'

/** A PgBouncer of one test. */
export interface TestPgbouncer {
  /** The same database, through it. */
  urlOf(databaseUrl: string): string
  /** SIGKILL, and a new one on the same port. */
  restart(): Promise<void>
}

/** The program on PATH, or where Debian puts it; undefined: not installed. */
export function findPgbouncer(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path))
}

/** Starts PgBouncer on a free port before the server of `databaseUrl`, with `poolSize` servers for each database; it ends with the test. */
export async function testPgbouncer(
  t: Teardown,
  { databaseUrl, poolSize, mode = 'transaction' }: { databaseUrl: string; poolSize: number; mode?: 'transaction' | 'session' },
): Promise<TestPgbouncer> {
  const program = findPgbouncer()
  if (!program) throw new Error('pgbouncer is not installed')
  const directory = mkdtempSync(join(tmpdir(), 'baton-pgbouncer-'))
  const port = await findFreePort()
  const { hostname, port: serverPort, username, password } = new URL(databaseUrl)
  const account = accountForPostgres() // it does not run as root either
  const file = join(directory, 'pgbouncer.ini')
  writeFileSync(
    file,
    `[databases]
* = host=${hostname} port=${serverPort} user=${decodeURIComponent(username)} password=${decodeURIComponent(password)}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 1000
server_login_retry = 1
`,
  )
  chmodSync(directory, 0o755)
  chmodSync(file, 0o644)
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(program, [file], { stdio: 'ignore', detached: true, ...(account && { uid: account.uid, gid: account.gid }) })
    child.unref()
    await until(() => child.exitCode !== null || accepts(port), { what: 'pgbouncer to listen' })
    if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`)
    return child
  }
  let child = await start()
  let unguard = guardProcess(child.pid!, directory)
  const end = async () => {
    await endProcess(child, 'SIGKILL')
    unguard()
  }
  t.teardown(async () => {
    await end()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    urlOf(url) {
      const through = new URL(url)
      through.host = `127.0.0.1:${port}`
      return through.href
    },
    async restart() {
      await end()
      child = await start()
      unguard = guardProcess(child.pid!, directory)
    },
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
