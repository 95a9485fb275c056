/**
 * decide: what a run does next. Deterministic: the same state, facts and context give the same decision; no I/O, no clock. It moves `state` on
 * in place, so a caller whose commit did not succeed must forget the state and load it again.
 */
import type { BatonError, InboxFact } from '@baton/contracts'
import { callIdOf, isTerminal } from '@baton/contracts'
import { expireApproval, takeDecision } from './approve-step.ts'
import { endCall, takeAnswer, takeCallback } from './await-callback.ts'
import { takeChildEnd } from './child-runs.ts'
import { compensationOf, nextToUndo } from './compensations.ts'
import { clearTimer, type Deciding, emit, errorOf } from './deciding.ts'
import { type DecideContext, type Decision, type EngineFact, emptyDecision } from './decision.ts'
import { drain, fillUp } from './drain.ts'
import { finishRun } from './end-run.ts'
import { cancelChild, cancelStep, cancelWaiting, endRun, endStep, failContainer, failStep } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import { nextRound } from './finish-containers.ts'
import { isContainer } from './instances.ts'
import { goOnPatched, pauseRun, resumeRun, startRun, takeSlot } from './pause-run.ts'
import { endStuck, reopenRun } from './reopen-run.ts'
import { sendWork } from './send-work.ts'
import { isHeld } from './slots.ts'
import { startCompensation } from './start-step.ts'
import { awaitsCallback, hasEnded, type RunState, type StepState } from './state.ts'
import { giveUpTask, openTaskAgain, takeTaskEnd, tellTaskNews } from './task-step.ts'
import { attemptOf, timersOf } from './timers.ts'
import { expireWait, inOrderOfAcceptance, takeEvent } from './wait-for-event.ts'

/** Lets the facts move the run on, in order. Throws BlobsNeeded when an expression reads a payload that is not in the context. */
export function decide(state: RunState, facts: readonly EngineFact[], ctx: DecideContext): Decision {
  const decision = emptyDecision()
  const d: Deciding = {
    state,
    // What a process knows of Postgres' clock may be a little behind that of the one before it: the time of a run never goes back.
    ctx: { ...ctx, now: Math.max(ctx.now, state.at) },
    decision,
    queue: [],
    closing: [],
    filling: new Set(),
    going: new Set(),
    sent: new Set(),
    timers: new Map(),
    decided: facts.filter((fact) => fact.kind === 'approval-decided'),
    taskEnds: facts.filter((fact) => fact.kind === 'task-ended'),
    callbacks: facts.filter((fact) => fact.kind === 'callback'),
  }
  const resend = new Set<string>()
  let resendAll = false
  for (const fact of callbacksFirst(inOrderOfAcceptance(facts))) {
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
  fillUp(d)
  if (resendAll || resend.size > 0) sendAgain(d, resendAll ? 'all' : resend)
  endStuck(d)
  endWhatIsLeft(d)
  finishRun(d)
  settleStatus(d)
  // An aborted run ends whatever came for it meanwhile: what it was told may be the very reason.
  if (d.aborted) decision.callbacksGivenUp = decision.callbacksClosed.splice(0)
  for (const { path, timer, ...setting } of d.timers.values()) {
    if (setting.dueAt === null) decision.timersCleared.push({ path, timer })
    else decision.timersSet.push({ path, timer, ...(setting as { generation: number; attempt: number; dueAt: number }) })
  }
  return decision
}

/** Each was accepted while its step was open: what ends the step, or puts it back, came for it before but had not happened yet. */
function callbacksFirst(facts: readonly EngineFact[]): readonly EngineFact[] {
  const callbacks = facts.filter((fact) => fact.kind === 'callback')
  return callbacks.length === 0 ? facts : [...callbacks, ...facts.filter((fact) => fact.kind !== 'callback')]
}

function takeFact(d: Deciding, fact: Exclude<EngineFact, { kind: 'resend' }>): void {
  if (fact.kind === 'retry' || fact.kind === 'replay') return reopenRun(d, fact)
  if (isTerminal(d.state.status)) {
    if (fact.kind === 'timer') clearTimer(d, fact.path, fact.timer) // one that was due at once when the run ended
    return
  }
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
    case 'event':
      return takeEvent(d, fact)
    case 'callback':
      return takeCallback(d, fact)
    case 'child-ended':
      return takeChildEnd(d, fact)
    case 'task-ended':
      return takeTaskEnd(d, fact)
    case 'task-news':
      return tellTaskNews(d, fact)
    case 'slot':
      return takeSlot(d, fact)
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
    case 'patched':
      return goOnPatched(d)
  }
}

