/**
 * decide: what a run does next. Deterministic: the same state, facts and context give the same decision; no I/O, no clock. It moves `state` on
 * in place, so a caller whose commit did not succeed must forget the state and load it again.
 */
import type { BatonError, InboxFact, Json } from '@baton/contracts'
import { callIdOf, isTerminal } from '@baton/contracts'
import { expireApproval, takeDecision } from './approve-step.ts'
import { compensationOf, nextToUndo } from './compensations.ts'
import { clearTimer, type Deciding, emit, errorOf, isLive, setRunTimer, setTimer, startScope } from './deciding.ts'
import type { DecideContext, Decision, EngineFact } from './decision.ts'
import { finishRun } from './end-run.ts'
import { cancelStep, cancelWaiting, endRun, endStep, failContainer, failStep, spreadFailure } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import { finishContainer, nextRound } from './finish-containers.ts'
import { isContainer, openScopes } from './instances.ts'
import { reopeningOf } from './resets.ts'
import { sendWork } from './send-work.ts'
import { startCompensation, startIfReady } from './start-step.ts'
import { hasEnded, type RunState, type ScopeState, type StepState } from './state.ts'
import { timersOf } from './timers.ts'

/** Lets the facts move the run on, in order. Throws BlobsNeeded when an expression reads a payload that is not in the context. */
export function decide(state: RunState, facts: readonly EngineFact[], ctx: DecideContext): Decision {
  const decision: Decision = {
    events: [],
    calls: [],
    turns: [],
    timersSet: [],
    timersCleared: [],
    approvalsOpened: [],
    approvalsClosed: [],
    blobs: new Map(),
  }
  const d: Deciding = {
    state,
    // What a process knows of Postgres' clock may be a little behind that of the one before it: the time of a run never goes back.
    ctx: { ...ctx, now: Math.max(ctx.now, state.at) },
    decision,
    queue: [],
    closing: [],
    sent: new Set(),
    timers: new Map(),
    decided: facts.filter((fact) => fact.kind === 'approval-decided'),
  }
  const resend = new Set<string>()
  let resendAll = false
  for (const fact of facts) {
    if (fact.kind === 'resend') {
      if (fact.calls === 'all') resendAll = true
      else for (const call of fact.calls) resend.add(call)
      continue
    }
    // What was in flight when the run was paused may be lost since: nobody looks for the calls of a paused run.
    if ((fact.kind === 'result' && fact.redelivered) || (fact.kind === 'resume' && state.status === 'paused')) resendAll = true
    takeFact(d, fact)
    drain(d)
  }
  if (resendAll || resend.size > 0) sendAgain(d, resendAll ? 'all' : resend)
  endStuck(d)
  endWhatIsLeft(d)
  finishRun(d)
  settleStatus(d)
  for (const { path, timer, ...setting } of d.timers.values()) {
    if (setting.dueAt === null) decision.timersCleared.push({ path, timer })
    else decision.timersSet.push({ path, timer, ...(setting as { generation: number; attempt: number; dueAt: number }) })
  }
  return decision
}

function takeFact(d: Deciding, fact: Exclude<EngineFact, { kind: 'resend' }>): void {
  if (fact.kind === 'retry' || fact.kind === 'replay') return reopenRun(d, fact)
  if (isTerminal(d.state.status)) return
  switch (fact.kind) {
    case 'start':
      return startRun(d)
    case 'result':
    case 'turn':
      return takeResult(d, fact)
    case 'timer':
      return takeTimer(d, fact)
    case 'approval-decided':
      return takeApproval(d, fact)
    case 'abort':
      return abortRun(d, fact.error)
    case 'cancel':
      return endRun(d, 'cancelled', null)
    case 'pause':
      if (d.state.status !== 'paused' && !d.state.ending) pauseRun(d, fact.by)
      return
    case 'resume':
      if (d.state.status === 'paused') resumeRun(d, fact.by)
      return
  }
}

function startRun(d: Deciding): void {
  if (d.state.status !== 'queued' || d.state.ending) return
  emit(d, 'run.started', '', {})
  startScope(d, d.state.root)
}

/** Nothing of it can be relied on, so nothing is undone either. */
function abortRun(d: Deciding, error: BatonError): void {
  endRun(d, 'failed', error)
  d.aborted = true
  for (const step of [...d.state.inFlight]) cancelStep(d, step)
  for (const step of d.state.compensations) if (!hasEnded(step)) cancelStep(d, step)
}

type Result = Extract<EngineFact, { kind: 'result' } | { kind: 'turn' }>

