/**
 * The state of a run: what its events fold to. `applyEvent` is the only code that changes it, so a run that is loaded from Postgres and a
 * run that was just decided are the same. Invariants: `open` of a scope counts its steps that have not ended; `blocked` of a step counts its
 * dependencies that have not ended; `inFlight` holds the steps whose call or turn is out; `waiting` those that wait for people or time.
 */
import type { BatonError, BlobRef, Ending, Json, RequestSlot, RunStatus, StepStatus } from '@baton/contracts'
import { idOf } from '@baton/contracts'
import type { RunHeader } from './decision.ts'
import type { Plan, PlanStep, Scope } from './plan.ts'

export interface StepState {
  path: string
  step: PlanStep
  scope: ScopeState
  status: StepStatus
  generation: number
  attempt: number
  /** Dependencies that have not ended. */
  blocked: number
  /** The rendered body as recorded; dropped from memory when the step ends and it is not small. */
  input?: Json | BlobRef
  secrets?: RequestSlot[]
  /** `now` and `vars` as they were when the step was scheduled. */
  now?: number
  vars?: Record<string, Json>
  output: Json | BlobRef
  error: BatonError | null
  /** Taken over by a fork: another run did it, so this one does not undo it. */
  copied?: boolean
  /** True when the failure is tolerated by `onError`. */
  tolerated: boolean
  scheduledAt: number | null
  startedAt: number | null
  endedAt: number | null
  /** Number of the event that ended it. */
  endedSeq?: number
  waitingFor?: WaitingFor
  /** What the call of a step with a callback was answered; dropped when the step ends. */
  answer?: Json | BlobRef
  /** The callback, from when it came until the step ends: it may come before the answer. Null: it was too large. */
  callback?: Json | BlobRef
  /** When its timer is due: end of a wait or backoff, deadline of an approval. */
  dueAt?: number
  /** Of a container that was put back to running: nothing in it has begun since. Its timeout counts from when something does. */
  rests?: true
  /** What is inside a container that has started: the case of a switch, the round of a loop that is under way or was the last. */
  inner?: ScopeState
  /** What is inside a `forEach` that has started. */
  items?: ItemsState
  /** Which case of a switch was taken. */
  chosen?: number | 'default' | null
  /** Of a container, set by step.ending: a failure inside, or its timeout, ends it; nothing new starts in it, nor in those inside it. */
  failing?: BatonError
  /** Of a compensation: the step that it undoes. Such a step belongs to the scope of that one without being counted in it. */
  undoes?: StepState
}

/** The items of a `forEach`. They are opened in their order. */
export interface ItemsState {
  count: number
  /** Scopes of the items that were opened, by index. */
  scopes: ScopeState[]
  /** Those of them that have not ended. */
  open: Set<ScopeState>
  /** The list itself, once it was read: not looked up again for each item. */
  list?: readonly Json[]
}

export type WaitingFor =
  | { kind: 'approval'; approval: string; assignees: string[]; deadline: string | null }
  | { kind: 'timer'; until: string }
  | { kind: 'event'; event: string; until: string | null }
  | { kind: 'run'; run: string; until: string | null }
  | { kind: 'callback'; until: string | null }
  | { kind: 'task'; task: string; capabilities: string[]; until: string | null }

export interface ScopeState {
  /** Path of the container instance with a dot, or '' at the top. */
  prefix: string
  scope: Scope
  owner?: StepState
  /** Which item or round it is, from 0. */
  index?: number
  /** Of a round of a loop: the round before it. */
  previous?: ScopeState
  steps: StepState[]
  open: number
  /** Of an item of a `forEach`, set by step.ending: a failure inside ends this item alone. */
  failing?: BatonError
}

export interface RunState {
  plan: Plan
  header: RunHeader
  seq: number
  /** When the last event was: no later one is put before it. */
  at: number
  status: RunStatus
  /** What `paused` goes back to. */
  pausedFrom?: RunStatus
  ending?: Ending
  output: Json | BlobRef
  error: BatonError | null
  startedAt: number | null
  endedAt: number | null
  /** When it was last reopened by a retry or a replay: its timeout counts from there. */
  reopenedAt?: number
  /** How often that was: tells the timer of its timeout from earlier ones. */
  reopenings?: number
  /** A step was done again beside others that may have failed or were cancelled. */
  hasReplayed?: boolean
  root: ScopeState
  steps: Map<string, StepState>
  inFlight: Set<StepState>
  waiting: Set<StepState>
  retrying: Set<StepState>
  /** It holds the slot of its concurrency key. */
  admitted?: boolean
  /** The last event that a waiting step took, by its place: its path without rounds. The next round waits for a later one. */
  eventsTaken: Map<string, number>
  /** Compensations, in the order in which they were begun. */
  compensations: StepState[]
  /** Steps that are still to be undone, the next one last; found when the first is looked for. */
  toUndo?: StepState[]
}