/** Nothing of it can be relied on, so nothing is undone either; the run says so by failing, whatever it was ending as. */
function abortRun(d: Deciding, error: BatonError): void {
  endRun(d, 'failed', error)
  d.aborted = error
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
  if (withdrawn) return d.state.ending && !step.undoes ? endCall(d, step, undefined) : undefined
  step.startedAt = fact.startedAt
  if (outcome.status === 'failed') return endCall(d, step, outcome)
  if (awaitsCallback(step)) return takeAnswer(d, step, outcome.output)
  endStep(d, step, 'succeeded', { output: outcome.output })
}

function takeApproval(d: Deciding, fact: Extract<InboxFact, { kind: 'approval-decided' }>): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status === 'waiting' && step.generation === fact.generation && step.waitingFor?.kind === 'approval') takeDecision(d, step, fact)
}

function takeTimer(d: Deciding, fact: Extract<EngineFact, { kind: 'timer' }>): void {
  const { path, timer } = fact
  const step = d.state.steps.get(path)
  if (step && isOvertaken(step, fact)) return
  // The timeout of a run counts anew when it is reopened: one that comes late is not that of now.
  if (path === '' && fact.generation !== (d.state.reopenings ?? 0)) return
  clearTimer(d, path, timer)
  if (d.state.status === 'paused') return // fires at resume, which sets it again
  if (path !== '' && isHeld(d.state)) return // and this one when the run, reopened, has a slot again
  if (path === '') return endRun(d, 'timed_out', errorOf('BTN_RUN_TIMEOUT', 'the run took longer than its timeout'))
  if (!step || hasEnded(step)) return
  if (timer === 'more') {
    // One of an earlier version, which set it for delays too.
    if (step.step.kind === 'loop' && step.dueAt !== undefined && step.dueAt <= d.ctx.now) return resumeLoop(d, step)
    return void d.closing.push(step) // of whatever generation: the row of a later one is gone with it
  }
  if (!isOf(fact, step)) return
  // It is due by Postgres' clock, whatever this process thinks that it says.
  const due = timersOf(step).find((own) => own.timer === timer)
  if (due) d.ctx = { ...d.ctx, now: Math.max(d.ctx.now, due.dueAt) }
  if (timer === 'timeout' && isContainer(step))
    return failContainer(d, step, errorOf('BTN_TIMEOUT', `step ${path} took longer than its timeout`))
  if (timer === 'timeout' && step.status === 'waiting') return timeOut(d, step)
  if (timer === 'retry' && step.status === 'retrying') return tryAgain(d, step)
  if (timer === 'approval' && step.status === 'waiting') return expireApproval(d, step)
  if (timer === 'wait' && step.status === 'waiting') {
    if (step.step.kind === 'loop') return resumeLoop(d, step)
    endStep(d, step, 'succeeded', { output: { waitedMs: Math.max(0, Math.round(d.ctx.now - (step.startedAt ?? d.ctx.now))) } })
  }
}

function timeOut(d: Deciding, step: StepState): void {
  if (step.step.kind === 'waitFor') return expireWait(d, step)
  if (step.waitingFor?.kind === 'run') cancelChild(d, step.waitingFor.run)
  if (step.waitingFor?.kind === 'task' && !giveUpTask(d, step)) return
  const late =
    step.waitingFor?.kind === 'callback'
      ? `no callback came for step ${step.path} in time`
      : `step ${step.path} took longer than its timeout`
  failStep(d, step, errorOf('BTN_TIMEOUT', late), false)
}

/** True when the row of this timer is by now that of a later attempt: a fact that comes this late must not take it away. */
function isOvertaken(step: StepState, fact: Extract<EngineFact, { kind: 'timer' }>): boolean {
  if (isOf(fact, step)) return false
  return timersOf(step).some(({ timer }) => timer === fact.timer)
}

function isOf({ generation, attempt, timer }: Extract<EngineFact, { kind: 'timer' }>, step: StepState): boolean {
  return step.generation === generation && attemptOf(step, timer) === attempt
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
  if (step.step.kind === 'task') openTaskAgain(d, step)
  else sendWork(d, step)
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
    if (isOver) endCall(d, step, undefined)
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
