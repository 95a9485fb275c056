/** Backup and restore with PostgreSQL's own pg_dump and pg_restore: of a server of the user's, and of the one in its container. */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { finishBackupFile } from './backup-archive.ts'
import { StackProblem } from './stack-problem.ts'
import type { StackSettings } from './stack-settings.ts'
import { loadStore, toolsUrl } from './tools-url.ts'

/** Where the tools run: what to put before their arguments, and how they reach a database by its name. */
export interface DumpPlace {
  /** Runs one of PostgreSQL's programs; with `input` or `output` a file on that side. Gives its exit code. */
  run(program: string, args: string[], files?: { input?: string; output?: string }): number
  /** The arguments that connect a program to a database of this server. */
  connect(database: string): string[]
  database: string
}

/** Writes a dump in the custom format; the file appears when pg_dump has ended well and pg_restore can read it. */
export function dumpDatabase(place: DumpPlace, file: string): void {
  const args = ['--format=custom', '--no-owner', '--no-privileges', ...place.connect(place.database)]
  try {
    if (place.run('pg_dump', args, { output: `${file}.part` }) !== 0) throw new StackProblem('pg_dump did not succeed (see above).')
    checkDump(place, `${file}.part`)
    finishBackupFile(file)
  } finally {
    rmSync(`${file}.part`, { force: true })
  }
}

/** Throws StackProblem when pg_restore cannot read the file. */
export function checkDump(place: DumpPlace, file: string): void {
  if (place.run('pg_restore', ['--list'], { input: file, output: '/dev/null' }) !== 0)
    throw new StackProblem(`${file} is damaged: pg_restore cannot read it (see above).`)
}

/** Restores beside the database and puts it into its place when it is complete, so that a bad dump costs nothing. */
export function restoreDatabase(place: DumpPlace, file: string): void {
  const { database } = place
  const [incoming, former] = [`${database}_restoring`, `${database}_before_restore`]
  const admin = (statement: string) => {
    const args = ['--quiet', '--no-psqlrc', '--set=ON_ERROR_STOP=1', `--command=${statement}`, ...place.connect('postgres')]
    if (place.run('psql', args) !== 0) throw new StackProblem(`PostgreSQL refused "${statement}" (see above).`)
  }
  admin(`drop database if exists ${quote(incoming)} with (force)`)
  admin(`create database ${quote(incoming)} template template0`)
  const args = ['--no-owner', '--no-privileges', '--exit-on-error', '--single-transaction', ...place.connect(incoming)]
  if (place.run('pg_restore', args, { input: file }) !== 0) {
    admin(`drop database ${quote(incoming)} with (force)`)
    throw new StackProblem('pg_restore did not succeed (see above); the data are as they were.')
  }
  admin(`drop database if exists ${quote(former)} with (force)`)
  admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database.replaceAll("'", "''")}'`)
  admin(`alter database ${quote(database)} rename to ${quote(former)}`)
  admin(`alter database ${quote(incoming)} rename to ${quote(database)}`)
  admin(`drop database ${quote(former)} with (force)`)
}

/** The server of a URL, by the programs on PATH (or in the folder PG_BIN). Throws StackProblem when they are missing or older than the server. */
export async function placeOfServer(settings: StackSettings): Promise<DumpPlace> {
  const { href: url } = await toolsUrl(settings)
  const { host, server } = await versionOfServer(url)
  const folder = process.env['PG_BIN']
  const command = (program: string) => (folder ? join(folder, program) : program)
  const found = spawnSync(command('pg_dump'), ['--version'], { encoding: 'utf8' })
  const ours = Number(/ (\d+)/.exec(found.stdout ?? '')?.[1] ?? 0)
  const way = `Install the client programs of PostgreSQL ${server} (Debian: postgresql-client-${server}), or name their folder: PG_BIN=/path.`
  if (found.status !== 0) throw new StackProblem(`There is no pg_dump on PATH, which a backup of ${host} takes. ${way}`)
  if (ours < server) throw new StackProblem(`pg_dump is of PostgreSQL ${ours} and cannot read PostgreSQL ${server} on ${host}. ${way}`)
  const { username, password, pathname } = new URL(url)
  const env = { ...process.env, PGPASSWORD: decodeURIComponent(password), PGUSER: decodeURIComponent(username) } // never as arguments
  return {
    run: (program, args, files) => runProgram(command(program), args, env, files),
    connect: (database) => [`--dbname=${bareUrl(url, database)}`],
    database: decodeURIComponent(pathname.slice(1)),
  }
}

/** Runs a program with a file as its input or output; its errors are shown. */
export function runProgram(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  { input, output }: { input?: string; output?: string } = {},
): number {
  const stdin = input === undefined ? 'ignore' : openSync(input, 'r')
  const stdout = output === undefined ? 'inherit' : openSync(output, 'w', 0o600)
  try {
    const { status, error } = spawnSync(command, args, { env, stdio: [stdin, stdout, 'inherit'] })
    if (error) throw new StackProblem(`${command} cannot be run: ${error.message}`, { cause: error })
    return status ?? 1
  } finally {
    for (const fd of [stdin, stdout]) if (typeof fd === 'number') closeSync(fd)
  }
}

async function versionOfServer(url: string): Promise<{ host: string; server: number }> {
  const { host } = new URL(url)
  const { connect } = await loadStore()
  let sql: ReturnType<typeof connect> | undefined
  try {
    sql = connect(url, { max: 1 })
    const [row] = await sql`show server_version_num`
    return { host, server: Math.floor(Number(row!['serverVersionNum']) / 10_000) }
  } catch (error) {
    throw new StackProblem(`The PostgreSQL of DATABASE_URL (${host}) cannot be used: ${(error as Error).message}`, { cause: error })
  } finally {
    await sql?.end({ timeout: 1 })
  }
}

/** The URL of another database of the server, without who connects: arguments can be read by everybody on the machine. */
function bareUrl(url: string, database: string): string {
  const bare = new URL(url)
  Object.assign(bare, { username: '', password: '', pathname: `/${encodeURIComponent(database)}` })
  return bare.href
}

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`
