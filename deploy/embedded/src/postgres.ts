import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { findFreePort } from './ports.ts'
import { findPostgresBinaries } from './postgres-binaries.ts'
import { ensurePostgresFolder } from './postgres-folder.ts'
import { identify } from './process-identity.ts'
import { type Program, spawnProgram } from './program.ts'
import { StackProblem } from './stack-problem.ts'
import { stopProcess, waitUntil } from './stop-process.ts'
import { accountForPostgres, placeReachable, removePlaced } from './unprivileged-account.ts'

/** How an embedded PostgreSQL is to run. */
export type PostgresOptions = {
  /** Where its data are; made when missing. */
  dataDir: string
  port: number
  user: string
  password: string
  /** false: no fsync, for tests alone. */
  durable?: boolean
  /** Further settings of postgresql.conf. */
  settings?: Record<string, string>
  /** Told what was healed. */
  say?: (sentence: string) => void
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  wal_buffers: '16MB',
  random_page_cost: '1.1',
  jit: 'off', // statements are short: compiling them costs more than it saves
  log_checkpoints: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
}

const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', shared_buffers: '64MB', max_wal_size: '512MB' }

/** The embedded PostgreSQL as a program for the supervisor. Heals its data folder before every start; throws StackProblem when it cannot. */
export function postgresProgram(options: PostgresOptions): Program & { dataDir: string } {
  const { user, password, port, durable = true, say = () => {} } = options
  const account = accountForPostgres()
  const binaries = findPostgresBinaries(account)
  const dataDir = placeReachable(options.dataDir, account)
  const settings = { ...SETTINGS, ...(durable ? {} : NOT_DURABLE), port: String(port), ...options.settings }
  return {
    name: 'postgres',
    dataDir, // where the folder really is
    command: binaries.postgres,
    args: ['-D', dataDir, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    env: { LC_ALL: 'C', PATH: process.env['PATH'] },
    cwd: '/',
    ...(account && { uid: account.uid, gid: account.gid }),
    stopSignal: 'SIGINT', // fast shutdown: open connections are ended, everything is written
    prepare: () => ensurePostgresFolder({ dataDir, user, password, binaries, account, say }),
    isReady: async () => isServing(dataDir),
  }
}

/** The server writes `ready` into its pid file as soon as it accepts connections. */
function isServing(dataDir: string): boolean {
  try {
    return readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[7]?.trim() === 'ready'
  } catch {
    return false
  }
}

/** Creates the database that the URL names if it is not there. */
export async function ensureDatabase(url: string): Promise<void> {
  const target = new URL(url)
  const name = decodeURIComponent(target.pathname.slice(1))
  target.pathname = '/postgres'
  const sql = postgres(target.href, { max: 1, onnotice: () => {} })
  try {
    const [found] = await sql`select 1 from pg_database where datname = ${name}`
    if (!found) await sql`create database ${sql(name)}`
  } finally {
    await sql.end({ timeout: 5 })
  }
}

/** A PostgreSQL that this process started and has to stop. */
export type RunningPostgres = { url: string; port: number; pid: number; stop(options?: { remove?: boolean }): Promise<void> }

/**
 * Starts a PostgreSQL of its own and resolves when it accepts connections; for tests and tools. The URL names a superuser.
 * `stop({ remove: true })` removes the data too. Throws StackProblem with the server's own words when it does not come up.
 */
export async function startPostgres(options: Partial<PostgresOptions> & { dataDir: string }): Promise<RunningPostgres> {
  const port = options.port ?? (await findFreePort())
  const { user = 'baton', password = 'baton' } = options
  const program = postgresProgram({ ...options, port, user, password })
  await program.prepare?.()
  const child = await spawnProgram(program, 'ignore')
  const identity = identify(child.pid)
  const stop = async ({ remove = false } = {}) => {
    if (identity) await stopProcess(identity, program.stopSignal)
    if (remove) removePlaced(options.dataDir)
  }
  if (
    !identity ||
    !(await waitUntil(async () => child.exitCode !== null || (await program.isReady()), 30_000, 20)) ||
    child.exitCode !== null
  ) {
    await stop()
    throw new StackProblem(`PostgreSQL did not come up on port ${port} with ${options.dataDir} (exit code ${child.exitCode}).`)
  }
  child.unref()
  return { url: `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`, port, pid: child.pid, stop }
}
