/** How steps, scopes and runs end (CONTRACT §3): retries, `onError`, and how far a failure spreads. */
import type { BatonError, Ending, EventType, Json } from '@baton/contracts'
import { idOf, isTerminal } from '@baton/contracts'
import { type ApprovalDecided, clearTimer, type Deciding, emit, envOf, errorOf, isLive, packed, setTimer, timeText } from './deciding.ts'
import { ExpressionError } from './expression-error.ts'
import { evaluateCondition } from './expressions.ts'
import { instanceOf, isContainer, openScopes } from './instances.ts'
import { awaitsCallback, failureOf, hasEnded, isOutside, type ScopeState, type StepState } from './state.ts'
import { renderTemplate } from './templates.ts'
import { timersOf } from './timers.ts'
import { withdrawTask } from './withdraw-task.ts'

type End = 'succeeded' | 'failed' | 'skipped' | 'cancelled'

/** Puts down the end of a step, queues what waited for it, and ends the container around it when that was the last. */
export function endStep(d: Deciding, step: StepState, end: End, data: Record<string, Json>): void {
  putEnd(d, step, end, data)
  touchOwner(d, step)
}

function putEnd(d: Deciding, step: StepState, end: End, data: Record<string, Json>): void {
  clearTimers(d, step)
  if (step.waitingFor?.kind === 'event') stopWaiting(d, step)
  if (awaitsCallback(step) && step.scheduledAt !== null && step.callback === undefined) closeCallback(d, step)
  emit(d, `step.${end}` as EventType, step.path, { generation: step.generation, attempt: step.attempt, ...startOf(step), ...data })
  for (const index of step.step.dependents) d.queue.push(step.scope.steps[index]!)
}

/** When the work began is told by its result alone, so the event of that result carries it. */
function startOf(step: StepState): Record<string, Json> {
  return step.startedAt === null ? {} : { startedAt: timeText(step.startedAt) }
}

function clearTimers(d: Deciding, step: StepState): void {
  for (const { timer } of timersOf(step)) clearTimer(d, step.path, timer)
}

/** No event is to wake it any more. */
function stopWaiting(d: Deciding, step: StepState): void {
  const set = d.decision.waitersSet.findIndex(({ path }) => path === step.path)
  if (set >= 0) d.decision.waitersSet.splice(set, 1)
  d.decision.waitersCleared.push(step.path)
}

/** Its address has gone out with a call, and is worth nothing from now on; unless it was used, and what ends the step came of another callback. */
function closeCallback(d: Deciding, { path, generation }: StepState): void {
  if (d.callbacks.some((callback) => callback.path === path && callback.generation === generation)) return
  d.decision.callbacksClosed.push({ path, generation })
}

/** An attempt of a step failed: try again, or end it and let the failure spread as far as nothing tolerates it. */
export function failStep(d: Deciding, step: StepState, error: BatonError, retryable: boolean): void {
  if (mayRetry(d, step, error, retryable) && retryStep(d, step, error)) return
  const tolerance = toleranceOf(d, step, error)
  putEnd(d, step, 'failed', { error: tolerance.error as unknown as Json, ...tolerance.data })
  if (!tolerance.tolerated) spreadFailure(d, step, tolerance.error)
  touchOwner(d, step)
}

/** A call or turn that is out, or a task that is offered. */
function isTried(step: StepState): boolean {
  return isOutside(step) ? step.status === 'running' : step.step.kind === 'task' && step.status === 'waiting'
}

/** Only work outside the runner is tried again: deciding the same expression or question twice gives the same answer. */
function mayRetry(d: Deciding, step: StepState, error: BatonError, retryable: boolean): boolean {
  const { retry } = step.step
  if (step.attempt >= retry.attempts || !isTried(step)) return false
  if (!isLive(d, step.scope) && !step.undoes) return false
  if (!retry.on) return retryable
  try {
    return evaluateCondition(retry.on, envOf(d, step.scope, step, { error: error as unknown as Json }))
  } catch (problem) {
    if (problem instanceof ExpressionError) return false
    throw problem
  }
}

/** Puts down that the step is tried again; false when the time for the whole wait would be over by then. */
function retryStep(d: Deciding, step: StepState, error: BatonError): boolean {
  const { backoff, initialMs, maxMs, jitter } = step.step.retry
  const full = backoff === 'fixed' ? initialMs : Math.min(maxMs, initialMs * 2 ** (step.attempt - 1))
  const delayMs = Math.max(jitter ? d.ctx.random() * full : full, Math.min(error.retryAfterMs ?? 0, maxMs))
  const retryAt = Math.ceil(d.ctx.now + delayMs)
  const until = step.waitingFor?.kind === 'task' ? step.waitingFor.until : null
  if (until !== null && retryAt >= Date.parse(until)) return false
  clearTimers(d, step)
  const { generation, attempt } = step
  emit(d, 'step.retrying', step.path, {
    generation,
    attempt,
    ...startOf(step),
    error: error as unknown as Json,
    retryAt: timeText(retryAt),
  })
  setTimer(d, step, 'retry', retryAt)
  return true
}

