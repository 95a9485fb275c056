/** How a step that has become ready starts: its condition, its rendered body, and what its kind does first. */
import type { Json, RequestSlot } from '@baton/contracts'
import { parseDuration } from '@baton/contracts'
import { openApproval } from './approve-step.ts'
import { renderWithCallback } from './callback-url.ts'
import { startChild } from './child-runs.ts'
import { typeName } from './compilation.ts'
import { type Deciding, emit, envOf, errorOf, packed, readiness, schedule, setTimer, startScope, timeText } from './deciding.ts'
import { endStep, failStep } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import { evaluateCondition } from './expressions.ts'
import type { AgentPlan, Env, ForEachPlan, HttpPlan, SetPlan, SwitchPlan, WaitPlan } from './plan.ts'
import { sendCall, sendTurn } from './send-work.ts'
import type { StepState } from './state.ts'
import { startTask } from './task-step.ts'
import { renderTemplate, renderWithSecrets, textOf } from './templates.ts'
import { startEmit, startWaitFor } from './wait-for-event.ts'

/** Starts the step when everything it depends on lets it. */
export function startIfReady(d: Deciding, step: StepState): void {
  if (step.status !== 'pending') return
  const verdict = readiness(step)
  if (verdict === 'blocked') return
  if (verdict === 'skip') return endStep(d, step, 'skipped', { reason: 'a step it needs did not succeed' })
  const env = envOf(d, step.scope)
  try {
    if (step.step.condition && !evaluateCondition(step.step.condition, env)) {
      return endStep(d, step, 'skipped', { reason: 'its condition is false' })
    }
    startKind(d, step, env)
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    failStep(d, step, errorOf(error.code, error.message), false)
  }
}

/** Starts what undoes a step. */
export function startCompensation(d: Deciding, step: StepState): void {
  try {
    startKind(d, step, envOf(d, step.scope))
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    failStep(d, step, errorOf(error.code, error.message), false)
  }
}

function startKind(d: Deciding, step: StepState, env: Env): void {
  const body = step.step.body
  switch (body.kind) {
    case 'http':
      return startCall(d, step, body, env)
    case 'agent':
      return startTurn(d, step, body, env)
    case 'approval':
      schedule(d, step, {})
      return openApproval(d, step, body, env)
    case 'set':
      return startSet(d, step, body, env)
    case 'switch':
      return startSwitch(d, step, body, env)
    case 'forEach':
      return startForEach(d, step, body, env)
    case 'loop':
      schedule(d, step, {})
      startTimeout(d, step)
      return void d.closing.push(step)
    case 'wait':
      return startWait(d, step, body, env)
    case 'waitFor':
      return startWaitFor(d, step, body, env)
    case 'emit':
      return startEmit(d, step, body, env)
    case 'task':
      return startTask(d, step, body, env)
    case 'workflow':
      return startChild(d, step, body, env)
    case 'fail': {
      const code = body.code ? textOf(renderTemplate(body.code, env)) : 'BTN_USER_FAIL'
      const message = body.message ? textOf(renderTemplate(body.message, env)) : `step ${step.path} failed the run`
      schedule(d, step, {})
      return failStep(d, step, errorOf(code, message), false)
    }
  }
}

/** The data of a scheduled event for a rendered body; undefined when it is too large. */
function inputOf(d: Deciding, value: Json, secrets: RequestSlot[]): Record<string, Json> | undefined {
  const input = packed(d, value)
  if (input === undefined) return undefined
  return { input: input as Json, ...(secrets.length > 0 ? { secrets: secrets as unknown as Json } : {}) }
}

function startCall(d: Deciding, step: StepState, body: HttpPlan, env: Env): void {
  const { value, secrets } = body.callback ? renderWithCallback(d, body.request, env) : renderWithSecrets(body.request, env)
  const data = inputOf(d, value, secrets)
  if (!data) return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the request of step ${step.path} is over the payload limit`), false)
  schedule(d, step, data)
  sendCall(d, step)
}

function startTurn(d: Deciding, step: StepState, body: AgentPlan, env: Env): void {
  const data = inputOf(d, renderTemplate(body.request, env), [])
  if (!data) return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the prompt of step ${step.path} is over the payload limit`), false)
  schedule(d, step, data)
  sendTurn(d, step)
}