/** A run before its first event. */
export function createState(plan: Plan, header: RunHeader): RunState {
  const state: RunState = {
    plan,
    header,
    seq: 0,
    at: header.createdAt,
    status: 'queued',
    output: null,
    error: null,
    startedAt: null,
    endedAt: null,
    root: undefined as never,
    steps: new Map(),
    inFlight: new Set(),
    waiting: new Set(),
    retrying: new Set(),
    eventsTaken: new Map(),
    compensations: [],
  }
  state.root = openScope(state, plan.root, '')
  return state
}

/** `data` of the event run.created. */
export function createdDataOf(run: {
  workflow: string
  version: number
  labels?: Record<string, string>
  priority?: number
  startedBy: string
  parent?: { runId: string; path: string }
}): Record<string, Json> {
  const { workflow, version, labels = {}, priority = 5, startedBy, parent } = run
  const data: Record<string, Json> = { workflow, version, labels, priority, startedBy }
  if (parent) data.parent = { run: idOf('run', parent.runId), step: parent.path }
  return data
}

/**
 * Makes the steps of a scope instance, all pending. They begin in the generation of their container: what a replayed container does again is
 * told apart from what it did before.
 */
export function openScope(state: RunState, scope: Scope, prefix: string, owner?: StepState): ScopeState {
  const instance: ScopeState = { prefix, scope, steps: [], open: scope.steps.length, ...(owner ? { owner } : {}) }
  for (const step of scope.steps) {
    const stepState = pendingStep(prefix + step.id, step, instance, owner?.generation ?? 0)
    instance.steps.push(stepState)
    state.steps.set(stepState.path, stepState)
  }
  return instance
}

/** A step that nothing has happened to. */
export function pendingStep(path: string, step: PlanStep, scope: ScopeState, generation: number): StepState {
  return {
    path,
    step,
    scope,
    status: 'pending',
    generation,
    attempt: 1,
    blocked: step.needs.length,
    output: null,
    error: null,
    tolerated: false,
    scheduledAt: null,
    startedAt: null,
    endedAt: null,
  }
}

/** True when the step has ended. */
export function hasEnded(step: StepState): boolean {
  return step.status === 'succeeded' || step.status === 'failed' || step.status === 'skipped' || step.status === 'cancelled'
}

/** Why the scope, or a container around it, is ending; undefined while all of them go on. */
export function failureOf(scope: ScopeState): BatonError | undefined {
  for (let at: ScopeState | undefined = scope; at; at = at.owner?.scope) {
    const failing = at.failing ?? at.owner?.failing
    if (failing) return failing
  }
  return undefined
}

/** True when steps that depend on this one may go on. */
export function isSatisfied(step: StepState): boolean {
  return step.status === 'succeeded' || step.status === 'skipped' || (step.status === 'failed' && step.tolerated)
}

/** True when the step has ended in a way that ends what is around it. */
export function isBroken(step: StepState): boolean {
  return hasEnded(step) && !isSatisfied(step)
}

/** Kinds whose work is out of the runner's hands while they run. */
export function isOutside(step: StepState): boolean {
  const kind = step.step.kind
  return kind === 'http' || kind === 'agent'
}

/** True for a step whose call is followed by a wait for its callback. */
export function awaitsCallback({ step: { body } }: StepState): boolean {
  return body.kind === 'http' && body.callback
}

/** The columns of the runs row that a commit sets. */
export interface RunSummary {
  status: RunStatus
  ending: Ending | null
  output: Json | BlobRef
  error: BatonError | null
  startedAt: number | null
  endedAt: number | null
}

/** The summary of a run as its row holds it. */
export function summaryOf(state: RunState): RunSummary {
  const { status, output, error, startedAt, endedAt } = state
  return { status, ending: state.ending ?? null, output, error, startedAt, endedAt }
}
