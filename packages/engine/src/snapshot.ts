/**
 * The state of a run as JSON, so that a long run need not be folded from its first event. It holds nothing that its events do not say; what
 * can be derived from the rest (`blocked`, `open`) is derived again.
 */
import type { BatonError, BlobRef, Ending, Json, RunStatus } from '@baton/contracts'
import { compensationAt } from './compensations.ts'
import type { RunHeader } from './decision.ts'
import { instanceAt, instanceOf, openCase, openItems, settleItem } from './instances.ts'
import type { Plan } from './plan.ts'
import { createState, hasEnded, type RunState, type ScopeState, type StepState } from './state.ts'

/** The number of the shape below, and of what the engine makes of it. To be raised with every change: snapshots of another shape are ignored. */
export const STATE_SHAPE = 6

/** The first snapshot of a run is taken after so many events. */
export const SNAPSHOT_EVENTS = 1_000

/** Fields of a step that are kept as they are. */
const KEPT = [
  'status',
  'generation',
  'attempt',
  'input',
  'secrets',
  'now',
  'vars',
  'output',
  'error',
  'tolerated',
  'copied',
  'scheduledAt',
  'startedAt',
  'endedAt',
  'endedSeq',
  'waitingFor',
  'answer',
  'callback',
  'dueAt',
  'chosen',
  'failing',
  'rests',
] as const satisfies (keyof StepState)[]

type KeptStep = Pick<StepState, (typeof KEPT)[number]> & { path: string; count?: number }

/** A run up to `seq`, for the definition of this checksum. */
export interface StateSnapshot {
  checksum: string
  seq: number
  at: number
  status: RunStatus
  pausedFrom?: RunStatus
  ending?: Ending
  output: Json | BlobRef
  error: BatonError | null
  startedAt: number | null
  endedAt: number | null
  reopenedAt?: number
  reopenings?: number
  hasReplayed?: boolean
  admitted?: boolean
  eventsTaken: [place: string, seq: number][]
  /** Names of what was opened inside containers, in that order; with the error, where an item has failed by itself. */
  opened: (string | [name: string, failing: BatonError])[]
  /** Steps that have begun, in any order. */
  steps: KeptStep[]
  /** Paths of steps, in the order in which they came to be there. */
  inFlight: string[]
  waiting: string[]
  retrying: string[]
}

/** The state as JSON can hold it. It shares values with the state: write it down before the run moves on. */
export function snapshotOf(state: RunState): StateSnapshot {
  const { seq, at, status, pausedFrom, ending, output, error, startedAt, endedAt } = state
  const opened = new Set<ScopeState>()
  const steps: KeptStep[] = []
  for (const step of state.steps.values()) {
    if (step.scope.owner) opened.add(step.scope)
    // What is not kept is made anew, in the generation of its container.
    const isNew = step.status === 'pending' && step.generation === (step.scope.owner?.generation ?? 0)
    if (!isNew || step.undoes) steps.push(keptOf(step))
  }
  const paths = (set: ReadonlySet<StepState>) => [...set].map((step) => step.path)
  return {
    checksum: state.header.checksum,
    ...{ seq, at, status, output, error, startedAt, endedAt },
    ...(pausedFrom === undefined ? {} : { pausedFrom }),
    ...(ending === undefined ? {} : { ending }),
    ...(state.reopenedAt === undefined ? {} : { reopenedAt: state.reopenedAt, reopenings: state.reopenings! }),
    ...(state.hasReplayed ? { hasReplayed: true } : {}),
    ...(state.admitted ? { admitted: true } : {}),
    eventsTaken: [...state.eventsTaken],
    opened: [...opened].map((scope) => (scope.failing ? [instanceOf(scope), scope.failing] : instanceOf(scope))),
    steps,
    inFlight: paths(state.inFlight),
    waiting: paths(state.waiting),
    retrying: paths(state.retrying),
  }
}

function keptOf(step: StepState): KeptStep {
  const kept: Record<string, unknown> = { path: step.path }
  for (const field of KEPT) if (step[field] !== undefined) kept[field] = step[field]
  if (step.items) kept.count = step.items.count
  return kept as unknown as KeptStep
}

/** The state that a snapshot was made of. Throws when the plan does not have its steps, or is that of another definition. */
export function restoreState(plan: Plan, header: RunHeader, snapshot: StateSnapshot): RunState {
  if (snapshot.checksum !== header.checksum) throw new Error(`run ${header.runId}: the snapshot is that of another definition`)
  const state = createState(plan, header)
  const { checksum: _, opened, steps, inFlight, waiting, retrying, eventsTaken, ...summary } = snapshot
  Object.assign(state, summary)
  state.eventsTaken = new Map(eventsTaken)
  const kept = new Map(steps.map((step) => [step.path, step]))
  for (const step of state.root.steps) fill(step, kept)
  const scopes = [state.root]
  for (const entry of opened) {
    const [name, failing] = typeof entry === 'string' ? [entry] : entry
    const scope = openAt(state, name)
    if (failing) scope.failing = failing
    for (const step of scope.steps) fill(step, kept)
    scopes.push(scope)
  }
  for (const { path, ...fields } of steps) if (!state.steps.has(path)) Object.assign(compensationOf(state, path), fields)
  for (const scope of scopes) count(scope)
  for (const scope of scopes) settleItem(scope)
  for (const path of inFlight) state.inFlight.add(stepAt(state, path))
  for (const path of waiting) state.waiting.add(stepAt(state, path))
  for (const path of retrying) state.retrying.add(stepAt(state, path))
  return state
}

function stepAt(state: RunState, path: string): StepState {
  const step = state.steps.get(path)
  if (!step) throw new Error(`run ${state.header.runId}: the snapshot names an unknown step ${path}`)
  return step
}

function openAt(state: RunState, name: string): ScopeState {
  const container = state.steps.get(name)
  const scope = container ? openCase(state, container) : instanceAt(state, name)
  if (!scope) throw new Error(`run ${state.header.runId}: there can be no ${name}, which the snapshot names`)
  return scope
}

function compensationOf(state: RunState, path: string): StepState {
  const step = compensationAt(state, path)
  if (!step) throw new Error(`run ${state.header.runId}: the snapshot names an unknown step ${path}`)
  return step
}

function fill(step: StepState, kept: Map<string, KeptStep>): void {
  const known = kept.get(step.path)
  if (!known) return
  const { path: _, count, ...fields } = known
  Object.assign(step, fields)
  if (count !== undefined) openItems(step, count)
}

function count(scope: ScopeState): void {
  scope.open = scope.steps.filter((step) => !hasEnded(step)).length
  for (const step of scope.steps) step.blocked = step.step.needs.filter((need) => !hasEnded(scope.steps[need.index]!)).length
}