function startSet(d: Deciding, step: StepState, body: SetPlan, env: Env): void {
  const output = packed(d, renderTemplate(body.value, env))
  schedule(d, step, {})
  if (output === undefined)
    return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the output of step ${step.path} is over the limit`), false)
  endStep(d, step, 'succeeded', { output: output as Json })
}

function startSwitch(d: Deciding, step: StepState, body: SwitchPlan, env: Env): void {
  const index = body.cases.findIndex((candidate) => evaluateCondition(candidate.condition, env))
  const chosen = index >= 0 ? index : body.default ? 'default' : null
  schedule(d, step, { case: chosen })
  if (!step.inner) return endStep(d, step, 'succeeded', { output: { case: null, outputs: {} } })
  startTimeout(d, step)
  startScope(d, step.inner)
}

/** The timeout of a container bounds all that is inside. */
function startTimeout(d: Deciding, step: StepState): void {
  if (step.step.timeoutMs !== undefined) setTimer(d, step, 'timeout', d.ctx.now + step.step.timeoutMs)
}

function startForEach(d: Deciding, step: StepState, body: ForEachPlan, env: Env): void {
  const list = renderTemplate(body.in, env)
  if (!Array.isArray(list)) {
    return failStep(d, step, errorOf('BTN_EXPRESSION', `forEach.in of step ${step.path} must give a list, not ${typeName(list)}`), false)
  }
  const most = d.ctx.forEachItemsMax
  if (list.length > most) {
    const message = `forEach.in of step ${step.path} has ${list.length} items; at most ${most} are allowed (BATON_FOR_EACH_ITEMS_MAX)`
    return failStep(d, step, errorOf('BTN_TOO_LARGE', message), false)
  }
  const input = packed(d, list)
  if (input === undefined)
    return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the list of step ${step.path} is over the payload limit`), false)
  schedule(d, step, { input: input as Json, count: list.length })
  step.items!.list = list
  startTimeout(d, step)
  d.closing.push(step)
}

function startWait(d: Deciding, step: StepState, body: WaitPlan, env: Env): void {
  const until = waitUntil(d, step, body, env)
  if (typeof until === 'string') return failStep(d, step, errorOf('BTN_EXPRESSION', until), false)
  const limit = step.step.timeoutMs === undefined ? Number.POSITIVE_INFINITY : d.ctx.now + step.step.timeoutMs
  schedule(d, step, { input: { until: timeText(until) } })
  if (until <= d.ctx.now) return endStep(d, step, 'succeeded', { output: { waitedMs: 0 }, startedAt: timeText(d.ctx.now) })
  const dueAt = Math.min(until, limit)
  emit(d, 'step.waiting', step.path, {
    generation: step.generation,
    attempt: step.attempt,
    startedAt: timeText(d.ctx.now),
    waitingFor: { kind: 'timer', until: timeText(until) },
    dueAt: timeText(dueAt),
  })
  setTimer(d, step, until <= limit ? 'wait' : 'timeout', dueAt)
}

/** When the wait ends, in ms, or what is wrong with its time. */
function waitUntil(d: Deciding, step: StepState, body: WaitPlan, env: Env): number | string {
  if (body.for) {
    const text = textOf(renderTemplate(body.for, env))
    const ms = parseDuration(text)
    return ms === undefined ? `"${text}" in wait.for of step ${step.path} is not a duration of at most 100 years` : d.ctx.now + ms
  }
  const text = textOf(renderTemplate(body.until!, env))
  const at = Date.parse(text)
  return Number.isNaN(at) ? `"${text}" in wait.until of step ${step.path} is not a time` : at
}
