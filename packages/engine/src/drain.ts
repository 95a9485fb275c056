/** What follows from what was put down: containers that go on or end, steps that have become ready, and items that there is room for. */
import { isTerminal } from '@baton/contracts'
import { type Deciding, isLive } from './deciding.ts'
import { finishContainer, mayOpen, openItems } from './finish-containers.ts'
import { hasRoom, isContainer, isMoving, openScopes } from './instances.ts'
import type { ForEachPlan } from './plan.ts'
import { isHeld } from './slots.ts'
import { startIfReady } from './start-step.ts'
import { hasEnded, type ScopeState, type StepState } from './state.ts'

/** Lets all of it happen, save what is left to `fillUp`. */
export function drain(d: Deciding): void {
  settle(d)
  d.going.clear()
}

/** In a run in which steps were put back: lets items that rest go on, and opens new ones, where there is room. */
export function fillUp(d: Deciding): void {
  fillInside(d, d.state.root)
  d.going.clear()
}

function settle(d: Deciding): void {
  for (let next = 0; ; ) {
    const container = d.closing.pop()
    if (container) {
      finishContainer(d, container)
      continue
    }
    const step = d.queue[next++]
    if (!step) break
    if (d.state.status === 'paused' || d.state.status === 'queued' || isTerminal(d.state.status) || isHeld(d.state)) continue
    // In an item that rests it is left: `fill` comes back to it.
    if (isLive(d, step.scope) && (!d.state.hasReplayed || hasRoom(step.scope, d.going))) startIfReady(d, step)
  }
  d.queue.length = 0
}

/**
 * Queues all in a scope that may have become ready while nothing was started. Of the items of a `forEach` in which steps were put back more may be
 * open than may go on at once: those that do not move rest until there is room.
 */
export function queueOpen(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) {
    if (step.status === 'pending') d.queue.push(step)
    else if (!hasEnded(step) && isContainer(step)) {
      for (const inner of openScopes(step)) if (!rests(d, inner)) queueOpen(d, inner)
      d.closing.push(step)
    }
  }
}

function rests(d: Deciding, scope: ScopeState): boolean {
  return d.state.hasReplayed === true && scope.owner?.items !== undefined && !isMoving(scope)
}

function fillInside(d: Deciding, scope: ScopeState): void {
  for (const container of d.filling) {
    if (!isInside(container, scope)) continue
    d.filling.delete(container) // it may come again
    fill(d, container)
  }
}

function isInside(step: StepState, scope: ScopeState): boolean {
  for (let at: ScopeState | undefined = step.scope; at; at = at.owner?.scope) if (at === scope) return true
  return false
}

/** Lets items that rest go on, in their order, while there is room, and opens new ones after them. */
function fill(d: Deciding, container: StepState): void {
  if (!container.items) return
  const { concurrency } = container.step.body as ForEachPlan
  const { open } = container.items
  let moving = 0
  if (open.size > concurrency) for (const item of open) if (isMoving(item) && ++moving >= concurrency) return
  for (const item of open) {
    // Whoever ends makes room, and has the container in `filling` again.
    if (moving >= concurrency) return
    if (isMoving(item)) continue
    if (!mayOpen(d, container)) return
    d.going.add(item)
    queueOpen(d, item)
    settle(d)
    fillInside(d, item)
    if (isMoving(item)) moving++
    else d.going.delete(item)
  }
  openItems(d, container)
  settle(d)
}
