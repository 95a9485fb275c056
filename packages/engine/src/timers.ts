/** Which timers a step has, told by its state alone: so that they can be cleared, and set again after a pause. */
import type { TimerKind } from './decision.ts'
import { isContainer } from './instances.ts'
import { hasEnded, type StepState } from './state.ts'

/** A timer of a step, and when it is due (ms). */
interface StepTimer {
  timer: TimerKind
  dueAt: number
}

/** The timers that move the step. */
export function timersOf(step: StepState): StepTimer[] {
  if (hasEnded(step) || step.scheduledAt === null) return []
  const timers: StepTimer[] = []
  const { timeoutMs } = step.step
  if (isContainer(step) && timeoutMs !== undefined && !step.rests) timers.push({ timer: 'timeout', dueAt: step.scheduledAt + timeoutMs })
  if (step.dueAt !== undefined) timers.push({ timer: dueTimerOf(step, step.dueAt), dueAt: step.dueAt })
  return timers
}

/**
 * Which attempt a timer of the step belongs to; for the delay of a loop, how many rounds are over: the timer of an earlier delay, when it comes
 * late, does not cut short the one that is running.
 */
export function attemptOf(step: StepState, timer: TimerKind): number {
  return timer === 'wait' && step.step.kind === 'loop' ? (step.inner?.index ?? 0) + 1 : step.attempt
}

function dueTimerOf(step: StepState, dueAt: number): TimerKind {
  if (step.status === 'retrying') return 'retry'
  if (step.waitingFor?.kind === 'approval') return 'approval'
  return step.waitingFor?.kind === 'timer' && Date.parse(step.waitingFor.until) <= dueAt ? 'wait' : 'timeout'
}