function takeResult(d: Deciding, fact: Result): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status !== 'running' || step.generation !== fact.generation || step.attempt !== fact.attempt || !d.state.inFlight.has(step))
    return
  const { outcome } = fact
  const withdrawn = outcome.status === 'failed' && outcome.error.code === 'BTN_WITHDRAWN'
  if (withdrawn) return d.state.ending && !step.undoes ? cancelStep(d, step) : undefined
  step.startedAt = fact.startedAt
  if (outcome.status === 'succeeded') return endStep(d, step, 'succeeded', { output: outcome.output })
  failStep(d, step, outcome.error, outcome.retryable)
}

function takeApproval(d: Deciding, fact: Extract<InboxFact, { kind: 'approval-decided' }>): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status === 'waiting' && step.generation === fact.generation && step.waitingFor?.kind === 'approval') takeDecision(d, step, fact)
}

function takeTimer(d: Deciding, fact: Extract<EngineFact, { kind: 'timer' }>): void {
  const { path, timer } = fact
  const step = d.state.steps.get(path)
  if (step && isOvertaken(step, fact)) return
  clearTimer(d, path, timer)
  if (d.state.status === 'paused') return // fires at resume, which sets it again
  if (path === '') return endRun(d, 'timed_out', errorOf('BTN_RUN_TIMEOUT', 'the run took longer than its timeout'))
  if (!step || hasEnded(step) || step.generation !== fact.generation || step.attempt !== fact.attempt) return
  // It is due by Postgres' clock, whatever this process thinks that it says.
  const due = timersOf(step).find((own) => own.timer === timer)
  if (due) d.ctx = { ...d.ctx, now: Math.max(d.ctx.now, due.dueAt) }
  if (timer === 'more') return void d.closing.push(step)
  if (timer === 'timeout' && isContainer(step))
    return failContainer(d, step, errorOf('BTN_TIMEOUT', `step ${path} took longer than its timeout`))
  if (timer === 'timeout' && step.status === 'waiting')
    return failStep(d, step, errorOf('BTN_TIMEOUT', `step ${path} took longer than its timeout`), false)
  if (timer === 'retry' && step.status === 'retrying') return tryAgain(d, step)
  if (timer === 'approval' && step.status === 'waiting') return expireApproval(d, step)
  if (timer === 'wait' && step.status === 'waiting') {
    if (step.step.kind === 'loop') return resumeLoop(d, step)
    endStep(d, step, 'succeeded', { output: { waitedMs: Math.max(0, Math.round(d.ctx.now - (step.startedAt ?? d.ctx.now))) } })
  }
}

/** True when the row of this timer is by now that of a later attempt: a fact that comes this late must not take it away. */
function isOvertaken(step: StepState, fact: Extract<EngineFact, { kind: 'timer' }>): boolean {
  if (step.generation === fact.generation && step.attempt === fact.attempt) return false
  return timersOf(step).some(({ timer }) => timer === fact.timer)
}

/** The delay of a loop has passed. */
function resumeLoop(d: Deciding, loop: StepState): void {
  try {
    nextRound(d, loop)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    failStep(d, loop, errorOf(error.code, error.message), false)
  }
}

function tryAgain(d: Deciding, step: StepState): void {
  emit(d, 'step.scheduled', step.path, { generation: step.generation, attempt: step.attempt + 1 })
  sendWork(d, step)
}

/** Nothing is to fire meanwhile: every timer goes, and comes back at resume. */
function pauseRun(d: Deciding, by: string): void {
  const { state } = d
  emit(d, 'run.paused', '', { by, from: state.status })
  if (state.plan.timeoutMs !== undefined) clearTimer(d, '', 'run')
  for (const step of state.steps.values()) for (const { timer } of timersOf(step)) clearTimer(d, step.path, timer)
}

function resumeRun(d: Deciding, by: string): void {
  const { state } = d
  emit(d, 'run.resumed', '', { by, from: 'paused', to: state.pausedFrom ?? 'running' })
  if (state.plan.timeoutMs !== undefined) setRunTimer(d, (state.reopenedAt ?? state.header.createdAt) + state.plan.timeoutMs)
  for (const step of state.steps.values()) for (const { timer, dueAt } of timersOf(step)) setTimer(d, step, timer, dueAt)
  if (d.state.status === 'queued') return startRun(d)
  queueOpen(d, state.root)
}

/** Queues all that may have become ready while nothing was started. */
function queueOpen(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) {
    if (step.status === 'pending') d.queue.push(step)
    else if (!hasEnded(step) && isContainer(step)) {
      for (const inner of openScopes(step)) queueOpen(d, inner)
      d.closing.push(step)
    }
  }
}

