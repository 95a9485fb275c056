/** Retry and replay (CONTRACT §3): steps begin anew, in a run that has ended or goes on. */
import { type InboxFact, isTerminal, type Json } from '@baton/contracts'
import { type Deciding, emit, errorOf, isLive, readiness, setRunTimer, setTimer } from './deciding.ts'
import { drain, fillUp } from './drain.ts'
import { endRun, spreadFailure } from './end-step.ts'
import { hasLeft } from './finish-containers.ts'
import { innerScopes, isContainer } from './instances.ts'
import { goOn } from './pause-run.ts'
import { reopeningOf } from './resets.ts'
import { askSlot, isHeld } from './slots.ts'
import { isBroken, type ScopeState, type StepState } from './state.ts'
import { timersOf } from './timers.ts'

/** As far as it is still possible when its turn comes. */
export function reopenRun(d: Deciding, fact: Extract<InboxFact, { kind: 'retry' | 'replay' }>): void {
  const { state } = d
  const wasTerminal = isTerminal(state.status)
  const plan = reopeningOf(state, fact)
  if ('refused' in plan) return
  const data = { ...plan.reset, by: fact.by, ...whyOf(fact) }
  if (wasTerminal) {
    emit(d, 'run.reopened', '', { from: state.status, ...data } as unknown as Record<string, Json>)
    d.reopened = true
    if (state.plan.timeoutMs !== undefined) setRunTimer(d, d.ctx.now + state.plan.timeoutMs)
  } else emit(d, 'step.replayed', fact.kind === 'replay' ? fact.path : '', data as unknown as Record<string, Json>)
  for (const path of plan.reset.reopen) {
    const container = state.steps.get(path)!
    for (const { timer, dueAt } of timersOf(container)) setTimer(d, container, timer, dueAt)
  }
  if (isHeld(state)) askSlot(d)
  goOn(d)
}

function whyOf(fact: Parameters<typeof reopenRun>[1]): Record<string, Json> {
  return { ...(fact.kind === 'replay' ? { replay: fact.path } : {}), ...(fact.reason === undefined ? {} : { reason: fact.reason }) }
}

/**
 * A step was replayed while others stayed failed or cancelled: once nothing moves any more, they end what is around them again, as they did
 * before.
 */
export function endStuck(d: Deciding): void {
  const { state } = d
  for (;;) {
    if (state.ending || (state.status !== 'running' && state.status !== 'waiting') || !state.hasReplayed || isHeld(state)) return
    if (state.inFlight.size + state.waiting.size + state.retrying.size > 0 || isFull(d)) return
    const culprit = findCulprit(state.root)
    if (!culprit) return
    const before = state.seq
    if (culprit.status === 'cancelled') endRun(d, 'cancelled', null)
    else spreadFailure(d, culprit, culprit.error ?? errorOf('BTN_STEP_FAILED', `step ${culprit.path} failed`))
    drain(d)
    fillUp(d)
    if (state.seq === before) return
  }
}

/** The decision, or one before it, was too small for all that there is to do: a timer that is due at once goes on with it. */
function isFull(d: Deciding): boolean {
  for (const { timer, dueAt } of d.timers.values()) if (timer === 'more' && dueAt !== null) return true
  for (const step of d.state.steps.values()) {
    if (!isLive(d, step.scope)) continue
    if (step.status === 'running' && !step.failing && canOpen(d, step)) return true
    if (step.status === 'pending' && isOpen(step.scope) && readiness(step) !== 'blocked') return true
  }
  return false
}

/** Everything around the scope goes on. */
function isOpen(scope: ScopeState): boolean {
  for (let { owner } = scope; owner; owner = owner.scope.owner) if (owner.status !== 'running') return false
  return true
}

/** There is room for another item, or a round is over and nobody has asked whether there is another. */
function canOpen(d: Deciding, container: StepState): boolean {
  const { items, inner } = container
  const { body } = container.step
  if (body.kind === 'forEach') return items !== undefined && items.scopes.length < items.count && items.open.size < body.concurrency
  return body.kind === 'loop' && (!inner || inner.open === 0) && !hasLeft(d, container)
}

/** A step that failed without being tolerated, or was cancelled, in something that goes on. The innermost ones come first. */
function findCulprit(scope: ScopeState): StepState | undefined {
  for (const step of scope.steps) {
    if (step.status === 'running' && isContainer(step)) {
      for (const inner of innerScopes(step)) {
        const culprit = inner.failing ? undefined : findCulprit(inner)
        if (culprit) return culprit
      }
    }
    if (isBroken(step)) return step
  }
  return undefined
}
