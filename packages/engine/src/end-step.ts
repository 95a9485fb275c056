/** How steps, scopes and runs end (CONTRACT §3): retries, `onError`, and how far a failure spreads. */
import type { BatonError, Ending, EventType, Json } from '@baton/contracts'
import { idOf, isTerminal } from '@baton/contracts'
import { type ApprovalDecided, clearTimer, type Deciding, emit, envOf, errorOf, isLive, packed, setTimer, timeText } from './deciding.ts'
import { ExpressionError } from './expression-error.ts'
import { evaluateCondition } from './expressions.ts'
import { failureOf, hasEnded, isOutside, type ScopeState, type StepState } from './state.ts'
import { renderTemplate } from './templates.ts'

type End = 'succeeded' | 'failed' | 'skipped' | 'cancelled'

/** Puts down the end of a step, queues what waited for it, and ends the container around it when that was the last. */
export function endStep(d: Deciding, step: StepState, end: End, data: Record<string, Json>): void {
  putEnd(d, step, end, data)
  finishOwner(d, step)
}

function putEnd(d: Deciding, step: StepState, end: End, data: Record<string, Json>): void {
  clearTimers(d, step)
  emit(d, `step.${end}` as EventType, step.path, { generation: step.generation, attempt: step.attempt, ...startOf(step), ...data })
  for (const index of step.step.dependents) d.queue.push(step.scope.steps[index]!)
}

/** When the work began is told by its result alone, so the event of that result carries it. */
function startOf(step: StepState): Record<string, Json> {
  return step.startedAt === null ? {} : { startedAt: timeText(step.startedAt) }
}

function clearTimers(d: Deciding, step: StepState): void {
  if (step.status === 'retrying') clearTimer(d, step.path, 'retry')
  else if (step.waitingFor?.kind === 'approval' && step.dueAt !== undefined) clearTimer(d, step.path, 'approval')
  else if (step.waitingFor?.kind === 'timer') clearTimer(d, step.path, 'wait')
  if (step.step.timeoutMs !== undefined && (step.inner || step.waitingFor?.kind === 'timer')) clearTimer(d, step.path, 'timeout')
}

/** An attempt of a step failed: try again, or end it and let the failure spread as far as nothing tolerates it. */
export function failStep(d: Deciding, step: StepState, error: BatonError, retryable: boolean): void {
  if (mayRetry(d, step, error, retryable)) return retryStep(d, step, error)
  const tolerance = toleranceOf(d, step, error)
  putEnd(d, step, 'failed', { error: tolerance.error as unknown as Json, ...tolerance.data })
  if (!tolerance.tolerated) spreadFailure(d, step, tolerance.error)
  finishOwner(d, step)
}

/** Only work outside the runner is tried again: deciding the same expression or question twice gives the same answer. */
function mayRetry(d: Deciding, step: StepState, error: BatonError, retryable: boolean): boolean {
  const { retry } = step.step
  if (step.attempt >= retry.attempts || !isOutside(step) || step.status !== 'running' || !isLive(d, step.scope)) return false
  if (!retry.on) return retryable
  try {
    return evaluateCondition(retry.on, envOf(d, step.scope, step, { error: error as unknown as Json }))
  } catch (problem) {
    if (problem instanceof ExpressionError) return false
    throw problem
  }
}

