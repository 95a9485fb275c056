/**
 * `task` steps: work that is offered to outside programs. A step waits for one task at a time; an attempt is a task of its own, so that each
 * has one outcome. `timeout` bounds the whole wait, over all attempts and the delays between them.
 */
import type { InboxFact } from '@baton/contracts'
import { idOf, TASK_CAPABILITIES_MAX, TASK_CAPABILITY_CHARS_MAX } from '@baton/contracts'
import { type Deciding, emit, errorOf, packed, schedule, type TaskEnded, timeText, waitFor } from './deciding.ts'
import { endStep, failStep } from './end-step.ts'
import type { Env, TaskPlan } from './plan.ts'
import type { StepState } from './state.ts'
import { renderTemplate } from './templates.ts'
import { identityOf, recordTaskEnd, taskEndOf, withdrawTask } from './withdraw-task.ts'

/** Offers the first task of the step. */
export function startTask(d: Deciding, step: StepState, body: TaskPlan, env: Env): void {
  const capabilities = capabilitiesOf(renderTemplate(body.capabilities, env))
  const payload = packed(d, body.payload === undefined ? null : renderTemplate(body.payload, env))
  if (!capabilities) {
    const message = `capabilities of step ${step.path} must be 1 to ${TASK_CAPABILITIES_MAX} texts of 1 to ${TASK_CAPABILITY_CHARS_MAX} characters`
    schedule(d, step, {})
    return failStep(d, step, errorOf('BTN_TASK_CAPABILITIES', message), false)
  }
  if (payload === undefined) {
    schedule(d, step, {})
    return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the payload of step ${step.path} is over the payload limit`), false)
  }
  schedule(d, step, { input: payload as never })
  const { timeoutMs } = step.step
  offer(d, step, capabilities, timeoutMs === undefined ? null : timeText(d.ctx.now + timeoutMs))
}

/** Offers the task of the next attempt: the same work, for as long as is left of the whole wait. */
export function openTaskAgain(d: Deciding, step: StepState): void {
  if (step.waitingFor?.kind !== 'task') throw new Error(`step ${step.path} has offered no task`)
  offer(d, step, step.waitingFor.capabilities, step.waitingFor.until)
}

function offer(d: Deciding, step: StepState, capabilities: string[], until: string | null): void {
  const { leaseMs, priority } = step.step.body as TaskPlan
  const { path, generation, attempt } = step
  const id = d.ctx.newUuid()
  d.decision.tasksOpened.push({ id, path, generation, attempt, capabilities, payload: step.input ?? null, leaseMs, priority })
  waitFor(d, step, { kind: 'task', task: idOf('task', id), capabilities, until })
  emit(d, 'task.opened', path, { ...identityOf(step, id), capabilities, priority })
}

function capabilitiesOf(value: unknown): string[] | undefined {
  const list = [...new Set([value].flat(2))]
  const isName = (entry: unknown): entry is string =>
    typeof entry === 'string' && entry !== '' && entry.length <= TASK_CAPABILITY_CHARS_MAX && entry.isWellFormed() && !entry.includes('\0')
  return list.length > 0 && list.length <= TASK_CAPABILITIES_MAX && list.every(isName) ? list : undefined
}

/** Who held the task has ended it. */
export function takeTaskEnd(d: Deciding, fact: TaskEnded): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status !== 'waiting' || !isFor(step, fact.task)) return
  endByTask(d, step, fact)
}

function endByTask(d: Deciding, step: StepState, fact: TaskEnded): void {
  const { outcome } = fact
  recordTaskEnd(d, step, fact)
  if (outcome.status === 'succeeded') endStep(d, step, 'succeeded', { output: outcome.output })
  else failStep(d, step, outcome.error, outcome.retryable)
}

/** Tells in the run's events what became of the task meanwhile. */
export function tellTaskNews(d: Deciding, fact: Extract<InboxFact, { kind: 'task-news' }>): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status !== 'waiting' || !isFor(step, fact.task)) return
  emit(d, `task.${fact.type}`, step.path, { ...identityOf(step, fact.task), ...fact.data })
}

function isFor({ waitingFor }: StepState, task: string): boolean {
  return waitingFor?.kind === 'task' && waitingFor.task === idOf('task', task)
}

/** The time for the step's task is over. False when who held it has ended it before: then that counts. */
export function giveUpTask(d: Deciding, step: StepState): boolean {
  const ended = taskEndOf(d, step)
  if (ended) endByTask(d, step, ended)
  else withdrawTask(d, step)
  return ended === undefined
}
