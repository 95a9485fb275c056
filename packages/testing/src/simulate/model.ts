/**
 * What may have become of a run, told by its definition, its input and the answers that its calls get: each step by itself, from how the steps
 * ended that it depends on. Knows nothing of the engine.
 */
import { isTerminal, type Json } from '@baton/contracts'
import { isFailure, judgeCall } from './judge-call.ts'
import type { Definition, StepBody, Steps } from './random-workflow.ts'
import { isSatisfied, type RunHistory, type StepHistory } from './run-history.ts'

export interface Judged {
  history: RunHistory
  definition: Definition
  n: number
  /** The decision of the approval of a path, as its row has it. */
  decisionOf(path: string): { status: string; decision: string | null } | undefined
  /** Whole outputs, also of those that are stored apart. */
  unpack(value: Json | undefined): Json
  timeoutPassed: boolean
}

interface Scope {
  judged: Judged
  prefix: string
  steps: Map<string, StepBody>
  /** When this scope, or one around it, began to end. */
  endingSeq: number
}

/** What is wrong with the run; undefined when all of it is as it must be. */
export function judgeRun(judged: Judged): string | undefined {
  const { history, definition } = judged
  const scope = scopeOf(judged, '', definition.steps, history.endingSeq ?? Number.POSITIVE_INFINITY)
  const wrong = judgeScope(scope)
  if (wrong || history.terminal === undefined) return wrong
  return judgeEnd(judged, scope)
}

function judgeEnd({ history, definition, n, unpack, timeoutPassed }: Judged, scope: Scope): string | undefined {
  const failed = [...scope.steps.keys()].map((id) => history.steps.get(id)).filter((step) => step && !isSatisfied(step))
  const open = [...scope.steps.keys()].filter((id) => !history.steps.get(id)?.end)
  const end = history.events.at(-1)!
  if (history.terminal === 'timed_out') return timeoutPassed ? undefined : 'the run timed out before its time'
  if (history.terminal === 'failed') {
    const isByOutput = definition.output?.n.includes('nope') && failed.length + open.length === 0
    return failed.some((step) => step!.status === 'failed') || isByOutput ? undefined : 'the run failed, and no step did'
  }
  if (history.terminal !== 'succeeded') return undefined
  if (failed.length + open.length > 0) return `the run succeeded, and ${failed[0]?.path ?? open[0]} did not`
  const expected = definition.output ? { n: n + 1 } : null
  if (definition.output?.n.includes('nope')) return 'the run succeeded, and its output is an error'
  return same(unpack(end.data.output), expected) ? undefined : `the output of the run is ${JSON.stringify(end.data.output)}`
}

function judgeScope(scope: Scope): string | undefined {
  for (const [id, body] of scope.steps) {
    const wrong = judgeStep(scope, id, body)
    if (wrong) return `${scope.prefix}${id}: ${wrong}`
  }
  return undefined
}

function judgeStep(scope: Scope, id: string, body: StepBody): string | undefined {
  const { history } = scope.judged
  const step = history.steps.get(scope.prefix + id)
  const start = step?.startSeq ?? step?.endSeq
  const verdict = verdictOf(scope, id, body, start ?? Number.POSITIVE_INFINITY)
  if (!step || start === undefined) {
    const isOver = isTerminal(history.terminal ?? 'running') && scope.endingSeq === Number.POSITIVE_INFINITY
    return verdict !== 'blocked' && isOver ? `should have been started (${verdict}) and was not` : undefined
  }
  if (step.status === 'cancelled') return step.end!.seq > scope.endingSeq ? undefined : 'was cancelled without need'
  if (verdict === 'blocked') return `was started before what it needs: ${step.status}`
  if (verdict === 'skip') return step.status === 'skipped' ? undefined : `should be skipped and is ${step.status}`
  if (step.status === 'skipped') return verdict === 'either' ? undefined : 'was skipped without need'
  if (verdict === 'error') return isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail by its condition and is ${step.status}`
  return judgeBody(scope, step, body)
}

/** Whether the step starts, by what it depends on and its condition. `either`: depends on when it was looked at. */
function verdictOf(scope: Scope, id: string, body: StepBody, startSeq: number): 'run' | 'skip' | 'blocked' | 'error' | 'either' {
  const deps = depsOf(scope, id, body)
  const at = (dep: string) => scope.judged.history.steps.get(scope.prefix + dep)
  const ended = deps.filter(({ step }) => (at(step)?.endSeq ?? Number.POSITIVE_INFINITY) < startSeq)
  const succeeded = ended.filter(({ step }) => at(step)!.status === 'succeeded')
  if (body.join === 'any' && deps.length > 0) {
    if (succeeded.length === 0) return ended.length === deps.length ? 'skip' : 'blocked'
  } else {
    if (ended.length < deps.length || ended.some(({ step }) => !isSatisfied(at(step)!))) return 'blocked'
    if (deps.some(({ step, require }) => require && at(step)!.status !== 'succeeded')) return 'skip'
  }
  if (!body.if) return 'run'
  const mentioned = /steps\.(\w+)\.status/.exec(body.if)?.[1]
  if (mentioned && body.join === 'any') return 'either'
  if (mentioned) return at(mentioned)!.status === 'succeeded' ? 'run' : 'skip'
  return conditionOf(body.if, scope.judged.n)
}

function conditionOf(text: string, n: number): 'run' | 'skip' | 'error' {
  if (text.includes('nope')) return 'error'
  const limit = /input\.n > (\d+)/.exec(text)?.[1]
  return limit === undefined || n > Number(limit) ? 'run' : 'skip'
}

/** Written needs, those of a sequence, and every step of the scope that is mentioned. */
function depsOf(scope: Scope, id: string, body: StepBody): { step: string; require: boolean }[] {
  const deps = new Map<string, boolean>()
  for (const [, other] of JSON.stringify({ ...body, needs: undefined }).matchAll(/steps\.(\w+)/g)) {
    if (scope.steps.has(other!)) deps.set(other!, false)
  }
  for (const need of body.needs ?? []) {
    if (typeof need === 'string') deps.set(need, deps.get(need) ?? false)
    else deps.set(need.step, true)
  }
  const ids = [...scope.steps.keys()]
  const before = ids[ids.indexOf(id) - 1]
  if (body.id !== undefined && before !== undefined && !deps.has(before)) deps.set(before, false)
  return [...deps].map(([step, require]) => ({ step, require }))
}

function judgeBody(scope: Scope, step: StepHistory, body: StepBody): string | undefined {
  if (body.http || body.agent) return judgeCall(scope.judged, step, body, scope.endingSeq)
  if (!step.end) return undefined
  if (body.set) return judgeSet(scope, step, body)
  if (body.fail) return isFailure(step, 'BTN_USER_FAIL', body) ? undefined : `should fail and is ${step.status}`
  if (body.wait) return judgeWait(step, body)
  if (body.approval) return judgeApproval(scope, step, body)
  return judgeSwitch(scope, step, body)
}

function judgeSet({ judged, prefix }: Scope, step: StepHistory, body: StepBody): string | undefined {
  if (body.set!.n!.includes('nope')) return isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail and is ${step.status}`
  const output = judged.unpack(step.end!.data.output) as Record<string, Json>
  const source = /steps\.(\w+)/.exec(body.set!.output ?? '')?.[1]
  const from = source === undefined ? undefined : judged.history.steps.get(prefix + source)
  const isRight =
    step.status === 'succeeded' &&
    output.n === judged.n &&
    (source === undefined ||
      body.join === 'any' ||
      (output.status === from!.status && same(output.output, judged.unpack(from!.end!.data.output))))
  return isRight ? undefined : `is ${step.status} with ${JSON.stringify(output)}`
}

