/**
 * `http` with `callback: true`: a call, and then a wait for a POST to the address that it brought along. The two may come in either order. What
 * was accepted counts: a callback that is here ends the step well as soon as no call is out any more, also when the call was then seen to fail,
 * since whoever posted it has been reached and has done the work.
 */
import type { BatonError, BlobRef, InboxFact, Json } from '@baton/contracts'
import { type Deciding, emit, errorOf, isLive, packed, setTimer, timeText, unpacked } from './deciding.ts'
import { cancelStep, endStep, failStep } from './end-step.ts'
import { awaitsCallback, hasEnded, type StepState } from './state.ts'

/** A callback was accepted, once for this generation of the step, whatever the step is at. */
export function takeCallback(d: Deciding, fact: Extract<InboxFact, { kind: 'callback' }>): void {
  const step = d.state.steps.get(fact.path)
  if (!step || !awaitsCallback(step) || step.generation !== fact.generation) return
  if (step.scheduledAt === null || hasEnded(step) || step.callback !== undefined) return
  const { headers, query, body, receivedAt } = fact
  const callback = packed(d, { headers, query, body, receivedAt: timeText(receivedAt) })
  emit(d, 'callback.received', step.path, { generation: step.generation, attempt: step.attempt, callback: (callback ?? null) as Json })
  if (callback === undefined) return tooLarge(d, step, 'the callback')
  if (step.status === 'waiting') endWithCallback(d, step, unpacked(d, step.answer ?? null))
  else if (step.status === 'retrying') endWithCallback(d, step, { error: step.error as unknown as Json })
}

/** The call was answered as the step expects. What is ending waits for nothing more. */
export function takeAnswer(d: Deciding, step: StepState, answer: Json | BlobRef): void {
  if (step.callback !== undefined) return endWithCallback(d, step, unpacked(d, answer))
  if (!isLive(d, step.scope) && !step.undoes) return endStep(d, step, 'cancelled', { call: answer as Json })
  const { timeoutMs } = step.step
  const dueAt = timeoutMs === undefined ? undefined : d.ctx.now + timeoutMs
  const until = dueAt === undefined ? null : timeText(dueAt)
  emit(d, 'step.waiting', step.path, {
    generation: step.generation,
    attempt: step.attempt,
    startedAt: timeText(step.startedAt ?? d.ctx.now),
    waitingFor: { kind: 'callback', until },
    call: answer as Json,
    ...(until === null ? {} : { dueAt: until }),
  })
  // Of a paused run it is set at resume.
  if (dueAt !== undefined && d.state.status !== 'paused') setTimer(d, step, 'timeout', dueAt)
}

/** The call failed; undefined: it was withdrawn before it was made. Without a callback the failure counts. */
export function endCall(d: Deciding, step: StepState, failure: { error: BatonError; retryable: boolean } | undefined): void {
  if (step.callback !== undefined) return endWithCallback(d, step, failure ? { error: failure.error as unknown as Json } : null)
  if (failure) failStep(d, step, failure.error, failure.retryable)
  else cancelStep(d, step)
}

/** Both are there: `call` is the answer, or `{error}`. */
function endWithCallback(d: Deciding, step: StepState, call: Json): void {
  const { receivedAt, ...callback } = unpacked(d, step.callback!) as { receivedAt: string } & Record<string, Json>
  const status = (call as { status?: Json } | null)?.status ?? null
  const durationMs = Math.max(0, Date.parse(receivedAt) - (step.startedAt ?? step.scheduledAt!))
  const output = packed(d, { status, ...callback, receivedAt, durationMs, call })
  if (output !== undefined) return endStep(d, step, 'succeeded', { output: output as Json })
  tooLarge(d, step, 'the answer with the callback')
}

function tooLarge(d: Deciding, step: StepState, what: string): void {
  failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `${what} of step ${step.path} is over the payload limit`), false)
}
