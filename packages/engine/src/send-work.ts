/** Commands for what works outside the runner: calls for http-workers, turns for agent-runners. Made from recorded state alone, so that they can be made again. */
import type { HttpAuth, HttpRequest, Json } from '@baton/contracts'
import { type Deciding, unpacked } from './deciding.ts'
import type { Decision } from './decision.ts'
import type { AgentPlan, HttpPlan, PlanStep } from './plan.ts'
import type { StepState } from './state.ts'

const HTTP_TIMEOUT_MS = 30_000
const AGENT_TIMEOUT_MS = 600_000

/** Sends the step's call or turn, as recorded; `resent` tells the worker to ask first whether it is still wanted. */
export function sendWork(d: Deciding, step: StepState, resent = false): void {
  if (step.step.kind === 'http') sendCall(d, step, resent)
  else if (step.step.kind === 'agent') sendTurn(d, step)
}

/** Sends the call of an http step. */
export function sendCall(d: Deciding, step: StepState, resent = false): void {
  const body = step.step.body as HttpPlan
  const rendered = unpacked(d, step.input ?? null) as Record<string, Json>
  const request: HttpRequest = { ...(rendered as Omit<HttpRequest, 'secrets'>) }
  if (rendered.auth) request.auth = rendered.auth as HttpAuth
  if (body.expect) request.expect = body.expect
  if (body.response !== 'auto') request.response = body.response
  if (body.bytesMax !== undefined) request.bytesMax = body.bytesMax
  if (body.redirect) request.redirect = body.redirect
  if (body.paginate) request.paginate = body.paginate
  if (step.secrets) request.secrets = step.secrets
  const timeoutMs = callTimeoutOf(step.step)
  const { runId, namespace, trace, requestId } = d.state.header
  const call: Decision['calls'][number] = {
    runId,
    namespace,
    path: step.path,
    generation: step.generation,
    attempt: step.attempt,
    timeoutMs,
    request,
  }
  if (trace) call.trace = trace
  if (requestId) call.requestId = requestId
  if (resent) call.resent = resent
  d.decision.calls.push(call)
  d.sent.add(step)
}

/** Of a step with a callback `timeout` bounds the wait, which may take days: a call does not. */
function callTimeoutOf({ body, timeoutMs = HTTP_TIMEOUT_MS }: PlanStep): number {
  return (body as HttpPlan).callback ? Math.min(timeoutMs, HTTP_TIMEOUT_MS) : timeoutMs
}

/** Sends the turn of an agent step. */
export function sendTurn(d: Deciding, step: StepState): void {
  const body = step.step.body as AgentPlan
  const rendered = unpacked(d, step.input ?? null) as { model: string; instructions?: string; prompt: string }
  d.decision.turns.push({
    ...identityOf(d, step),
    timeoutMs: step.step.timeoutMs ?? AGENT_TIMEOUT_MS,
    model: rendered.model,
    prompt: rendered.prompt,
    ...(rendered.instructions === undefined ? {} : { instructions: rendered.instructions }),
    ...(body.output === undefined ? {} : { output: body.output }),
    ...(body.budget === undefined ? {} : { budget: body.budget }),
  })
  d.sent.add(step)
}

function identityOf(d: Deciding, step: StepState) {
  const { runId, namespace, trace, requestId } = d.state.header
  const origin = { ...(trace ? { trace } : {}), ...(requestId ? { requestId } : {}) }
  return { runId, namespace, path: step.path, generation: step.generation, attempt: step.attempt, ...origin }
}
