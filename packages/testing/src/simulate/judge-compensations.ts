/** The part of the model that knows compensations: which steps are undone when a run does not succeed, in which order, and what comes of it. */
import { isFailure, judgeCall } from './judge-call.ts'
import { bodiesOf, innerOf, type Judged, same } from './model-scope.ts'
import type { StepBody, Steps } from './random-workflow.ts'
import { isCompensation, isCopied, type StepHistory } from './run-history.ts'

/** Of a compensation that says nothing of it: five tries. */
const RETRY = { attempts: 5, backoff: 'exponential', initial: '1s', max: '60s' }

/** What is wrong with the compensations of a run that has ended, or undefined. */
export function judgeCompensations(judged: Judged): string | undefined {
  const { history, definition } = judged
  const undone = [...history.steps.values()].filter(({ path }) => isCompensation(path)).sort((a, b) => startOf(a) - startOf(b))
  if (history.ending === undefined) return undone.length > 0 ? `${undone[0]!.path} in a run that was not ending` : undefined
  const known = compensationsIn(definition.steps)
  const bodyOf = (path: string) => known.get(path.replaceAll(/\[\d+\]/g, ''))
  const due = [...history.steps.values()].filter((step) => step.status === 'succeeded' && !isCopied(step) && bodyOf(step.path))
  const missing = due.find(({ path }) => !history.steps.has(`${path}.compensate`))
  if (missing) return `${missing.path} succeeded and is not undone`
  for (const [index, step] of undone.entries()) {
    const wrong = judgeOrder(judged, undone[index - 1], step) ?? judgeOne(judged, step, bodyOf(undoneBy(step)))
    if (wrong) return `${step.path}: ${wrong}`
  }
  return judgeOutcome(judged, undone)
}

const startOf = ({ startSeq, endSeq }: StepHistory) => startSeq ?? endSeq!
const undoneBy = ({ path }: StepHistory) => path.slice(0, -'.compensate'.length)

/** Bodies of compensations, by the path of their step without indexes. */
function compensationsIn(steps: Steps, prefix = ''): Map<string, StepBody> {
  const found = new Map<string, StepBody>()
  for (const [id, body] of bodiesOf(steps)) {
    if (body.compensate) found.set(prefix + id, body.compensate)
    for (const scope of innerOf(body)) for (const [path, one] of compensationsIn(scope.steps, `${prefix}${id}.`)) found.set(path, one)
  }
  return found
}

/** The last that ended is the first that is undone, and each when the one before it has ended. */
function judgeOrder({ history }: Judged, before: StepHistory | undefined, step: StepHistory): string | undefined {
  const origin = history.steps.get(undoneBy(step))
  if (origin && isCopied(origin)) return 'undoes what another run has done'
  if (origin?.status !== 'succeeded') return `undoes a step that is ${origin?.status}`
  if (startOf(step) < history.endingSeq!) return 'began before the run was ending'
  if (!before) return undefined
  if (before.endSeq! > startOf(step)) return `began before ${before.path} had ended`
  return history.steps.get(undoneBy(before))!.end!.at < origin.end!.at ? `is undone after ${before.path}, and ended after it` : undefined
}

function judgeOne(judged: Judged, step: StepHistory, body: StepBody | undefined): string | undefined {
  if (!body) return 'is undone by nobody knows what'
  if (body.http || body.agent) return judgeCall(judged, step, { ...body, retry: body.retry ?? RETRY })
  if (body.fail) return isFailure(step, 'BTN_USER_FAIL', body) ? undefined : `should fail and is ${step.status}`
  if (step.status !== 'succeeded') return `is ${step.status}`
  const output = judged.unpack(step.end!.data.output) as { of: null }
  const given = judged.unpack(judged.history.steps.get(undoneBy(step))!.end!.data.output)
  return !body.set || same(output.of, given) ? undefined : `read ${JSON.stringify(output.of)}`
}

function judgeOutcome({ history }: Judged, undone: readonly StepHistory[]): string | undefined {
  const failed = undone.find(({ status }) => status === 'failed')
  const { error } = history.events.at(-1)!.data as { error?: { code: string; cause?: { code: string } } }
  if (!failed) {
    if (history.terminal !== history.ending) return `the run was ending as ${history.ending} and is ${history.terminal}`
    return error?.code === 'BTN_COMPENSATION_FAILED' ? 'no compensation failed, and the run says so' : undefined
  }
  const { code } = failed.end!.data.error as { code: string }
  const isTold = history.terminal === 'failed' && error?.code === 'BTN_COMPENSATION_FAILED' && error.cause?.code === code
  return isTold ? undefined : `${failed.path} failed by ${code}, and the run is ${history.terminal} with ${JSON.stringify(error)}`
}
