/** Folding: the only code that changes the state of a run. */
import type { BatonError, Ending, Json, RequestSlot, RunStatus, StepStatus, StoredEvent } from '@baton/contracts'
import { compensationAt } from './compensations.ts'
import { instanceAt, openCase, openItems, placeOf, settleItem } from './instances.ts'
import { applyReset, type Reset } from './resets.ts'
import { hasEnded, isOutside, type RunState, type StepState, type WaitingFor } from './state.ts'

/** Folds one event into the state. Throws when the event is not the next one. */
export function applyEvent(state: RunState, event: StoredEvent): void {
  if (event.seq !== state.seq + 1) throw new Error(`run ${state.header.runId}: event ${event.seq} does not follow ${state.seq}`)
  state.seq = event.seq
  state.at = Math.max(state.at, event.at)
  if (event.path === '') applyRunEvent(state, event)
  else if (event.type.startsWith('step.')) applyStepEvent(state, event)
  else if (event.type === 'callback.received') stepAt(state, event).callback = event.data.callback ?? null
}

function applyRunEvent(state: RunState, event: StoredEvent): void {
  const data = event.data
  switch (event.type) {
    case 'run.admitted':
      state.admitted = true
      break
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
    case 'run.reopened':
      state.status = 'running'
      state.endedAt = null
      state.output = null
      state.error = null
      state.startedAt ??= event.at
      state.reopenedAt = event.at
      delete state.admitted
      state.reopenings = (state.reopenings ?? 0) + 1
      applyReset(state, data as unknown as Reset, event.at)
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
  const data = event.data
  if (event.type === 'step.ending') return applyEnding(state, event)
  if (event.type === 'step.replayed') return applyReset(state, data as unknown as Reset, event.at)
  const step = stepAt(state, event)
  if (state.hasReplayed) beginAround(step, event.at)
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
      if (data.call !== undefined) step.answer = data.call
      setDue(step, data.dueAt)
      break
    case 'step.retrying':
      move(state, step, 'retrying')
      step.error = data.error as BatonError
      step.startedAt = timeOf(data.startedAt) ?? step.startedAt
      setDue(step, data.retryAt)
      break
    case 'step.succeeded':
    case 'step.failed':
    case 'step.skipped':
    case 'step.cancelled':
      applyEnded(state, step, event)
      break
  }
}

/** The step of an event. The first event of an item or a round opens it, the first of a compensation makes it. */
function stepAt(state: RunState, event: StoredEvent): StepState {
  const { path } = event
  if (!state.steps.has(path)) instanceAt(state, path.slice(0, Math.max(0, path.lastIndexOf('.'))))
  const step = state.steps.get(path) ?? compensationAt(state, path)
  if (!step) throw new Error(`run ${state.header.runId}: event ${event.seq} names an unknown step ${path}`)
  const { owner } = step.scope
  if (owner?.status === 'waiting') leaveDelay(state, owner)
  return step
}

/** What was put back to running around the step goes on from now. */
function beginAround(step: StepState, at: number): void {
  for (let owner = step.scope.owner; owner; owner = owner.scope.owner) {
    if (!owner.rests) continue
    delete owner.rests
    owner.scheduledAt = at
  }
}

/** A loop that waited between two rounds goes on with the next. */
function leaveDelay(state: RunState, loop: StepState): void {
  delete loop.waitingFor
  setDue(loop, undefined)
  move(state, loop, 'running')
}

/** What is inside a container, or one item of a `forEach`, comes to its end by this error. */
function applyEnding(state: RunState, event: StoredEvent): void {
  const error = event.data.error as unknown as BatonError
  const container = state.steps.get(event.path)
  if (container) {
    container.failing = error
    return
  }
  const item = instanceAt(state, event.path)
  if (!item) throw new Error(`run ${state.header.runId}: event ${event.seq} names an unknown item ${event.path}`)
  item.failing = error
  settleItem(item)
}

function applyScheduled(state: RunState, step: StepState, event: StoredEvent): void {
  const data = event.data
  step.scheduledAt = event.at
  // What the runner does by itself starts at once; what is outside says when it started.
  if (!isOutside(step)) step.startedAt = event.at
  if (data.input !== undefined) step.input = data.input
  if (data.secrets !== undefined) step.secrets = data.secrets as RequestSlot[]
  if (data.now !== undefined) step.now = timeOf(data.now)!
  if (data.vars !== undefined) step.vars = data.vars as Record<string, Json>
  setDue(step, undefined)
  move(state, step, 'running')
  if (data.case !== undefined) {
    step.chosen = data.case as number | 'default' | null
    openCase(state, step)
  }
  if (data.count !== undefined) openItems(step, data.count as number)
}

function applyEnded(state: RunState, step: StepState, event: StoredEvent): void {
  const data = event.data
  const ended = hasEnded(step)
  move(state, step, event.type.slice(5) as StepStatus)
  step.output = data.output ?? null
  step.error = (data.error as BatonError | undefined) ?? null
  step.tolerated = data.tolerated === true
  step.startedAt = timeOf(data.startedAt) ?? step.startedAt
  if (data.copied === true) step.copied = true
  step.endedAt = timeOf(data.endedAt) ?? event.at
  step.endedSeq = event.seq
  delete step.rests
  delete step.waitingFor
  delete step.answer
  delete step.callback
  setDue(step, undefined)
  if (!ended && !step.undoes) {
    step.scope.open -= 1
    for (const index of step.step.dependents) step.scope.steps[index]!.blocked -= 1
  }
  if (data.accepted !== undefined) state.eventsTaken.set(placeOf(step), data.accepted as number)
  settleItem(step.scope)
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
