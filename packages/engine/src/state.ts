/**
 * The state of a run: what its events fold to. `applyEvent` is the only code that changes it, so a run that is loaded from Postgres and a
 * run that was just decided are the same. Invariants: `open` of a scope counts its steps that have not ended; `blocked` of a step counts its
 * dependencies that have not ended; `inFlight` holds the steps whose call or turn is out; `waiting` those that wait for people or time.
 */
import type { BatonError, BlobRef, Ending, Json, RunStatus, SecretSlot, StepStatus, StoredEvent } from '@baton/contracts'
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
  secrets?: SecretSlot[]
  /** `now` and `vars` as they were when the step was scheduled. */
  now?: number
  vars?: Record<string, Json>
  output: Json | BlobRef
  error: BatonError | null
  /** True when the failure is tolerated by `onError`. */
  tolerated: boolean
  scheduledAt: number | null
  startedAt: number | null
  endedAt: number | null
  waitingFor?: WaitingFor
  /** When its timer is due: end of a wait or backoff, deadline of an approval. */
  dueAt?: number
  /** Inner scope of a container that has started. */
  inner?: ScopeState
  /** Which case of a switch was taken. */
  chosen?: number | 'default' | null
}

export type WaitingFor =
  | { kind: 'approval'; approval: string; assignees: string[]; deadline: string | null }
  | { kind: 'timer'; until: string }

export interface ScopeState {
  /** Path of the container instance with a dot, or '' at the top. */
  prefix: string
  scope: Scope
  owner?: StepState
  steps: StepState[]
  open: number
  /** Set by step.ending, when an inner failure (or the container's timeout) ends this scope: nothing new starts in it, nor in those inside it. */
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
  root: ScopeState
  steps: Map<string, StepState>
  inFlight: Set<StepState>
  waiting: Set<StepState>
  retrying: Set<StepState>
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
}) {
  const { workflow, version, labels = {}, priority = 5, startedBy } = run
  return { workflow, version, labels, priority, startedBy }
}

/** Makes the steps of a scope instance, all pending. */
function openScope(state: RunState, scope: Scope, prefix: string, owner?: StepState): ScopeState {
  const instance: ScopeState = { prefix, scope, steps: [], open: scope.steps.length, ...(owner ? { owner } : {}) }
  for (const step of scope.steps) {
    const path = prefix + step.id
    const stepState: StepState = {
      path,
      step,
      scope: instance,
      status: 'pending',
      generation: 0,
      attempt: 1,
      blocked: step.needs.length,
      output: null,
      error: null,
      tolerated: false,
      scheduledAt: null,
      startedAt: null,
      endedAt: null,
    }
    instance.steps.push(stepState)
    state.steps.set(path, stepState)
  }
  return instance
}

/** True when the step has ended. */
export function hasEnded(step: StepState): boolean {
  return step.status === 'succeeded' || step.status === 'failed' || step.status === 'skipped' || step.status === 'cancelled'
}

/** Why the scope, or one around it, is ending; undefined while all of them go on. */
export function failureOf(scope: ScopeState): BatonError | undefined {
  for (let at: ScopeState | undefined = scope; at; at = at.owner?.scope) if (at.failing) return at.failing
  return undefined
}

/** True when steps that depend on this one may go on. */
export function isSatisfied(step: StepState): boolean {
  return step.status === 'succeeded' || step.status === 'skipped' || (step.status === 'failed' && step.tolerated)
}

/** Folds one event into the state. Throws when the event is not the next one. */
export function applyEvent(state: RunState, event: StoredEvent): void {
  if (event.seq !== state.seq + 1) throw new Error(`run ${state.header.runId}: event ${event.seq} does not follow ${state.seq}`)
  state.seq = event.seq
  state.at = Math.max(state.at, event.at)
  if (event.path === '') applyRunEvent(state, event)
  else if (event.type.startsWith('step.')) applyStepEvent(state, event)
}

