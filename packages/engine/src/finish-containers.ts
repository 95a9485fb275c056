/** How containers go on and end: the next items of a `forEach`, the next round of a loop, and what comes out in the end. */
import type { BatonError, Json } from '@baton/contracts'
import { parseDuration } from '@baton/contracts'
import { type Deciding, emit, envOf, errorOf, isLive, isUnblocked, lastOf, outputsOf, packed, setTimer, timeText } from './deciding.ts'
import { endStep, failStep, keepsFailures } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import { evaluateCondition } from './expressions.ts'
import { hasRoom, innerScopes, isQuiet, openInstance } from './instances.ts'
import type { ForEachPlan, LoopPlan } from './plan.ts'
import { isHeld } from './slots.ts'
import { startIfReady } from './start-step.ts'
import { failureOf, hasEnded, isBroken, type ScopeState, type StepState } from './state.ts'
import { renderTemplate, textOf } from './templates.ts'

/** A decision that has put down so many events starts no further items and rounds: they are left to the next, by a timer that is due at once. */
const EVENTS_MAX = 2_000

/** Lets a container that is under way go on, or ends it. */
export function finishContainer(d: Deciding, container: StepState): void {
  if (hasEnded(container) || container.status === 'pending') return
  if (d.state.ending !== undefined || container.failing || failureOf(container.scope)) return closeContainer(d, container)
  try {
    if (container.items) finishItems(d, container)
    else if (container.step.kind === 'loop') finishRound(d, container)
    else if (container.inner?.open === 0 && !hasLeft(d, container))
      succeed(d, container, { case: container.chosen ?? null, outputs: outputsOf(container.inner) })
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    failStep(d, container, errorOf(error.code, error.message), false)
  }
}

/** A step inside was replayed while another stayed failed or cancelled: the container cannot succeed, and ends when nothing moves any more. */
export function hasLeft(d: Deciding, container: StepState): boolean {
  return d.state.hasReplayed === true && innerScopes(container).some((scope) => !scope.failing && scope.steps.some(isBroken))
}

/** Ends a container whose inside (or whose run) is ending, when it has nothing under way any more. */
function closeContainer(d: Deciding, container: StepState): void {
  if (!isQuiet(container)) return
  if (container.failing && isLive(d, container.scope)) return failStep(d, container, container.failing, false)
  const culprit = culpritOf(container)
  if (!culprit) return endStep(d, container, 'cancelled', {})
  endStep(d, container, 'failed', { error: failureBy(culprit) as unknown as Json })
}

function culpritOf(container: StepState): StepState | undefined {
  for (const scope of innerScopes(container)) {
    // What fails in an item that keeps its failures fails the item alone, also when all of it has to end.
    const culprit =
      scope.failing || keepsFailures(scope) ? undefined : scope.steps.find((step) => step.status === 'failed' && !step.tolerated)
    if (culprit) return culprit
  }
  return undefined
}

/** What a failed step makes of what is around it. */
function failureBy(step: StepState): BatonError {
  return errorOf('BTN_STEP_FAILED', `step ${step.path} failed`, { step: step.path, ...(step.error ? { cause: step.error } : {}) })
}

function succeed(d: Deciding, container: StepState, output: Json): void {
  const stored = packed(d, output)
  if (stored !== undefined) return endStep(d, container, 'succeeded', { output: stored as Json })
  failStep(d, container, errorOf('BTN_OUTPUT_TOO_LARGE', `the output of step ${container.path} is over the limit`), false)
}

function finishItems(d: Deciding, container: StepState): void {
  const items = container.items!
  if (d.state.hasReplayed) d.filling.add(container)
  else openItems(d, container)
  if (hasEnded(container) || container.failing || !isLive(d, container.scope)) return
  const isDone = items.scopes.length === items.count && items.open.size === 0
  if (isDone && !hasLeft(d, container)) succeed(d, container, { results: items.scopes.map(resultOf) })
}

/** Opens as many items as there is room for. */
export function openItems(d: Deciding, container: StepState): void {
  const items = container.items!
  const { concurrency } = container.step.body as ForEachPlan
  while (items.scopes.length < items.count && items.open.size < concurrency && mayOpen(d, container)) {
    open(d, container, items.scopes.length)
  }
}

