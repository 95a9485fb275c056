/** How a task that a step offers comes to its end: by who held it, or because the step waits for it no longer. */
import type { Json } from '@baton/contracts'
import { idOf } from '@baton/contracts'
import { type Deciding, emit, type TaskEnded } from './deciding.ts'
import type { StepState } from './state.ts'

/** The step waits for its task no longer: it is withdrawn, unless who held it has just ended it. */
export function withdrawTask(d: Deciding, step: StepState): void {
  if (step.status !== 'waiting' || step.waitingFor?.kind !== 'task') return
  const ended = taskEndOf(d, step)
  if (ended) return recordTaskEnd(d, step, ended)
  const id = step.waitingFor.task.slice(4)
  const opened = d.decision.tasksOpened.findIndex((opening) => opening.id === id)
  if (opened >= 0) d.decision.tasksOpened.splice(opened, 1)
  else d.decision.tasksClosed.push(id)
  emit(d, 'task.cancelled', step.path, identityOf(step, id))
}

/** How the task that the step waits for was ended by who held it, also when the turn of that fact has not come. */
export function taskEndOf(d: Deciding, step: StepState): TaskEnded | undefined {
  const { waitingFor } = step
  if (waitingFor?.kind !== 'task') return undefined
  return d.taskEnds.find((fact) => idOf('task', fact.task) === waitingFor.task)
}

/** Puts down how the task was ended. */
export function recordTaskEnd(d: Deciding, step: StepState, { task, by, outcome }: TaskEnded): void {
  const data = { ...identityOf(step, task), by }
  if (outcome.status === 'succeeded') return emit(d, 'task.completed', step.path, data)
  emit(d, 'task.failed', step.path, { ...data, error: outcome.error as unknown as Json, retryable: outcome.retryable })
}

/** What every event of a task begins with; `task` is a bare id. */
export function identityOf({ generation, attempt }: StepState, task: string): Record<string, Json> {
  return { generation, attempt, task: idOf('task', task) }
}
