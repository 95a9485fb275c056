/** The part of the model that knows containers: which case, which items, which rounds there must be, one by one, and what comes out. */
import { type Json, parseDuration } from '@baton/contracts'
import { isFailure } from './judge-call.ts'
import { type Scope, same, scopeOf, testOf } from './model-scope.ts'
import type { StepBody, Steps } from './random-workflow.ts'
import { isCopied, isSatisfied, type StepHistory } from './run-history.ts'

type JudgeScope = (scope: Scope) => string | undefined

const NEVER = Number.POSITIVE_INFINITY

/** What is wrong with a container that has ended, or undefined. */
export function judgeContainer(scope: Scope, step: StepHistory, body: StepBody, judge: JudgeScope): string | undefined {
  if (body.forEach) return judgeForEach(scope, step, body, judge)
  if (body.loop) return judgeLoop(scope, step, body, judge)
  return judgeSwitch(scope, step, body, judge)
}

function judgeSwitch(scope: Scope, step: StepHistory, body: StepBody, judge: JudgeScope): string | undefined {
  const { cases, default: otherwise } = body.switch!
  const index = cases.findIndex(({ if: condition }) => testOf(scope, condition) !== 'skip')
  if (index >= 0 && testOf(scope, cases[index]!.if) === 'error') return shouldFail(step, 'BTN_EXPRESSION', body)
  const chosen = index >= 0 ? cases[index] : otherwise
  if (!chosen) return step.status === 'succeeded' ? undefined : `had nothing to do and is ${step.status}`
  const inner = insideOf(scope, step, `${step.path}.`, chosen.steps, scope.names)
  return judge(inner) ?? judgeWhole(step, [inner], () => ({ case: index >= 0 ? index : 'default', outputs: outputsOf(inner) }))
}

function judgeForEach(scope: Scope, step: StepHistory, body: StepBody, judge: JudgeScope): string | undefined {
  const { in: list, as, steps, onItemError, concurrency } = body.forEach!
  if (list === '${{ input.n }}') return shouldFail(step, 'BTN_EXPRESSION', body)
  const inner = (Array.isArray(list) ? list : [scope.judged.n, 2]).map((item, index) => {
    const names = { ...scope.names, [as ?? 'item']: item, [as ? `${as}Index` : 'index']: index }
    return insideOf(scope, step, `${step.path}[${index}].`, steps, names)
  })
  for (const item of inner) {
    const wrong = judge(item)
    if (wrong) return wrong
  }
  const { reopenings } = scope.judged.history
  // An item that is replayed goes on beside those that are unfinished.
  const isReplayed = reopenings.some(({ event }) => String(event.data.replay).startsWith(`${step.path}[`))
  if (!isReplayed && mostAtOnce(inner) > concurrency) return 'has more items open than it may'
  const fails = (item: Scope) => onItemError === 'continue' && failureIn(item) !== undefined
  const results = (told: Json) => inner.map((item, index) => (fails(item) ? failed(item, told, index) : succeeded(item)))
  const whole = inner.filter((item) => !fails(item))
  return judgeWhole(step, whole.length > 0 ? whole : inner, (told) => ({ results: results(told) }), whole.length === 0)
}

const succeeded = (item: Scope): Json => ({ status: 'succeeded', output: outputsOf(item), error: null })

/**
 * As it was told, when that is what the item began to end by, and names the step of it that failed first; in a run that was reopened one that
 * had failed by then, with the error of that step as its cause.
 */
function failed(item: Scope, told: Json, index: number): Json {
  const { history } = item.judged
  const { error } = (told as { results: { error: { step?: string; cause?: Json } | null }[] }).results[index] ?? { error: null }
  const ending = history.failing.get(item.prefix.slice(0, -1))
  const isFirst = (step: StepHistory) => history.reopenings.length > 0 || step === failureIn(item)
  const culprit = failuresIn(item).find((step) => step.path === error?.step && isFirst(step) && step.endSeq! < (ending ?? 0))
  const isTold =
    culprit !== undefined && same(error as Json, history.events[ending! - 1]!.data.error) && same(error!.cause, culprit.end!.data.error)
  return isTold ? { status: 'failed', output: null, error: error as Json } : 'failed'
}