/** What became of an item. */
function resultOf(scope: ScopeState): Json {
  if (!scope.failing) return { status: 'succeeded', output: outputsOf(scope), error: null }
  return { status: 'failed', output: null, error: scope.failing as unknown as Json }
}

/** Opens an item or a round, and starts the first step of it at once: its event is what tells that it is open. */
function open(d: Deciding, container: StepState, index: number): void {
  const scope = openInstance(d.state, container, index)
  d.going.add(scope)
  const { steps } = scope
  const first = steps.find((step) => step.blocked === 0)!
  for (const step of steps) if (step !== first && isUnblocked(step)) d.queue.push(step)
  startIfReady(d, first)
}

/**
 * False while the run is paused or waits for its slot, when it or the container is ending, while others move in its place, and when the decision is
 * full: the container then goes on with the next one.
 */
export function mayOpen(d: Deciding, container: StepState): boolean {
  if (d.state.status === 'paused' || isHeld(d.state) || container.failing || !isLive(d, container.scope) || hasEnded(container))
    return false
  if (!isItsTurn(d, container)) return false
  if (d.decision.events.length < (d.ctx.eventsMax ?? EVENTS_MAX)) return true
  if (container.status === 'waiting')
    setTimer(d, container, 'wait', container.dueAt!) // a loop whose delay has passed
  else setTimer(d, container, 'more', d.ctx.now)
  return false
}

/** False for a container in an item that rests: more are open, because steps were put back, than may go on at once. */
function isItsTurn(d: Deciding, container: StepState): boolean {
  return !d.state.hasReplayed || hasRoom(container.scope, d.going)
}

/** After a round, and before the first: asks whether there is another one. */
function finishRound(d: Deciding, loop: StepState): void {
  if (loop.status === 'waiting' || (loop.inner && loop.inner.open > 0) || hasLeft(d, loop)) return
  const { until } = loop.step.body as LoopPlan
  const round = loop.inner
  if (round && until && evaluateCondition(until, loopEnv(d, loop, round.index!))) return endLoop(d, loop)
  const delayMs = round ? delayOf(d, loop, round.index!) : 0
  if (delayMs === 0) return nextRound(d, loop)
  if (!isItsTurn(d, loop)) return
  const resumesAt = timeText(d.ctx.now + delayMs)
  emit(d, 'step.waiting', loop.path, {
    generation: loop.generation,
    attempt: loop.attempt,
    startedAt: timeText(loop.startedAt ?? d.ctx.now),
    waitingFor: { kind: 'timer', until: resumesAt },
    dueAt: resumesAt,
  })
  setTimer(d, loop, 'wait', d.ctx.now + delayMs)
}

/** Begins the next round of a loop, if `while` lets it; its delay has passed. */
export function nextRound(d: Deciding, loop: StepState): void {
  const body = loop.step.body as LoopPlan
  const next = (loop.inner?.index ?? -1) + 1
  if (!mayOpen(d, loop)) return
  if (body.while && !evaluateCondition(body.while, loopEnv(d, loop, next))) return endLoop(d, loop)
  if (next >= body.max) {
    const message = `step ${loop.path} would go on after ${body.max} rounds (max)`
    return failStep(d, loop, errorOf('BTN_LOOP_LIMIT', message), false)
  }
  open(d, loop, next)
}

function endLoop(d: Deciding, loop: StepState): void {
  const round = loop.inner
  succeed(d, loop, { iterations: round ? round.index! + 1 : 0, last: round ? outputsOf(round) : null })
}

/** What conditions and the delay of a loop may mention: the number of the round they are about, and what the last one gave. */
function loopEnv(d: Deciding, loop: StepState, iteration: number) {
  return envOf(d, loop.scope, undefined, { iteration, last: lastOf(d, loop.inner) })
}

function delayOf(d: Deciding, loop: StepState, iteration: number): number {
  const { delay } = loop.step.body as LoopPlan
  if (!delay) return 0
  const text = textOf(renderTemplate(delay, loopEnv(d, loop, iteration)))
  const ms = parseDuration(text)
  if (ms === undefined) throw new ExpressionError(`"${text}" in loop.delay of step ${loop.path} is not a duration of at most 100 years`)
  return ms
}
