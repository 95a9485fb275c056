/**
 * What may have become of a run, told by its definition, its input and the answers that its calls get: each step by itself, from how the steps
 * ended that it depends on. Knows nothing of the engine.
 */
import type { Json } from '@baton/contracts'
import { judgeCancelledChild, judgeChild, judgeEmit, judgeFork, judgeSlot, judgeWaitFor } from './judge-beyond.ts'
import { isFailure, judgeCall } from './judge-call.ts'
import { judgeCompensations } from './judge-compensations.ts'
import { judgeContainer } from './judge-containers.ts'
import { judgeReopenings } from './judge-reopenings.ts'
import { depsOf, type Judged, type Scope, same, scopeOf, testOf } from './model-scope.ts'
import type { StepBody } from './random-workflow.ts'
import { isCopied, isSatisfied, type StepHistory } from './run-history.ts'

/** What is wrong with the run; undefined when all of it is as it must be. */
export function judgeRun(judged: Judged): string | undefined {
  const { history, definition } = judged
  const scope = scopeOf(judged, '', definition.steps, history.endingSeq ?? Number.POSITIVE_INFINITY, {})
  const wrong = judgeReopenings(judged) ?? judgeFork(judged) ?? judgeSlot(judged) ?? judgeScope(scope)
  if (wrong || history.terminal === undefined) return wrong
  return judgeCompensations(judged) ?? judgeEnd(judged, scope)
}

function judgeEnd({ history, definition, n, unpack, timeoutPassed }: Judged, scope: Scope): string | undefined {
  const failed = [...scope.steps.keys()].map((id) => history.steps.get(id)).filter((step) => step && !isSatisfied(step))
  const open = [...scope.steps.keys()].filter((id) => !history.steps.get(id)?.end)
  const end = history.events.at(-1)!
  if (history.terminal === 'timed_out') return timeoutPassed ? undefined : 'the run timed out before its time'
  if (history.terminal === 'failed') {
    const isByOutput = definition.output?.n.includes('nope') && failed.length + open.length === 0
    if (history.ending !== undefined && history.ending !== 'failed') return undefined // a compensation has failed
    const isRefused = (end.data.error as { code: string } | undefined)?.code === 'BTN_CONCURRENCY'
    if (isRefused && history.reopenings.some(({ event }) => event.type === 'run.reopened')) return 'was refused a slot, and was reopened'
    if (isRefused) return definition.concurrency?.onConflict === 'reject' ? undefined : 'the run was refused a slot, and would have waited'
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
  if (step && isCopied(step)) return undefined // judgeFork has looked at it
  const verdict = verdictOf(scope, id, body, start ?? Number.POSITIVE_INFINITY)
  if (!step || start === undefined) {
    // Also in an open run all that may start has started when all is at rest, unless it is kept from it.
    const isKept =
      history.terminal === undefined && (history.paused || (scope.judged.definition.concurrency !== undefined && !history.admitted))
    const isOver = !isKept && scope.endingSeq === Number.POSITIVE_INFINITY
    return verdict !== 'blocked' && isOver ? `should have been started (${verdict}) and was not` : undefined
  }
  if (step.status === 'cancelled') {
    const isMeant = isLeft(scope, step) || step.end!.seq > scope.endingSeq
    return isMeant ? judgeCancelledChild(scope.judged, step, body) : 'was cancelled without need'
  }
  if (verdict === 'blocked') return `was started before what it needs: ${step.status}`
  if (verdict === 'skip') return step.status === 'skipped' ? undefined : `should be skipped and is ${step.status}`
  if (step.status === 'skipped') return verdict === 'either' ? undefined : 'was skipped without need'
  if (verdict === 'error') return isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail by its condition and is ${step.status}`
  return judgeBody(scope, step, body)
}

/** It ended before the run was reopened, by a replay of something else. */
function isLeft({ judged }: Scope, step: StepHistory): boolean {
  return step.end!.seq < (judged.history.reopenings.at(-1)?.event.seq ?? 0)
}

/** Whether the step starts, by what it depends on and its condition. `either`: depends on when it was looked at. */
function verdictOf(scope: Scope, id: string, body: StepBody, startSeq: number): 'run' | 'skip' | 'blocked' | 'error' | 'either' {
  const deps = depsOf(scope, id, body)
  const at = (dep: string) => scope.judged.history.steps.get(scope.prefix + dep)
  const ended = deps.filter(({ step }) => (at(step)?.endSeq ?? Number.POSITIVE_INFINITY) < startSeq)
  const succeeded = ended.filter(({ step }) => at(step)!.status === 'succeeded')
  if (body.join === 'any' && deps.length > 0) {
    if (succeeded.length === 0)
      return ended.length === deps.length && ended.every(({ step }) => isSatisfied(at(step)!)) ? 'skip' : 'blocked'
  } else {
    if (ended.length < deps.length || ended.some(({ step }) => !isSatisfied(at(step)!))) return 'blocked'
    if (deps.some(({ step, require }) => require && at(step)!.status !== 'succeeded')) return 'skip'
  }
  if (!body.if) return 'run'
  const mentioned = /steps\.(\w+)\.status/.exec(body.if)?.[1]
  if (mentioned && body.join === 'any') return 'either'
  if (mentioned) return at(mentioned)!.status === 'succeeded' ? 'run' : 'skip'
  return testOf(scope, body.if)
}

function judgeBody(scope: Scope, step: StepHistory, body: StepBody): string | undefined {
  if (body.http || body.agent) return judgeCall(scope.judged, step, body)
  if (body.waitFor) return judgeWaitFor(scope, step, body)
  if (body.workflow) return judgeChild(scope, step, body)
  if (!step.end) return undefined
  if (body.emit) return judgeEmit(scope, step)
  if (body.set) return judgeSet(scope, step, body)
  if (body.fail) return isFailure(step, 'BTN_USER_FAIL', body) ? undefined : `should fail and is ${step.status}`
  if (body.wait) return judgeWait(step, body)
  if (body.approval) return judgeApproval(scope, step, body)
  return judgeContainer(scope, step, body, judgeScope)
}

function judgeSet({ judged, prefix, names }: Scope, step: StepHistory, body: StepBody): string | undefined {
  if (body.set!.n!.includes('nope')) return isFailure(step, 'BTN_EXPRESSION', body) ? undefined : `should fail and is ${step.status}`
  const output = judged.unpack(step.end!.data.output) as Record<string, Json>
  const told = Object.keys(body.set!).find((key) => key in names && !same(output?.[key], names[key]))
  if (told) return `gave ${told} as ${JSON.stringify(output[told])}, not ${JSON.stringify(names[told])}`
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
  const row = judged.approvalOf(step.approvals.at(-1) ?? '')
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
