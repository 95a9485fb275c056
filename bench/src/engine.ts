/** What is measured: an engine that runs the three workflows, whoever made it. */

/** `sequence`: ten HTTP steps one after the other. `fan`: a hundred at once and a join. `gate`: a step, an approval, a step. */
export type WorkflowName = 'sequence' | 'fan' | 'gate'

/** HTTP steps of a run. */
export const STEPS = { sequence: 10, fan: 101, gate: 2 } as const satisfies Record<WorkflowName, number>

/** How many of them `fan` makes at once. */
export const FAN = STEPS.fan - 1

/** Runs that are on their way to an engine at the same time, and calls that its workers make at the same time. */
export const STARTS_AT_ONCE = 64
export const CALLS_AT_ONCE = 128

/** One run to start. `id` is unique for ever; `delayMs` is how long the called service takes for each answer. */
export interface RunRequest {
  workflow: WorkflowName
  tag: string
  id: string
  delayMs?: number
}

/** An engine as its user's program sees it. */
export interface Client {
  /** Resolves when the engine has accepted the run for good. */
  start(run: RunRequest): Promise<void>
  /** Resolves when the run has ended; rejects unless it succeeded. */
  run(run: RunRequest): Promise<void>
  /** Gives the consent that a `gate` run waits for. */
  approve(run: RunRequest): Promise<void>
  /** Runs with the tag that the engine says have succeeded. */
  done(tag: string): Promise<number>
  /** Reads a page of runs as an operator would, with another filter for each index; where there is such a list. */
  list?(index: number): Promise<void>
  close(): Promise<void>
}

/** Root processes by name: what the makers of the engine wrote, and the stores beside it. */
export interface Processes {
  services: Map<string, number>
  stores: Map<string, number>
}

/** Bytes that an engine keeps; undefined where it has no such store. */
export interface StoredBytes {
  database?: number
  redis?: number
}

/** An engine that runs. */
export interface Engine {
  name: string
  client: Client
  processes(): Processes
  stored(): Promise<StoredBytes>
  /** SIGKILL of what runs the steps, which is then started again at once. Resolves when the signal is out. */
  crash(): Promise<void>
  /** Stops everything that was started for it and removes its data. */
  stop(): Promise<void>
}

/** A set of runs to be told apart from all others. The calls of one that is not `remembered` leave nothing in the memory of the target. */
export function newTag({ remembered = true } = {}): string {
  return `${remembered ? '' : '-'}b${Date.now().toString(36)}${(tags++).toString(36)}`
}

let tags = 0
