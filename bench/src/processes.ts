/** CPU time and memory of the processes behind a stack, found by the ports they listen on. Linux only: everything is read from /proc. */
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

/** What the processes under a name use together. `pss` splits pages among those that share them, `rss` counts them for each; both in bytes. */
export interface Memory {
  pss: number
  rss: number
}

/** CPU milliseconds, user and system, of each root with its descendants, those that have ended included. What hangs on another root counts there. */
export function cpuMsOf(roots: ReadonlyMap<string, number>): Map<string, number> {
  const ticksOf = (stat: number[]) => stat[STAT.user]! + stat[STAT.system]! + stat[STAT.childrenUser]! + stat[STAT.childrenSystem]!
  const sum = (processes: Process[]) => processes.reduce((ticks, { stat }) => ticks + ticksOf(stat), 0) * MS_PER_TICK
  return new Map([...treesOf(roots)].map(([name, processes]) => [name, sum(processes)]))
}

/** Memory of each root with its descendants. */
export function memoryOf(roots: ReadonlyMap<string, number>): Map<string, Memory> {
  const sum = (processes: Process[]) => {
    const texts = processes.map(({ pid }) => readText(`/proc/${pid}/smaps_rollup`))
    const total = (name: string) => texts.reduce((bytes, text) => bytes + kibibytes(text, name) * 1_024, 0)
    return { pss: total('Pss'), rss: total('Rss') }
  }
  return new Map([...treesOf(roots)].map(([name, processes]) => [name, sum(processes)]))
}

function kibibytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

/** A process that runs, with what /proc/<pid>/stat says of it. */
type Process = { pid: number; stat: number[] }

/** The processes under each name: the root and its descendants, save those that are under a nearer root (a supervisor's children, say). */
function treesOf(roots: ReadonlyMap<string, number>): Map<string, Process[]> {
  const stats = new Map(processIds().flatMap((pid) => [statOf(pid)].flatMap((stat) => (stat ? [[pid, stat] as const] : []))))
  const names = new Map([...roots].map(([name, pid]) => [pid, name]))
  const trees = new Map<string, Process[]>([...roots.keys()].map((name) => [name, []]))
  for (const [pid, stat] of stats) {
    let at: number | undefined = pid
    while (at !== undefined && !names.has(at)) at = stats.get(at)?.[STAT.parent]
    if (at !== undefined) trees.get(names.get(at)!)?.push({ pid, stat })
  }
  return trees
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
