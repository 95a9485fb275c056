import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A process told apart from a later one that got the same pid. */
export type ProcessIdentity = { pid: number; start: string }

/** When the process began, as an opaque text that no later process with its pid shares; undefined when none runs (a zombie counts as none). */
export function startOfProcess(pid: number): string | undefined {
  if (process.platform !== 'linux') return startByPs(pid)
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name in brackets may hold spaces and brackets
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined
    return `${bootId()}:${fields[19]}`
  } catch {
    return undefined
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const [state, ...start] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { stdio: ['ignore', 'pipe', 'ignore'] })
      .toString()
      .trim()
      .split(/\s+/)
    return !state || state.startsWith('Z') ? undefined : start.join(' ')
  } catch {
    return undefined
  }
}

let bootIdRead: string | undefined
function bootId(): string {
  bootIdRead ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8)
  return bootIdRead
}

/** The identity of a process that runs now; undefined when there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  const start = startOfProcess(pid)
  return start === undefined ? undefined : { pid, start }
}

/** Whether exactly this process still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  return startOfProcess(identity.pid) === identity.start
}

/** Sends a signal to exactly this process; false when it is gone. A recycled pid is never touched. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false
  try {
    process.kill(identity.pid, signal)
    return true
  } catch {
    return false
  }
}

/** Writes down under a name which process runs, so that a later command finds it. */
export function recordProcess(pidsFolder: string, name: string, identity: ProcessIdentity): void {
  mkdirSync(pidsFolder, { recursive: true })
  const file = join(pidsFolder, name)
  writeFileSync(`${file}.new`, `${identity.pid} ${identity.start}\n`)
  renameSync(`${file}.new`, file)
}

/** Forgets what was recorded under the name. */
export function forgetProcess(pidsFolder: string, name: string): void {
  rmSync(join(pidsFolder, name), { force: true })
}

/** False when nothing is recorded under the name, or its folder is gone; true where that cannot be told. */
export function isRecorded(pidsFolder: string, name: string): boolean {
  try {
    statSync(join(pidsFolder, name))
    return true
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}

/** What is recorded under the name and still runs. */
export function recordedProcess(pidsFolder: string, name: string): ProcessIdentity | undefined {
  try {
    const [pid, start] = readFileSync(join(pidsFolder, name), 'utf8').trim().split(' ')
    const identity = { pid: Number(pid), start: start ?? '' }
    return isAlive(identity) ? identity : undefined
  } catch {
    return undefined
  }
}

/** Everything that is recorded and still runs, by name. */
export function recordedProcesses(pidsFolder: string): Map<string, ProcessIdentity> {
  const found = new Map<string, ProcessIdentity>()
  let names: string[] = []
  try {
    names = readdirSync(pidsFolder)
  } catch {
    return found
  }
  for (const name of names) {
    const identity = recordedProcess(pidsFolder, name)
    if (identity) found.set(name, identity)
  }
  return found
}
