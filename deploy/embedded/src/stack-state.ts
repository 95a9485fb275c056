import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ProgramState } from './keep-running.ts'
import type { ServiceName } from './services.ts'
import type { StackPaths } from './stack-paths.ts'

/** One program as the supervisor sees it. `port` is 0 for replicas on free ports. */
export type StackProgramState = ProgramState & { service?: ServiceName; port: number }

/** What the supervisor writes down for the other commands whenever something changes. */
export type StackState = {
  mode: 'local' | 'docker'
  /** Tells whether the stack runs with other settings or an older source than a command would start it with. */
  fingerprint: string
  host: string
  portOffset: number
  programs: StackProgramState[]
}

/** Which services are to run, and in how many replicas where make scale said so; commands write it, the supervisor follows it on SIGHUP. */
export type Wanted = { services: ServiceName[]; watch: boolean; replicas?: Partial<Record<ServiceName, number>> }

/** Writes a value so that readers see either the old or the new one. */
export function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(`${file}.${process.pid}`, `${JSON.stringify(value, null, 1)}\n`, { mode: 0o600 })
  renameSync(`${file}.${process.pid}`, file)
}

/** The state of the stack; undefined when none was ever started or it was stopped in order. */
export function readState(paths: StackPaths): StackState | undefined {
  return readJson<StackState>(paths.state)
}

/** The wanted services; none when nothing was asked for. */
export function readWanted(paths: StackPaths): Wanted {
  return readJson<Wanted>(paths.wanted) ?? { services: [], watch: false }
}

/** What stands in a file; undefined when it cannot be read. */
export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T
  } catch {
    return undefined
  }
}
