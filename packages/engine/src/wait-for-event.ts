/** `waitFor` and `emit`: steps that wait for events from outside, and steps that tell of one. */
import type { InboxFact, Json } from '@baton/contracts'
import { idOf, parseDuration } from '@baton/contracts'
import { type Deciding, envOf, errorOf, packed, schedule, timeText, waitFor } from './deciding.ts'
import type { EngineFact } from './decision.ts'
import { endStep, failStep } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import { evaluateCondition } from './expressions.ts'
import { placeOf } from './instances.ts'
import type { EmitPlan, Env, WaitForPlan } from './plan.ts'
import type { StepState } from './state.ts'
import { renderTemplate, textOf } from './templates.ts'

type EventFact = Extract<InboxFact, { kind: 'event' }>

/** Begins to wait for an event of a type, from those on that were accepted since the run was created. */
export function startWaitFor(d: Deciding, step: StepState, body: WaitForPlan, env: Env): void {
  const event = textOf(renderTemplate(body.event, env))
  const limitMs = body.timeout === undefined ? null : durationOf(textOf(renderTemplate(body.timeout, env)), step)
  schedule(d, step, { input: { event } })
  waitFor(d, step, { kind: 'event', event, until: limitMs === null ? null : timeText(d.ctx.now + limitMs) })
  register(d, step, event, d.state.eventsTaken.get(placeOf(step)) ?? 0)
}

/** From now on the step is told of events of the type, first of those that were accepted before, after number `after`. */
function register(d: Deciding, step: StepState, type: string, after: number): void {
  const { path, generation } = step
  d.decision.waitersSet.push({ path, generation, type, after })
}

function durationOf(text: string, step: StepState): number {
  const ms = parseDuration(text)
  if (ms === undefined)
    throw new ExpressionError(`"${text}" in waitFor.timeout of step ${step.path} is not a duration of at most 100 years`)
  return ms
}

/**
 * An event of the type was accepted. One that `where` cannot be asked about (a field is missing) is one that the step does not wait for: who
 * sends events must not be able to fail runs.
 */
export function takeEvent(d: Deciding, fact: EventFact): void {
  const step = d.state.steps.get(fact.path)
  if (step?.status !== 'waiting' || step.waitingFor?.kind !== 'event' || step.generation !== fact.generation) return
  // It has asked for further ones: what came after them comes again, behind them.
  if (d.decision.waitersSet.some(({ path, generation }) => path === step.path && generation === step.generation)) return
  if (fact.seq <= (d.state.eventsTaken.get(placeOf(step)) ?? 0)) return
  const { where } = step.step.body as WaitForPlan
  if (where && !isWanted(d, step, where, fact.event)) {
    if (fact.more) register(d, step, step.waitingFor.event, fact.seq)
    return
  }
  const output = packed(d, fact.event)
  if (output !== undefined) return endStep(d, step, 'succeeded', { output: output as Json, accepted: fact.seq })
  failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the event for step ${step.path} is over the payload limit`), false)
}

/**
 * The facts with the events among them in the order of acceptance: one that was told to a waiter at once may stand before earlier ones, which
 * were read for it afterwards.
 */
export function inOrderOfAcceptance(facts: readonly EngineFact[]): readonly EngineFact[] {
  const isEvent = (fact: EngineFact): fact is EventFact => fact.kind === 'event'
  const events = facts.filter(isEvent).sort((a, b) => a.seq - b.seq)
  if (events.length < 2) return facts
  let next = 0
  return facts.map((fact) => (isEvent(fact) ? events[next++]! : fact))
}

function isWanted(d: Deciding, step: StepState, where: NonNullable<WaitForPlan['where']>, event: Json): boolean {
  try {
    return evaluateCondition(where, envOf(d, step.scope, step, { event }))
  } catch (error) {
    if (error instanceof ExpressionError) return false
    throw error
  }
}

/** No event came in time. */
export function expireWait(d: Deciding, step: StepState): void {
  const { onTimeout } = step.step.body as WaitForPlan
  if (onTimeout === 'continue') return endStep(d, step, 'succeeded', { output: null })
  failStep(d, step, errorOf('BTN_TIMEOUT', `no event came for step ${step.path} in time`), false)
}

/** Tells an event. Its id names the step and its generation, so that it is accepted once. */
export function startEmit(d: Deciding, step: StepState, body: EmitPlan, env: Env): void {
  const { type, subject, data } = renderTemplate(body.event, env) as { type: Json; subject?: Json; data?: Json }
  const run = idOf('run', d.state.header.runId)
  const id = `${run}/${step.path}/${step.generation}`
  const source = `/runs/${run}`
  const event: Record<string, Json> = {
    ...{ specversion: '1.0', id, source, type: textOf(type) },
    ...(subject === undefined ? {} : { subject: textOf(subject) }),
    ...{ time: timeText(d.ctx.now), datacontenttype: 'application/json', data: data ?? null },
  }
  schedule(d, step, {})
  if (packed(d, event) === undefined) {
    return failStep(d, step, errorOf('BTN_OUTPUT_TOO_LARGE', `the event of step ${step.path} is over the payload limit`), false)
  }
  d.decision.emitted.push({ id, source, type: textOf(type), ...(subject === undefined ? {} : { subject: textOf(subject) }), event })
  endStep(d, step, 'succeeded', { output: { id } })
}
