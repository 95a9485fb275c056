/** The part of the model that knows calls and turns: attempts, retries, and what the last answer makes of the step. */
import type { Judged } from './model-scope.ts'
import type { StepBody } from './random-workflow.ts'
import type { StepHistory } from './run-history.ts'
import { answerOf, type Outcome } from './shop.ts'

/** What is wrong with a step that calls, or undefined. */
export function judgeCall(judged: Judged, step: StepHistory, body: StepBody): string | undefined {
  const { runId } = judged.history
  const isBroken = body.http?.url.includes('nope')
  if (isBroken) return step.end && isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail and is ${step.status}`
  const answer = (attempt: number) => answerOf({ runId, path: step.path, generation: step.generation, attempt })
  for (let attempt = 1; attempt < step.attempt; attempt++) {
    if (!isRetried(answer(attempt), attempt, body)) return `attempt ${attempt + 1} was made without need`
  }
  if (!step.end) return undefined
  const last = answer(step.attempt)
  if (last.status === 'succeeded') {
    const output = judged.unpack(step.end.data.output)
    const isRight = step.status === 'succeeded' && JSON.stringify(output) === JSON.stringify(last.output)
    return isRight ? undefined : `was answered ${JSON.stringify(last.output)} and is ${step.status} with ${JSON.stringify(output)}`
  }
  if (isRetried(last, step.attempt, body) && !step.whileEnding) return `attempt ${step.attempt} was the last without need`
  return isFailure(step, last.error.code, body) ? undefined : `was answered ${last.error.code} and is ${step.status}`
}

function isRetried(outcome: Outcome, attempt: number, { retry }: StepBody): boolean {
  if (outcome.status === 'succeeded' || !retry || attempt >= retry.attempts) return false
  return retry.on ? outcome.error.code === 'BTN_TIMEOUT' : outcome.retryable
}

/** Failed with this code; or, if its `onError` failed itself, by an expression. */
export function isFailure(step: StepHistory, code: string, body: StepBody): boolean {
  const error = step.end!.data.error as { code: string } | undefined
  if (step.status !== 'failed' || !error) return false
  const { onError } = body
  const isBroken = typeof onError === 'object' && typeof onError.output === 'string'
  const isTolerated = step.end!.data.tolerated === true
  if (isTolerated !== (onError !== undefined && !isBroken)) return false
  return error.code === (isBroken ? 'BTN_EXPRESSION' : code)
}
