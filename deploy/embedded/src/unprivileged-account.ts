import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { StackProblem } from './stack-problem.ts'

/** A user without rights, as which PostgreSQL runs when root starts it (it refuses to run as root). */
export type Account = { uid: number; gid: number; name: string }

/** Where folders go that such an account could not reach below the checkout (a checkout in /root, say). */
const REACHABLE_BASE = '/var/lib/baton'

/** The account to drop to; undefined when this process is not root and nothing is to be dropped. */
export function accountForPostgres(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? []
    if (uid && gid && uid !== '0') return { name, uid: Number(uid), gid: Number(gid) }
  }
  throw new StackProblem(
    'PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody: run make up as an ordinary user.',
  )
}

/**
 * The place for a folder that the account must reach: the wanted path itself when it can, else a folder under /var/lib/baton
 * with a symbolic link to it at the wanted path, so that users still find it there. Idempotent.
 */
export function placeReachable(wanted: string, account: Account | undefined): string {
  mkdirSync(dirname(wanted), { recursive: true })
  if (!account) return wanted
  if (isLink(wanted)) {
    const target = resolve(dirname(wanted), readlinkSync(wanted))
    return target.startsWith(`${REACHABLE_BASE}/`) ? ensureBase(target) : target // a link that the user made, to another disk say
  }
  if (existsSync(wanted) || canEnter(dirname(wanted), account)) return wanted
  const placed = join(REACHABLE_BASE, randomUUID(), 'data') // never that of a removed checkout that stood at the same path
  symlinkSync(ensureBase(placed), wanted)
  return placed
}

function ensureBase(placed: string): string {
  mkdirSync(dirname(placed), { recursive: true, mode: 0o755 })
  chmodSync(REACHABLE_BASE, 0o755) // whatever the umask of root was
  chmodSync(dirname(placed), 0o755)
  return placed
}

/** Removes a folder made by `placeReachable` wherever it really is. */
export function removePlaced(wanted: string): void {
  if (isLink(wanted)) {
    const placed = readlinkSync(wanted)
    if (placed.startsWith(`${REACHABLE_BASE}/`)) rmSync(dirname(placed), { recursive: true, force: true })
  }
  rmSync(wanted, { recursive: true, force: true })
}

/** A folder for programs of this version that every account may enter. */
export function sharedProgramsFolder(version: string): string {
  return ensureBase(join(REACHABLE_BASE, 'programs', version))
}

/** Whether the account may enter the folder. */
export function canEnter(folder: string, account: Account): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd -- "$0"', folder], { uid: account.uid, gid: account.gid, cwd: '/', stdio: 'ignore' }).status === 0
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
}
