import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { PostgresBinaries } from './postgres-binaries.ts'
import { identify, type ProcessIdentity } from './process-identity.ts'
import { diskFullSentence, StackProblem } from './stack-problem.ts'
import { stopProcess } from './stop-process.ts'
import type { Account } from './unprivileged-account.ts'

/** A data folder and who owns it; `say` is told what was healed. */
export type PostgresFolder = {
  dataDir: string
  user: string
  password: string
  binaries: PostgresBinaries
  account: Account | undefined
  say: (sentence: string) => void
}

/** Makes the data folder fit to start on: made if it is not there, healed if it is half made, refused if another version made it. */
export async function ensurePostgresFolder(folder: PostgresFolder): Promise<void> {
  setAsideHalfMade(folder)
  refuseOtherMajor(folder)
  if (!existsSync(join(folder.dataDir, 'PG_VERSION'))) await initialise(folder)
  await clearStalePid(folder)
  ensurePassword(folder)
}

/** initdb that was cut off leaves no pg_control; nothing of worth can be in there, but it is moved, not removed. */
function setAsideHalfMade({ dataDir, say }: PostgresFolder): void {
  if (!existsSync(dataDir) || existsSync(join(dataDir, 'global', 'pg_control'))) return
  if (readdirSync(dataDir).length === 0) return
  const aside = `${dataDir}.half-made-${Date.now()}`
  renameSync(dataDir, aside)
  say(`${dataDir} was not a complete database; it is now ${aside}, and a new one is made.`)
}

function refuseOtherMajor({ dataDir, binaries }: PostgresFolder): void {
  const file = join(dataDir, 'PG_VERSION')
  if (!existsSync(file)) return
  const major = readFileSync(file, 'utf8').trim()
  if (major === binaries.major) return
  throw new StackProblem(
    `The data in ${dataDir} were made by PostgreSQL ${major}, and this Baton brings PostgreSQL ${binaries.major}: ` +
      'start them with the older Baton and move them over with pg_dump, or begin anew with make clean.',
  )
}

/** Runs initdb beside the folder and moves the result into place, so that a crash leaves no half-made folder under the real name. */
async function initialise({ dataDir, user, password, binaries, account }: PostgresFolder): Promise<void> {
  const work = `${dataDir}.new`
  const passwordFile = `${dataDir}.password`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true, mode: 0o700 })
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
  if (account) for (const path of [work, passwordFile]) chownSync(path, account.uid, account.gid)
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'] // needs no locale of the machine
  const args = ['-D', work, '-U', user, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', ...locale, '--data-checksums']
  try {
    await promisify(execFile)(binaries.initdb, args, {
      cwd: '/',
      env: { LC_ALL: 'C' },
      ...(account && { uid: account.uid, gid: account.gid }),
    })
    rmSync(dataDir, { recursive: true, force: true })
    renameSync(work, dataDir)
    notePassword(dataDir, password)
  } catch (error) {
    rmSync(work, { recursive: true, force: true })
    throw explainInitError(error, dataDir)
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

function explainInitError(error: unknown, dataDir: string): unknown {
  const said = `${(error as { stderr?: string }).stderr ?? ''}${(error as Error).message}`
  if (/No space left on device|ENOSPC|Disk quota exceeded/.test(said)) return new StackProblem(diskFullSentence(dataDir), { cause: error })
  const reason = /(?:error|FATAL|could not)[^\n]*/.exec(said)?.[0] ?? said.trim().split('\n').at(-1)
  return new StackProblem(`PostgreSQL could not make its data folder ${dataDir}: ${reason}`, { cause: error })
}

/**
 * Removes the pid file of a server that was killed when its pid now belongs to something else (PostgreSQL would refuse to start),
 * and stops a server of ours that outlived its supervisor.
 */
async function clearStalePid({ dataDir, say }: PostgresFolder): Promise<void> {
  const file = join(dataDir, 'postmaster.pid')
  if (!existsSync(file)) return
  const pid = Number(readFileSync(file, 'utf8').split('\n')[0])
  const owner = pid > 0 ? identify(pid) : undefined
  if (owner && servesFolder(owner, dataDir)) {
    say(`A PostgreSQL (pid ${pid}) still ran on ${dataDir}; it is stopped first.`)
    await stopProcess(owner, 'SIGINT')
  }
  rmSync(file, { force: true })
}

function servesFolder(owner: ProcessIdentity, dataDir: string): boolean {
  if (process.platform !== 'linux') {
    const { stdout } = spawnSync('ps', ['-o', 'command=', '-p', String(owner.pid)], { encoding: 'utf8' })
    return stdout.includes('postgres') && stdout.includes(dataDir)
  }
  const words = readFileSync(`/proc/${owner.pid}/cmdline`, 'utf8').split('\0')
  return words[0]?.endsWith('postgres') === true && words.includes(dataDir)
}

const passwordNote = (dataDir: string) => join(dataDir, 'baton-password.sha256')
const digest = (password: string) => createHash('sha256').update(password).digest('hex')

function notePassword(dataDir: string, password: string): void {
  writeFileSync(passwordNote(dataDir), digest(password), { mode: 0o600 })
}

/** Sets the password anew when .env was made again for data that are older. */
function ensurePassword({ dataDir, user, password, binaries, account, say }: PostgresFolder): void {
  const note = passwordNote(dataDir)
  if (existsSync(note) && readFileSync(note, 'utf8') === digest(password)) return
  const input = `alter role "${user}" password '${password.replaceAll("'", "''")}'\n`
  const done = spawnSync(binaries.postgres, ['--single', '-D', dataDir, 'postgres'], {
    input,
    cwd: '/',
    env: { LC_ALL: 'C' },
    ...(account && { uid: account.uid, gid: account.gid }),
  })
  if (done.status !== 0)
    throw new StackProblem(`The database in ${dataDir} has another password than .env, and it could not be set: ${done.stderr}`)
  notePassword(dataDir, password)
  say('The database has the password of .env now.')
}