/** What `onError` makes of a failure. A failure in its own expression is not tolerated. */
function toleranceOf(
  d: Deciding,
  step: StepState,
  error: BatonError,
): { tolerated: boolean; error: BatonError; data: Record<string, Json> } {
  const { onError } = step.step
  if (onError.mode === 'fail') return { tolerated: false, error, data: {} }
  if (onError.mode === 'continue') return { tolerated: true, error, data: { tolerated: true } }
  try {
    const output = packed(d, renderTemplate(onError.output, envOf(d, step.scope, step, { error: error as unknown as Json })))
    if (output !== undefined) return { tolerated: true, error, data: { tolerated: true, output: output as Json } }
    return { tolerated: false, error: errorOf('BTN_OUTPUT_TOO_LARGE', 'onError.output is over the limit', { cause: error }), data: {} }
  } catch (problem) {
    if (!(problem instanceof ExpressionError)) throw problem
    return { tolerated: false, error: errorOf(problem.code, problem.message, { cause: error }), data: {} }
  }
}

/**
 * A failure that is not tolerated ends what is around it, one container after the other, up to the first that tolerates it; the run itself at
 * once when none does.
 */
export function spreadFailure(d: Deciding, step: StepState, error: BatonError): void {
  if (!isToleratedAround(step.scope)) return endRun(d, 'failed', { ...error, step: error.step ?? step.path })
  const { scope } = step
  const failure = errorOf('BTN_STEP_FAILED', `step ${step.path} failed`, { step: step.path, cause: error })
  if (keepsFailures(scope)) failItem(d, scope, failure)
  else failContainer(d, scope.owner!, failure)
}

function isToleratedAround(scope: ScopeState): boolean {
  for (let at: ScopeState | undefined = scope; at?.owner; at = at.owner.scope) {
    if (keepsFailures(at) || at.owner.step.onError.mode !== 'fail') return true
  }
  return false
}

/** True for an item whose failure is a result like any other. */
export function keepsFailures(scope: ScopeState): boolean {
  const body = scope.owner?.step.body
  return body?.kind === 'forEach' && body.onItemError === 'continue'
}

function failItem(d: Deciding, scope: ScopeState, error: BatonError): void {
  if (!isLive(d, scope)) return
  emit(d, 'step.ending', instanceOf(scope), { index: scope.index!, error: error as unknown as Json })
  cancelWaiting(d, scope)
  d.closing.push(scope.owner!)
}

/** Ends what is inside a container: nothing new starts there, what waits is cancelled; the container fails when what is in flight has ended. */
export function failContainer(d: Deciding, container: StepState, error: BatonError): void {
  if (d.state.ending !== undefined || container.failing || failureOf(container.scope) || hasEnded(container)) return
  const { generation, attempt } = container
  emit(d, 'step.ending', container.path, { generation, attempt, error: error as unknown as Json })
  for (const scope of openScopes(container)) cancelWaiting(d, scope)
  d.closing.push(container)
}

/** Cancels every step of a scope, and of the scopes in it, that waits for people, time or a backoff. */
export function cancelWaiting(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) {
    if (step.status === 'waiting' || step.status === 'retrying' || step.status === 'ready') cancelStep(d, step)
    else if (step.status === 'running' && isContainer(step)) {
      for (const inner of openScopes(step)) cancelWaiting(d, inner)
      d.closing.push(step)
    }
  }
}

/** Cancels one step; its approval or task is withdrawn, unless it has just been decided or ended. */
export function cancelStep(d: Deciding, step: StepState): void {
  if (step.waitingFor?.kind === 'approval') cancelApproval(d, step)
  if (step.waitingFor?.kind === 'run') cancelChild(d, step.waitingFor.run)
  withdrawTask(d, step)
  endStep(d, step, 'cancelled', {})
}

/** The child run that a step waited for is to end too. */
export function cancelChild(d: Deciding, run: string): void {
  const fact = { kind: 'cancel', by: idOf('run', d.state.header.runId) } as const
  d.decision.told.push({ runId: run.slice(4), fact })
}

function cancelApproval(d: Deciding, step: StepState): void {
  const approval = approvalIdOf(step)
  const id = approval.slice(4)
  const decided = d.decided.find((fact) => fact.approvalId === id)
  if (decided) {
    recordDecision(d, step, decided)
    return
  }
  const opened = d.decision.approvalsOpened.findIndex((opening) => opening.id === id)
  if (opened >= 0) d.decision.approvalsOpened.splice(opened, 1)
  else d.decision.approvalsClosed.push({ id, status: 'cancelled', decision: null })
  emit(d, 'approval.cancelled', step.path, { approval })
}

/** Puts down what people decided; gives the step's output. */
export function recordDecision(d: Deciding, step: StepState, fact: ApprovalDecided): Record<string, Json> {
  const { decision, comment, data, decidedBy } = fact
  const output = { decision, comment, data, decidedBy, decidedAt: timeText(fact.decidedAt) }
  emit(d, 'approval.decided', step.path, { approval: idOf('approval', fact.approvalId), ...output })
  return output
}

/** The public id of the approval that the step waits for. */
export function approvalIdOf(step: StepState): string {
  if (step.waitingFor?.kind !== 'approval') throw new Error(`step ${step.path} does not wait for an approval`)
  return step.waitingFor.approval
}

/** The container around the step may have come to its end, and whatever item the step is in may have made room for another. */
function touchOwner(d: Deciding, step: StepState): void {
  const { owner } = step.scope
  if (owner) d.closing.push(owner)
  if (d.state.hasReplayed) for (let at = owner; at; at = at.scope.owner) if (at.items) d.filling.add(at)
}

/** Begins the end of a run that does not succeed: nothing new starts, what waits is cancelled. One that is ending already goes on as it is. */
export function endRun(d: Deciding, ending: Ending, error: BatonError | null): void {
  const { state } = d
  if (state.ending || isTerminal(state.status)) return
  emit(d, 'run.ending', '', { ending, ...(error ? { error: error as unknown as Json } : {}) })
  cancelWaiting(d, state.root)
}
