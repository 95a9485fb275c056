/** How a run starts, is held, and goes on. */
import type { InboxFact } from '@baton/contracts'
import { clearTimer, type Deciding, emit, errorOf, setRunTimer, setTimer } from './deciding.ts'
import { drain, queueOpen } from './drain.ts'
import { endRun } from './end-step.ts'
import { askSlot, isHeld } from './slots.ts'
import { timersOf } from './timers.ts'

/** The run begins, unless it has. */
export function startRun(d: Deciding): void {
  if (d.state.status !== 'queued' || d.state.ending) return
  if (isHeld(d.state)) return askSlot(d)
  emit(d, 'run.started', '', {})
  goOn(d) // of a fork, a step that it has taken over may have been replayed by now
}

/** Nothing is to fire meanwhile: every timer goes, and comes back at resume. */
export function pauseRun(d: Deciding, by: string): void {
  const { state } = d
  emit(d, 'run.paused', '', { by, from: state.status })
  if (state.plan.timeoutMs !== undefined) clearTimer(d, '', 'run')
  for (const step of state.steps.values()) for (const { timer } of timersOf(step)) clearTimer(d, step.path, timer)
}

/** Timers come back; what has become ready meanwhile starts. */
export function resumeRun(d: Deciding, by: string): void {
  const { state } = d
  emit(d, 'run.resumed', '', { by, from: 'paused', to: state.pausedFrom ?? 'running' })
  if (state.plan.timeoutMs !== undefined) setRunTimer(d, (state.reopenedAt ?? state.header.createdAt) + state.plan.timeoutMs)
  for (const step of state.steps.values()) for (const { timer, dueAt } of timersOf(step)) setTimer(d, step, timer, dueAt)
  if (d.state.status === 'queued') return startRun(d)
  goOn(d)
}

/** The run has another plan by now: its timeout may be another one, and what has become ready starts. */
export function goOnPatched(d: Deciding): void {
  const { state } = d
  if (state.ending || state.status === 'paused') return // at resume
  if (state.plan.timeoutMs === undefined) clearTimer(d, '', 'run')
  else setRunTimer(d, (state.reopenedAt ?? state.header.createdAt) + state.plan.timeoutMs)
  if (state.status !== 'queued') goOn(d)
}

/**
 * Starts all that may have become ready while nothing was started: steps in items and rounds that are open, and then what else their containers
 * open. The other way round a new item that fails at once would end the container before the step that somebody has asked for.
 */
export function goOn(d: Deciding): void {
  queueOpen(d, d.state.root)
  const containers = d.closing.splice(0)
  drain(d)
  d.closing.push(...containers)
}

/** It is the turn of the run, or it cannot have one. */
export function takeSlot(d: Deciding, { outcome, key }: Extract<InboxFact, { kind: 'slot' }>): void {
  const { state } = d
  if (!isHeld(state) || d.reopened) return
  if (outcome === 'refused') {
    return endRun(
      d,
      'failed',
      errorOf('BTN_CONCURRENCY', `there is no room for another run with the concurrency key ${JSON.stringify(key)}`),
    )
  }
  emit(d, 'run.admitted', '', { key })
  if (state.status === 'queued') return startRun(d)
  for (const step of state.steps.values()) for (const { timer, dueAt } of timersOf(step)) setTimer(d, step, timer, dueAt)
  goOn(d)
}