function retryStep(d: Deciding, step: StepState, error: BatonError): void {
  const { backoff, initialMs, maxMs, jitter } = step.step.retry
  const full = backoff === 'fixed' ? initialMs : Math.min(maxMs, initialMs * 2 ** (step.attempt - 1))
  const delayMs = Math.max(jitter ? d.ctx.random() * full : full, Math.min(error.retryAfterMs ?? 0, maxMs))
  const retryAt = Math.ceil(d.ctx.now + delayMs)
  const { generation, attempt } = step
  emit(d, 'step.retrying', step.path, {
    generation,
    attempt,
    ...startOf(step),
    error: error as unknown as Json,
    retryAt: timeText(retryAt),
  })
  setTimer(d, step, 'retry', retryAt)
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

/** A failure that is not tolerated ends the scopes around it, up to the first container that tolerates it, or the run. */
function spreadFailure(d: Deciding, step: StepState, error: BatonError): void {
  const owner = step.scope.owner
  let container = owner
  while (container && container.step.onError.mode === 'fail') container = container.scope.owner
  if (owner && container) failScope(d, owner, errorOf('BTN_STEP_FAILED', `step ${step.path} failed`, { step: step.path, cause: error }))
  else endRun(d, 'failed', { ...error, step: error.step ?? step.path })
}

/** Ends a container's scope: nothing new starts in it, what waits is cancelled; the container fails when what is in flight has ended. */
export function failScope(d: Deciding, container: StepState, error: BatonError): void {
  const scope = container.inner
  if (!scope || d.state.ending !== undefined || failureOf(scope) || hasEnded(container)) return
  const { generation, attempt } = container
  emit(d, 'step.ending', container.path, { generation, attempt, error: error as unknown as Json })
  cancelWaiting(d, scope)
  finishContainer(d, container, scope)
}

/** Cancels every step of a scope, and of the scopes in it, that waits for people, time or a backoff. */
export function cancelWaiting(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) {
    if (step.status === 'waiting' || step.status === 'retrying' || step.status === 'ready') cancelStep(d, step)
    else if (step.inner && !hasEnded(step)) {
      cancelWaiting(d, step.inner)
      finishContainer(d, step, step.inner)
    }
  }
}

/** Cancels one step; its approval is withdrawn, unless people have just decided it. */
export function cancelStep(d: Deciding, step: StepState): void {
  if (step.waitingFor?.kind === 'approval') cancelApproval(d, step)
  endStep(d, step, 'cancelled', {})
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

function finishOwner(d: Deciding, step: StepState): void {
  const { owner } = step.scope
  if (owner) finishContainer(d, owner, step.scope)
}

/** Ends a container whose inner steps have all ended, or whose scope (or run) is ending and has nothing under way any more. */
function finishContainer(d: Deciding, container: StepState, scope: ScopeState): void {
  if (hasEnded(container)) return
  if (d.state.ending !== undefined || failureOf(scope)) {
    if (isUnderWay(scope)) return
    const culprit = scope.steps.find((step) => step.status === 'failed' && !step.tolerated)
    if (isLive(d, container.scope)) return failStep(d, container, scope.failing!, false)
    if (!culprit) return endStep(d, container, 'cancelled', {})
    const error = errorOf('BTN_STEP_FAILED', `step ${culprit.path} failed`, {
      step: culprit.path,
      ...(culprit.error ? { cause: culprit.error } : {}),
    })
    return endStep(d, container, 'failed', { error: error as unknown as Json })
  }
  if (scope.open > 0) return
  const outputs = Object.fromEntries(scope.steps.map((step) => [step.step.id, step.output as Json]))
  const output = packed(d, { case: container.chosen ?? null, outputs })
  if (output !== undefined) return endStep(d, container, 'succeeded', { output: output as Json })
  failStep(d, container, errorOf('BTN_OUTPUT_TOO_LARGE', `the output of step ${container.path} is over the limit`), false)
}

function isUnderWay(scope: ScopeState): boolean {
  return scope.steps.some((step) => step.status === 'running' || step.status === 'waiting' || step.status === 'retrying')
}

/** Begins the end of a run that does not succeed: nothing new starts, what waits is cancelled. One that is ending already goes on as it is. */
export function endRun(d: Deciding, ending: Ending, error: BatonError | null): void {
  const { state } = d
  if (state.ending || isTerminal(state.status)) return
  emit(d, 'run.ending', '', { ending, ...(error ? { error: error as unknown as Json } : {}) })
  cancelWaiting(d, state.root)
}