function judgeLoop(scope: Scope, step: StepHistory, body: StepBody, judge: JudgeScope): string | undefined {
  const { while: asked, until, max, steps } = body.loop!
  let last: Json = null
  let before: Scope | undefined
  for (let iteration = 0; ; iteration++) {
    const names = { ...scope.names, iteration, last }
    const round = insideOf(scope, step, `${step.path}[${iteration}].`, steps, names)
    const isBegun = startOf(round) !== NEVER
    // It may have been on its way to something when it had to end.
    if (!isBegun && step.end!.seq > round.endingSeq && step.status !== 'succeeded') return undefined
    const told = before && until !== undefined ? testOf({ ...scope, names: { ...names, iteration: iteration - 1 } }, until) : 'skip'
    const verdict = told !== 'skip' ? told : asked === undefined ? 'run' : testOf({ ...scope, names }, asked)
    const isOver = told === 'run' || verdict === 'skip'
    if (isBegun && (isOver || verdict === 'error' || iteration >= max)) return `round ${iteration} is one too many`
    if (isOver) return judgeWhole(step, before ? [before] : [], () => ({ iterations: iteration, last }))
    if (verdict === 'error') return shouldFail(step, 'BTN_EXPRESSION', body)
    if (iteration >= max) return shouldFail(step, 'BTN_LOOP_LIMIT', body)
    if (!isBegun) return `round ${iteration} is missing`
    const wrong = judgePause(before, round, body) ?? judge(round)
    if (wrong) return wrong
    if (!isWhole(round)) return judgeWhole(step, [round], () => null)
    last = outputsOf(round)
    before = round
  }
}

/** One round after the other, with the delay in between. */
function judgePause(before: Scope | undefined, round: Scope, body: StepBody): string | undefined {
  if (!before) return undefined
  const { events } = round.judged.history
  const [ended, began] = [lastOf(before), startOf(round)]
  if (began < ended) return `${round.prefix} began before the round before it had ended`
  // It began in the run that it was taken over from, or the one before it ended there: what is copied has the time of the copy.
  if ([before, round].some((one) => stepsOf(one).some((step) => step && isCopied(step)))) return undefined
  const waited = events[began - 1]!.at - events[ended - 1]!.at
  return waited < parseDuration(body.loop!.delay ?? '0s')! ? `${round.prefix} began after ${waited} ms` : undefined
}

function insideOf({ judged, endingSeq }: Scope, step: StepHistory, prefix: string, steps: Steps, names: Scope['names']): Scope {
  const failing = (path: string) => judged.history.failing.get(path) ?? NEVER
  // In a run that was reopened it may have stayed failed or cancelled since before: nothing starts in it any more.
  const over = step.end && step.status !== 'succeeded' ? step.end.seq : NEVER
  return scopeOf(judged, prefix, steps, Math.min(endingSeq, failing(step.path), failing(prefix.slice(0, -1)), over), names)
}

function shouldFail(step: StepHistory, code: string, body: StepBody): string | undefined {
  return isFailure(step, code, body) ? undefined : `should fail by ${code} and is ${step.status}`
}

/** A container succeeds with all that is in it and gives what it must, and fails by something in it or around it. */
function judgeWhole(step: StepHistory, inner: readonly Scope[], output: (told: Json) => Json, isEach = false): string | undefined {
  const own = inner[0]?.judged.history.failing.get(step.path) ?? NEVER
  if (step.status !== 'succeeded') return own < step.end!.seq || inner.some(failureIn) ? undefined : 'failed without a failure in it'
  if (!isEach && !inner.every(isWhole)) return 'succeeded before all that is in it'
  const judged = inner[0]?.judged
  const told = judged ? judged.unpack(step.end!.data.output) : (step.end!.data.output ?? null)
  const expected = output(told)
  return same(told, expected) ? undefined : `gave ${JSON.stringify(told)}, not ${JSON.stringify(expected)}`
}

const stepsOf = ({ judged, steps, prefix }: Scope) => [...steps.keys()].map((id) => judged.history.steps.get(prefix + id))
const isWhole = (scope: Scope) => stepsOf(scope).every((step) => step?.end && isSatisfied(step))
/** The step in it that failed first, unless that is tolerated. */
const failureIn = (scope: Scope): StepHistory | undefined => failuresIn(scope)[0]

function failuresIn(scope: Scope): StepHistory[] {
  const failures = stepsOf(scope).filter((step) => step !== undefined && step.status === 'failed' && !isSatisfied(step))
  return (failures as StepHistory[]).sort((a, b) => a.endSeq! - b.endSeq!)
}

function outputsOf({ judged, steps, prefix }: Scope): Record<string, Json> {
  return Object.fromEntries([...steps.keys()].map((id) => [id, judged.unpack(judged.history.steps.get(prefix + id)?.end?.data.output)]))
}

/** When the first thing in it happened. */
const startOf = (scope: Scope) => Math.min(...stepsOf(scope).map((step) => step?.startSeq ?? step?.endSeq ?? NEVER))

/** When the last step in it ended. */
const lastOf = (scope: Scope) => Math.max(0, ...stepsOf(scope).map((step) => step?.endSeq ?? 0))

/** How many items were open at the same time. */
function mostAtOnce(items: readonly Scope[]): number {
  const spans = items.map((item) => ({ from: startOf(item), to: lastOf(item) })).filter(({ from }) => from !== NEVER)
  return Math.max(0, ...spans.map(({ from }) => spans.filter((other) => other.from <= from && from <= other.to).length))
}