/** Retry and replay, as far as they are still possible when their turn comes. */
function reopenRun(d: Deciding, fact: Extract<InboxFact, { kind: 'retry' | 'replay' }>): void {
  const { state } = d
  const wasTerminal = isTerminal(state.status)
  const plan = reopeningOf(state, fact)
  if ('refused' in plan) return
  const data = { ...plan.reset, by: fact.by, ...(fact.kind === 'replay' ? { replay: fact.path, reason: fact.reason } : {}) }
  if (wasTerminal) {
    emit(d, 'run.reopened', '', { from: state.status, ...data } as unknown as Record<string, Json>)
    if (state.plan.timeoutMs !== undefined) setRunTimer(d, d.ctx.now + state.plan.timeoutMs)
  } else emit(d, 'step.replayed', fact.kind === 'replay' ? fact.path : '', data as unknown as Record<string, Json>)
  for (const path of plan.reset.reopen) {
    const container = state.steps.get(path)!
    for (const { timer, dueAt } of timersOf(container)) setTimer(d, container, timer, dueAt)
  }
  queueOpen(d, state.root)
}

function drain(d: Deciding): void {
  for (let next = 0; ; ) {
    const container = d.closing.pop()
    if (container) {
      finishContainer(d, container)
      continue
    }
    const step = d.queue[next++]
    if (!step) break
    if (d.state.status === 'paused' || d.state.status === 'queued' || isTerminal(d.state.status)) continue
    if (isLive(d, step.scope)) startIfReady(d, step)
  }
  d.queue.length = 0
}

/**
 * A step was replayed while others stayed failed or cancelled: once nothing moves any more, they end what is around them again, as they did
 * before.
 */
function endStuck(d: Deciding): void {
  const { state } = d
  for (;;) {
    if (state.ending || (state.status !== 'running' && state.status !== 'waiting') || !state.hasReplayed) return
    if (state.inFlight.size + state.waiting.size + state.retrying.size > 0 || state.root.open === 0) return
    const culprit = findCulprit(state.root)
    if (!culprit) return
    const before = state.seq
    if (culprit.status === 'cancelled') endRun(d, 'cancelled', null)
    else spreadFailure(d, culprit, culprit.error ?? errorOf('BTN_STEP_FAILED', `step ${culprit.path} failed`))
    drain(d)
    if (state.seq === before) return
  }
}

/** A step that failed without being tolerated, or was cancelled, in something that goes on. The innermost ones come first. */
function findCulprit(scope: ScopeState): StepState | undefined {
  for (const step of scope.steps) {
    if (step.status === 'running' && isContainer(step)) {
      for (const inner of openScopes(step)) {
        const culprit = findCulprit(inner)
        if (culprit) return culprit
      }
    }
    if (step.status === 'cancelled' || (step.status === 'failed' && !step.tolerated)) return step
  }
  return undefined
}

/** A run that is ending, with no call out any more: whatever is left is cancelled, and what succeeded is undone, one step after the other. */
function endWhatIsLeft(d: Deciding): void {
  const { state } = d
  if (!state.ending || isTerminal(state.status) || state.inFlight.size > 0) return
  if (state.compensations.length === 0) cancelWaiting(d, state.root)
  drain(d)
  if (d.aborted) return
  for (;;) {
    const current = state.compensations.at(-1)
    if (current && !hasEnded(current)) return
    const undone = nextToUndo(state)
    if (!undone) return
    startCompensation(d, compensationOf(state, undone)!)
    drain(d)
  }
}

/** Sends again what is scheduled and not ended. When the run is ending nothing is sent again, and a call that was looked for in vain is over. */
function sendAgain(d: Deciding, calls: Set<string> | 'all'): void {
  for (const step of [...d.state.inFlight]) {
    const isOver = d.state.ending && !step.undoes
    if (d.sent.has(step) || (isOver && calls === 'all')) continue
    const id = callIdOf({ runId: d.state.header.runId, path: step.path, generation: step.generation, attempt: step.attempt })
    if (calls !== 'all' && !calls.has(id)) continue
    if (isOver) cancelStep(d, step)
    else sendWork(d, step, true)
  }
}

/**
 * `waiting` when nothing is in flight or in backoff and something waits; `running` otherwise. A run that is ending counts as running, whatever
 * it was: it waits for its calls alone, and the reconciler looks for lost calls in running runs.
 */
function settleStatus(d: Deciding): void {
  const { state } = d
  if (state.ending && (state.status === 'waiting' || state.status === 'paused')) {
    return emit(d, 'run.resumed', '', { from: state.status, to: 'running' })
  }
  if (state.ending || (state.status !== 'running' && state.status !== 'waiting')) return
  const active = state.inFlight.size > 0 || state.retrying.size > 0
  if (state.status === 'running' && !active && state.waiting.size > 0) emit(d, 'run.waiting', '', {})
  else if (state.status === 'waiting' && active) emit(d, 'run.resumed', '', { from: 'waiting' })
}