function applyRunEvent(state: RunState, event: StoredEvent): void {
  const data = event.data
  switch (event.type) {
    case 'run.started':
      state.status = 'running'
      state.startedAt = event.at
      break
    case 'run.waiting':
      state.status = 'waiting'
      break
    case 'run.paused':
      state.pausedFrom = state.status
      state.status = 'paused'
      break
    case 'run.resumed':
      state.status = (data.to as RunStatus | undefined) ?? 'running'
      delete state.pausedFrom
      break
    case 'run.ending':
      state.ending = data.ending as Ending
      state.error = (data.error as BatonError | undefined) ?? null
      break
    case 'run.succeeded':
    case 'run.failed':
    case 'run.cancelled':
    case 'run.timed_out':
      state.status = event.type.slice(4) as RunStatus
      state.endedAt = event.at
      state.output = data.output ?? null
      state.error = (data.error as BatonError | undefined) ?? null
      delete state.ending
      delete state.pausedFrom
      break
  }
}

function applyStepEvent(state: RunState, event: StoredEvent): void {
  const step = state.steps.get(event.path)
  if (!step) throw new Error(`run ${state.header.runId}: event ${event.seq} names an unknown step ${event.path}`)
  const data = event.data
  step.generation = (data.generation as number | undefined) ?? step.generation
  step.attempt = (data.attempt as number | undefined) ?? step.attempt
  switch (event.type) {
    case 'step.scheduled':
      applyScheduled(state, step, event)
      break
    case 'step.waiting':
      move(state, step, 'waiting')
      step.startedAt = timeOf(data.startedAt) ?? event.at
      step.waitingFor = data.waitingFor as WaitingFor
      setDue(step, data.dueAt)
      break
    case 'step.retrying':
      move(state, step, 'retrying')
      step.error = data.error as BatonError
      step.startedAt = timeOf(data.startedAt) ?? step.startedAt
      setDue(step, data.retryAt)
      break
    case 'step.ending':
      step.inner!.failing = data.error as unknown as BatonError
      break
    case 'step.succeeded':
    case 'step.failed':
    case 'step.skipped':
    case 'step.cancelled':
      applyEnded(state, step, event)
      break
  }
}

function applyScheduled(state: RunState, step: StepState, event: StoredEvent): void {
  const data = event.data
  step.scheduledAt = event.at
  // What the runner does by itself starts at once; what is outside says when it started.
  if (!isOutside(step)) step.startedAt = event.at
  if (data.input !== undefined) step.input = data.input
  if (data.secrets !== undefined) step.secrets = data.secrets as SecretSlot[]
  if (data.now !== undefined) step.now = timeOf(data.now)!
  if (data.vars !== undefined) step.vars = data.vars as Record<string, Json>
  setDue(step, undefined)
  move(state, step, 'running')
  if (step.step.body.kind !== 'switch' || data.case === undefined) return
  step.chosen = data.case as number | 'default' | null
  const body = step.step.body
  const scope = step.chosen === 'default' ? body.default : step.chosen === null ? undefined : body.cases[step.chosen]?.scope
  if (scope) step.inner = openScope(state, scope, `${step.path}.`, step)
}

function applyEnded(state: RunState, step: StepState, event: StoredEvent): void {
  const data = event.data
  const ended = hasEnded(step)
  move(state, step, event.type.slice(5) as StepStatus)
  step.output = data.output ?? null
  step.error = (data.error as BatonError | undefined) ?? null
  step.tolerated = data.tolerated === true
  step.startedAt = timeOf(data.startedAt) ?? step.startedAt
  step.endedAt = event.at
  delete step.waitingFor
  setDue(step, undefined)
  if (ended) return
  step.scope.open -= 1
  for (const index of step.step.dependents) step.scope.steps[index]!.blocked -= 1
}

/** Kinds whose work is out of the runner's hands while they run. */
export function isOutside(step: StepState): boolean {
  const kind = step.step.kind
  return kind === 'http' || kind === 'agent'
}

function move(state: RunState, step: StepState, status: StepStatus): void {
  if (step.status === 'running') state.inFlight.delete(step)
  else if (step.status === 'waiting') state.waiting.delete(step)
  else if (step.status === 'retrying') state.retrying.delete(step)
  step.status = status
  if (status === 'running' && isOutside(step)) state.inFlight.add(step)
  else if (status === 'waiting') state.waiting.add(step)
  else if (status === 'retrying') state.retrying.add(step)
}

function setDue(step: StepState, dueAt: Json | undefined): void {
  const due = timeOf(dueAt)
  if (due === undefined) delete step.dueAt
  else step.dueAt = due
}

/** Milliseconds since 1970 of a time as events hold it (RFC 3339), or undefined. */
function timeOf(value: Json | undefined): number | undefined {
  return typeof value === 'string' ? Date.parse(value) : undefined
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
