/** CPU time of the processes behind a stack, found by the ports they listen on. Linux only: everything is read from /proc. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

const LISTEN = '0A'
const MS_PER_TICK = 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
/** Indexes into /proc/<pid>/stat after the command's closing bracket (proc_pid_stat(5): fields 4, 14–17). */
const STAT = { parent: 1, user: 11, system: 12, childrenUser: 13, childrenSystem: 14 } as const

/** The process that listens on each port, by name; names whose port nobody listens on are left out. */
export function findProcesses(ports: Record<string, number>): Map<string, number> {
  const inodes = listeningInodes()
  const wanted = new Map<string, string>()
  for (const [name, port] of Object.entries(ports)) {
    for (const inode of inodes.get(port) ?? []) wanted.set(`socket:[${inode}]`, name)
  }
  const found = new Map<string, number>()
  for (const pid of processIds()) {
    for (const link of openFiles(pid)) {
      const name = wanted.get(link)
      // Forked children inherit the socket: the parent has the lowest id and is seen first.
      if (name !== undefined && !found.has(name)) found.set(name, pid)
    }
  }
  return found
}

/** CPU milliseconds, user and system, of a process and all its descendants, those that have ended included. */
export function cpuMsOf(root: number): number {
  const stats = new Map(processIds().map((pid) => [pid, statOf(pid)]))
  const tree = new Set([root])
  for (const [pid, stat] of stats) {
    if (stat && tree.has(stat[STAT.parent]!)) tree.add(pid)
  }
  let ticks = 0
  for (const pid of tree) {
    const stat = stats.get(pid)
    if (stat) ticks += stat[STAT.user]! + stat[STAT.system]! + stat[STAT.childrenUser]! + stat[STAT.childrenSystem]!
  }
  return ticks * MS_PER_TICK
}

/** Inodes of the listening TCP sockets, by port. */
function listeningInodes(): Map<number, string[]> {
  const byPort = new Map<number, string[]>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readText(table).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      if (fields[3] !== LISTEN) continue
      const port = Number.parseInt(fields[1]!.split(':')[1]!, 16)
      byPort.set(port, [...(byPort.get(port) ?? []), fields[9]!])
    }
  }
  return byPort
}

function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}

function openFiles(pid: number): string[] {
  const directory = `/proc/${pid}/fd`
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch {
    return [] // gone, or somebody else's
  }
  return names.flatMap((name) => {
    try {
      return [readlinkSync(`${directory}/${name}`)]
    } catch {
      return []
    }
  })
}

/** Numbers of /proc/<pid>/stat from the state on (which is NaN); undefined when the process is gone. */
function statOf(pid: number): number[] | undefined {
  const text = readText(`/proc/${pid}/stat`)
  if (text === '') return undefined
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
