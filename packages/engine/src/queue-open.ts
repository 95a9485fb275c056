/**
 * What goes on in scopes that are open, after a pause or after steps were put back: all that is ready, and of a `forEach` no more items at once than
 * its `concurrency`. The others rest until one of those has ended.
 */
import { type Deciding, isUnblocked } from './deciding.ts'
import { isContainer, openScopes } from './instances.ts'
import type { ForEachPlan } from './plan.ts'
import { hasEnded, type ScopeState, type StepState } from './state.ts'

/** Queues all that may have become ready while nothing was started. */
export function queueOpen(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) {
    if (step.status === 'pending') d.queue.push(step)
    else if (!hasEnded(step) && isContainer(step)) {
      if (step.items) queueItems(d, step)
      else for (const inner of openScopes(step)) queueOpen(d, inner)
      d.closing.push(step)
    }
  }
}

function queueItems(d: Deciding, container: StepState): void {
  for (const item of openScopes(container)) if (isBusy(d, item)) queueOpen(d, item)
  queueResting(d, container)
}

/** Queues what is ready in items that rest, in as many as there is room for. */
export function queueResting(d: Deciding, container: StepState): void {
  const resting: ScopeState[] = []
  let room = (container.step.body as ForEachPlan).concurrency
  for (const item of openScopes(container)) {
    if (isBusy(d, item)) room--
    else if (isStartable(item)) resting.push(item)
  }
  for (const item of resting.slice(0, Math.max(0, room))) queueOpen(d, item)
}

/** Something in it is under way, or will be by this decision. */
function isBusy(d: Deciding, scope: ScopeState): boolean {
  return scope.steps.some((step) => isMoving(d, step)) || d.queue.some((step) => isInside(step, scope))
}

function isMoving(d: Deciding, step: StepState): boolean {
  if (step.status !== 'running') return step.status === 'waiting' || step.status === 'retrying'
  const inner = isContainer(step) ? [...openScopes(step)] : []
  return inner.length === 0 || inner.some((scope) => isBusy(d, scope))
}

function isInside(step: StepState, scope: ScopeState): boolean {
  for (let at: ScopeState | undefined = step.scope; at; at = at.owner?.scope) if (at === scope) return true
  return false
}

function isStartable(scope: ScopeState): boolean {
  return scope.steps.some((step) => {
    if (step.status === 'pending') return isUnblocked(step)
    return isContainer(step) && !hasEnded(step) && [...openScopes(step)].some(isStartable)
  })
}
