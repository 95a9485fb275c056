/** The last event of a run. */
import type { BatonError, Json } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import { childEndOf } from './child-runs.ts'
import { clearTimer, type Deciding, emit, envOf, errorOf, packed } from './deciding.ts'
import { ExpressionError } from './expression-error.ts'
import { hasEnded, type StepState } from './state.ts'
import { renderTemplate } from './templates.ts'

/** Ends the run when nothing is left to do. */
export function finishRun(d: Deciding): void {
  const { state } = d
  if (isTerminal(state.status)) return
  if (state.ending) {
    if (state.inFlight.size > 0 || (!d.aborted && state.compensations.some((step) => !hasEnded(step)))) return
    const failed = state.compensations.find((step) => step.status === 'failed')
    if (d.aborted) emit(d, 'run.failed', '', { error: abortOf(d.aborted, state.error) as unknown as Json })
    else if (failed) emit(d, 'run.failed', '', { error: compensationFailure(failed) as unknown as Json })
    else emit(d, `run.${state.ending}`, '', state.error ? { error: state.error as unknown as Json } : {})
  } else {
    if (state.root.open > 0 || state.startedAt === null || state.status === 'paused') return
    const result = outputOf(d)
    if ('error' in result) emit(d, 'run.failed', '', { error: result.error as unknown as Json })
    else emit(d, 'run.succeeded', '', { output: result.output })
  }
  if (state.plan.timeoutMs !== undefined) clearTimer(d, '', 'run')
  if (state.plan.concurrency) d.decision.slot = { act: 'leave' }
  const told = childEndOf(state)
  if (told) d.decision.told.push(told)
}

/** What the run was ending for is kept as the cause. */
function abortOf(error: BatonError, before: BatonError | null): BatonError {
  return before && before.code !== error.code ? { ...error, cause: before } : error
}

function compensationFailure(failed: StepState): BatonError {
  const { path, error } = failed
  return errorOf('BTN_COMPENSATION_FAILED', `compensation ${path} failed`, { step: path, ...(error ? { cause: error } : {}) })
}

function outputOf(d: Deciding): { output: Json } | { error: BatonError } {
  const template = d.state.plan.output
  if (!template) return { output: null }
  try {
    const output = packed(d, renderTemplate(template, envOf(d, d.state.root)))
    return output === undefined
      ? { error: errorOf('BTN_OUTPUT_TOO_LARGE', 'the output of the run is over the limit') }
      : { output: output as Json }
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    return { error: errorOf(error.code, `output: ${error.message}`) }
  }
}
