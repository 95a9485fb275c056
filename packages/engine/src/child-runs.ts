/** Child runs: `workflow` steps, and how the end of a run reaches the step that started it. */
import type { BatonError, InboxFact, Json, TerminalRunStatus } from '@baton/contracts'
import { idOf, isTerminal, LIMITS, takesCanary } from '@baton/contracts'
import { type Deciding, errorOf, packed, schedule, timeText, waitFor } from './deciding.ts'
import type { ChildTarget, Decision } from './decision.ts'
import { endStep, failStep } from './end-step.ts'
import { type ChildPlan, childKeyOf, type Env } from './plan.ts'
import type { RunState, StepState } from './state.ts'
import { renderTemplate } from './templates.ts'
import { validateAgainst } from './validate-schema.ts'

/** Starts a run of another workflow, in the version that it has now. */
export function startChild(d: Deciding, step: StepState, body: ChildPlan, env: Env): void {
  // As any start without input, so that a schema of `type: object` without required properties is met.
  const value = body.input === undefined ? {} : renderTemplate(body.input, env)
  const id = d.ctx.newUuid()
  const target = targetFor(d.ctx.workflows?.get(childKeyOf(body)), id)
  const flaw = target ? flawOf(d, step, body, target, value) : unknown(step, body)
  const input = packed(d, value)
  if (flaw || !target || input === undefined) {
    schedule(d, step, {})
    const large = errorOf('BTN_OUTPUT_TOO_LARGE', `the input of the run that step ${step.path} starts is over the payload limit`)
    return failStep(d, step, flaw ?? large, false)
  }
  const run = idOf('run', id)
  const generation = body.wait ? step.generation : null
  const { version, checksum, timeoutMs } = target
  schedule(d, step, { input: input as Json, run, version })
  const bound = timeoutMs === undefined ? {} : { timeoutMs }
  d.decision.children.push({ id, path: step.path, generation, workflow: body.name, version, checksum, input: input as Json, ...bound })
  if (!body.wait) return endStep(d, step, 'succeeded', { output: run })
  const limitMs = step.step.timeoutMs
  waitFor(d, step, { kind: 'run', run, until: limitMs === undefined ? null : timeText(d.ctx.now + limitMs) })
}

/** What the run `id` starts: that of the canary, if it is among its share. */
function targetFor(target: ChildTarget | undefined, id: string): ChildTarget | undefined {
  return target?.canary && takesCanary(id, target.canary.percent) ? target.canary : target
}

function unknown(step: StepState, body: ChildPlan): BatonError {
  return errorOf('BTN_CHILD_UNKNOWN', `step ${step.path} starts ${childKeyOf(body)}, which does not exist or is archived`)
}

function flawOf(d: Deciding, step: StepState, body: ChildPlan, target: ChildTarget, input: Json): BatonError | undefined {
  if ((d.state.header.depth ?? 0) >= LIMITS.childDepthMax) {
    return errorOf('BTN_CHILD_DEPTH', `step ${step.path} would start a run ${LIMITS.childDepthMax + 1} levels below the first`)
  }
  if (target.input === undefined) return undefined
  const [first] = validateAgainst(target.input, input, '')
  if (!first) return undefined
  return errorOf('BTN_CHILD_INPUT', `the input of ${childKeyOf(body)} in step ${step.path}: ${first.pointer || '/'} ${first.message}`)
}

/** The child has ended. */
export function takeChildEnd(d: Deciding, fact: Extract<InboxFact, { kind: 'child-ended' }>): void {
  const step = d.state.steps.get(fact.path)
  const run = idOf('run', fact.run)
  if (step?.status !== 'waiting' || step.waitingFor?.kind !== 'run' || step.waitingFor.run !== run) return
  if (fact.status === 'succeeded') return endStep(d, step, 'succeeded', { output: fact.output })
  const cause = fact.error ? { cause: fact.error } : {}
  failStep(d, step, errorOf('BTN_CHILD_FAILED', `run ${run} ended as ${fact.status}`, cause), false)
}

/** What the run tells the step that waits for its end; undefined when it has not ended or nobody waits. */
export function childEndOf(state: RunState): Decision['told'][number] | undefined {
  const { parent, runId } = state.header
  if (!parent || parent.generation === null || !isTerminal(state.status)) return undefined
  const { path, generation } = parent
  const ended = { status: state.status as TerminalRunStatus, output: state.output as Json, error: state.error }
  return { runId: parent.runId, fact: { kind: 'child-ended', path, generation, run: runId, ...ended } }
}