function judgeWait(step: StepHistory, body: StepBody): string | undefined {
  const isCut = body.timeout !== undefined && body.wait!.for !== '0s' && body.wait!.for !== '300ms'
  if (isCut) return isFailure(step, 'BTN_TIMEOUT', body) ? undefined : `should time out and is ${step.status}`
  return step.status === 'succeeded' ? undefined : `waited and is ${step.status}`
}

function judgeApproval({ judged }: Scope, step: StepHistory, body: StepBody): string | undefined {
  const row = judged.decisionOf(step.path)
  const outcomes = step.approvals.flatMap((id) => judged.history.outcomes.get(id) ?? [])
  if (!row || outcomes.length !== 1 || outcomes[0] !== `approval.${row.status}`) {
    return `its approval is ${row?.status}, and the run says ${outcomes.join() || 'nothing'}`
  }
  if (row.status === 'expired' && body.approval!.onTimeout === 'fail') {
    return isFailure(step, 'BTN_APPROVAL_TIMEOUT', body) ? undefined : `should fail and is ${step.status}`
  }
  const isRejected = row.decision === 'reject' && body.approval!.onReject !== 'continue'
  if (isRejected) return isFailure(step, 'BTN_APPROVAL_REJECTED', body) ? undefined : `was rejected and is ${step.status}`
  const decision = (judged.unpack(step.end!.data.output) as Record<string, Json> | null)?.decision
  return step.status === 'succeeded' && decision === row.decision ? undefined : `was decided ${row.decision} and is ${step.status}`
}

function judgeSwitch({ judged, endingSeq }: Scope, step: StepHistory, body: StepBody): string | undefined {
  const { cases, default: otherwise } = body.switch!
  const index = cases.findIndex(({ if: condition }) => conditionOf(condition, judged.n) !== 'skip')
  if (index >= 0 && conditionOf(cases[index]!.if, judged.n) === 'error') {
    return isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail and is ${step.status}`
  }
  const chosen = index >= 0 ? cases[index] : otherwise
  if (!chosen) return step.status === 'succeeded' ? undefined : `had nothing to do and is ${step.status}`
  const own = judged.history.failing.get(step.path) ?? Number.POSITIVE_INFINITY
  const inner = scopeOf(judged, `${step.path}.`, chosen.steps, Math.min(endingSeq, own))
  const wrong = judgeScope(inner)
  if (wrong) return wrong
  const ends = [...inner.steps.keys()].map((id) => judged.history.steps.get(inner.prefix + id))
  const isWhole = ends.every((end) => end?.end && isSatisfied(end))
  if (step.status === 'succeeded') return isWhole ? undefined : 'succeeded before all that is in it'
  const isCaused = own < step.end!.seq || ends.some((end) => end?.status === 'failed' && !isSatisfied(end))
  return isCaused ? undefined : 'failed without a failure in it'
}

function scopeOf(judged: Judged, prefix: string, steps: Steps, endingSeq: number): Scope {
  const entries: [string, StepBody][] = Array.isArray(steps) ? steps.map((body) => [body.id!, body]) : Object.entries(steps)
  return { judged, prefix, steps: new Map(entries), endingSeq }
}

const same = (a: Json | undefined, b: Json | undefined) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)
