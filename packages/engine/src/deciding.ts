/** The workbench of one decision: its state, what it has decided so far, and how events are put down. */

import { createHash } from 'node:crypto'
import type { BatonError, BlobRef, EventType, InboxFact, Json, StoredEvent } from '@baton/contracts'
import { isBlobRef } from '@baton/contracts'
import { applyEvent } from './apply-event.ts'
import { BlobsNeeded, type DecideContext, type Decision, type TimerKind, type TimerSetting } from './decision.ts'
import { isContainer } from './instances.ts'
import type { Env } from './plan.ts'
import { failureOf, isSatisfied, type RunState, type ScopeState, type StepState, type WaitingFor } from './state.ts'
import { attemptOf, timersOf } from './timers.ts'

export interface Deciding {
  state: RunState
  ctx: DecideContext
  decision: Decision
  /** Steps that may have become ready. */
  queue: StepState[]
  /** Containers that may have come to their end, or to their next item or round. */
  closing: StepState[]
  /** Of a run in which steps were put back: `forEach` steps in which there may be room for an item to go on, or for a new one. */
  filling: Set<StepState>
  /** Items that were let go on, or opened, while `drain` lasts: room was found for them. */
  going: Set<ScopeState>
  /** The run was aborted for this: it ends with this decision. */
  aborted?: BatonError
  /** The run was reopened by this decision: what it was told of its slot before belongs to the life that is over. */
  reopened?: boolean
  /** Calls that were sent by this decision: not sent again by a resend. */
  sent: Set<StepState>
  /** What becomes of each timer, the last word only: null clears it. */
  timers: Map<string, TimerSetting | { path: string; timer: TimerKind; dueAt: null }>
  /** Approvals that people have decided, also those whose turn has not come: none of them can expire or be withdrawn any more. */
  decided: readonly ApprovalDecided[]
  /** Tasks that whoever held them has ended: none of them can be withdrawn any more. */
  taskEnds: readonly TaskEnded[]
  /** Callbacks that were accepted: none of their addresses can be closed any more. */
  callbacks: readonly CallbackFact[]
}

export type CallbackFact = Extract<InboxFact, { kind: 'callback' }>
export type TaskEnded = Extract<InboxFact, { kind: 'task-ended' }>
export type ApprovalDecided = Extract<InboxFact, { kind: 'approval-decided' }>

/** Puts down the next event of the run and folds it into the state. */
export function emit(d: Deciding, type: EventType, path: string, data: Record<string, Json>): void {
  const event: StoredEvent = { runId: d.state.header.runId, seq: d.state.seq + 1, type, path, at: d.ctx.now, data }
  const resting = d.state.hasReplayed ? restingAround(d.state, path) : []
  applyEvent(d.state, event)
  d.decision.events.push(event)
  for (const container of resting) for (const { timer, dueAt } of timersOf(container)) setTimer(d, container, timer, dueAt)
}

/** Containers around the step that were put back and go on with it. */
function restingAround(state: RunState, path: string): StepState[] {
  const found: StepState[] = []
  for (let at = state.steps.get(path)?.scope.owner; at; at = at.scope.owner) if (at.rests) found.push(at)
  return found
}

/** Sets a timer of a step, by the clock of Postgres. */
export function setTimer(d: Deciding, step: StepState, timer: TimerKind, dueAt: number): void {
  const { path, generation } = step
  d.timers.set(`${timer} ${path}`, { path, timer, generation, attempt: attemptOf(step, timer), dueAt })
}

/** Sets the timeout of the run itself. */
export function setRunTimer(d: Deciding, dueAt: number): void {
  d.timers.set('run ', { path: '', timer: 'run', generation: d.state.reopenings ?? 0, attempt: 1, dueAt })
}

/** Clears a timer, whether it is set or not. */
export function clearTimer(d: Deciding, path: string, timer: TimerKind): void {
  d.timers.set(`${timer} ${path}`, { path, timer, dueAt: null })
}

/** RFC 3339 UTC with milliseconds. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString()
}

/** Rough JSON size in bytes of a value, counted only until it is known to be over `bytesMax`. */
export function isOver(value: Json, bytesMax: number): boolean {
  let left = bytesMax
  const count = (v: Json): void => {
    if (left < 0) return
    if (typeof v === 'string') left -= v.length + 2
    else if (typeof v !== 'object' || v === null) left -= 8
    else if (Array.isArray(v)) for (const item of v) count(item)
    else
      for (const key in v) {
        left -= key.length + 4
        count(v[key]!)
      }
  }
  count(value)
  return left < 0
}

/** The value itself, or a reference to it when it is large; the payload then joins the decision's blobs. Undefined when over the output limit. */
export function packed(d: Deciding, value: Json): Json | BlobRef | undefined {
  // A user's value that looks like a reference is stored as a payload itself: read back, it is what the user wrote.
  const looksStored = isBlobRef(value)
  if (!looksStored && !isOver(value, d.ctx.inlineBytesMax / 4)) return value
  const text = JSON.stringify(value)
  const bytes = Buffer.byteLength(text)
  if (!looksStored && bytes <= d.ctx.inlineBytesMax) return value
  if (bytes > d.ctx.outputBytesMax) return undefined
  const $blob = `sha256:${createHash('sha256').update(text).digest('hex')}`
  d.decision.blobs.set($blob, text)
  return { $blob, bytes }
}

/** The payload behind a value that may be a reference. Throws BlobsNeeded when it has to be loaded first. */
export function unpacked(d: Deciding, value: Json | BlobRef): Json {
  if (!isBlobRef(value)) return value
  const own = d.decision.blobs.get(value.$blob)
  if (own !== undefined) return JSON.parse(own) as Json
  const loaded = d.ctx.blobs.get(value.$blob)
  if (loaded === undefined) throw new BlobsNeeded([value.$blob])
  return loaded
}

/** What a step gave, whole; outputs of the steps inside a container too. */
function outputOf(d: Deciding, step: StepState): Json {
  const output = unpacked(d, step.output)
  if (step.tolerated || !isContainer(step) || !isObject(output)) return output // what onError gives has no such outputs
  if (step.step.kind === 'switch') return { ...output, outputs: unpackedEach(d, output.outputs!) }
  if (step.step.kind === 'loop') return { ...output, last: unpackedEach(d, output.last!) }
  const results = output.results as { output: Json }[]
  return { results: results.map((result) => ({ ...result, output: unpackedEach(d, result.output) })) }
}

function unpackedEach(d: Deciding, outputs: Json): Json {
  if (!isObject(outputs)) return outputs
  return Object.fromEntries(Object.entries(outputs).map(([id, value]) => [id, unpacked(d, value)]))
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Outputs of the steps of a scope, by id, as they are recorded. */
export function outputsOf(scope: ScopeState): Record<string, Json> {
  return Object.fromEntries(scope.steps.map((step) => [step.step.id, step.output as Json]))
}

/** `last` of a loop: what the steps of a round gave, whole. */
export function lastOf(d: Deciding, round: ScopeState | undefined): Json {
  if (!round) return null
  return Object.fromEntries(round.steps.map((step) => [step.step.id, outputOf(d, step)]))
}

/** The list of a `forEach`, as it was recorded. */
export function itemsOf(d: Deciding, container: StepState): readonly Json[] {
  const items = container.items!
  items.list ??= unpacked(d, container.input ?? null) as Json[]
  return items.list
}

/** Values for the expressions of one step, looked up in its scope and every scope around it. */
export function envOf(d: Deciding, scope: ScopeState, step?: StepState, extra?: Record<string, Json>): Env {
  const { header } = d.state
  return {
    step(id) {
      for (let at: ScopeState | undefined = scope; at; at = at.owner?.scope) {
        const index = at.scope.byId.get(id)
        if (index === undefined) continue
        const found = at.steps[index]!
        return {
          // Asked for only by expressions that read it: a large one has to be loaded first.
          get output() {
            return outputOf(d, found)
          },
          status: found.status,
          error: found.error as Json,
        }
      }
      return { output: null, status: 'pending', error: null }
    },
    variable(name) {
      if (extra && name in extra) return extra[name]
      for (let at: ScopeState | undefined = scope; at?.owner; at = at.owner.scope) {
        const value = variableOf(d, at, name)
        if (value !== undefined) return value
      }
      switch (name) {
        case 'input':
          return unpacked(d, header.input)
        case 'run':
          return { id: `run_${header.runId}`, startedAt: new Date(d.state.startedAt ?? d.ctx.now) }
        case 'workflow':
          return { name: header.workflow, version: header.version }
        case 'now':
          return new Date(step?.now ?? d.ctx.now)
        case 'vars':
          return step?.vars ?? d.ctx.vars
      }
      return undefined
    },
  }
}

/** `item`, `index`, `iteration` or `last`, where the scope is an item or a round that gives it this name. */
function variableOf(d: Deciding, scope: ScopeState, name: string): Json | undefined {
  const { body } = scope.owner!.step
  if (body.kind === 'forEach') {
    if (name === (body.as ?? 'item')) return itemsOf(d, scope.owner!)[scope.index!]
    return name === (body.as ? `${body.as}Index` : 'index') ? scope.index : undefined
  }
  if (body.kind !== 'loop') return undefined
  if (name === 'iteration') return scope.index
  return name === 'last' ? lastOf(d, scope.previous) : undefined
}

/** An error as steps and runs carry it. */
export function errorOf(code: string, message: string, more: Partial<BatonError> = {}): BatonError {
  return { code, message, ...more }
}

/** True when the step's scope, and all around it, still start new steps. */
export function isLive(d: Deciding, scope: ScopeState): boolean {
  return d.state.ending === undefined && failureOf(scope) === undefined
}

/** True when all that the step depends on has ended and lets it go on; 'skip' when it never will. */
export function readiness(step: StepState): 'ready' | 'blocked' | 'skip' {
  const needs = step.step.needs
  const any = step.step.join === 'any' && needs.length > 0
  if (any && needs.some((need) => step.scope.steps[need.index]!.status === 'succeeded')) return 'ready'
  if (step.blocked > 0) return 'blocked'
  // What fails the run decides nothing: beside a replay it stays failed or cancelled, and a retry may yet let it succeed.
  if (needs.some((need) => !isSatisfied(step.scope.steps[need.index]!))) return 'blocked'
  if (any) return 'skip'
  const isUnmet = needs.some((need) => need.require === 'succeeded' && step.scope.steps[need.index]!.status !== 'succeeded')
  return isUnmet ? 'skip' : 'ready'
}

/** True for a step that may have nothing to wait for. */
export function isUnblocked(step: StepState): boolean {
  return step.blocked === 0 || step.step.join === 'any'
}

/** Queues the steps of a scope that wait for nothing. */
export function startScope(d: Deciding, scope: ScopeState): void {
  for (const step of scope.steps) if (isUnblocked(step)) d.queue.push(step)
}

/** Puts down that the step was scheduled, with `now` and the variables that its expressions read. */
export function schedule(d: Deciding, step: StepState, data: Record<string, Json>): void {
  const { vars, usesNow } = step.step
  const recorded: Record<string, Json> = {}
  if (usesNow) recorded.now = timeText(d.ctx.now)
  if (vars.length > 0) recorded.vars = Object.fromEntries(vars.flatMap((name) => (name in d.ctx.vars ? [[name, d.ctx.vars[name]!]] : [])))
  emit(d, 'step.scheduled', step.path, { generation: step.generation, attempt: step.attempt, ...data, ...recorded })
}

/** Puts down that the step waits, and sets the timer that bounds its wait, if one does. */
export function waitFor(d: Deciding, step: StepState, waitingFor: WaitingFor & { until: string | null }): void {
  const { until } = waitingFor
  emit(d, 'step.waiting', step.path, {
    generation: step.generation,
    attempt: step.attempt,
    startedAt: timeText(d.ctx.now),
    waitingFor: waitingFor as unknown as Json,
    ...(until === null ? {} : { dueAt: until }),
  })
  if (until !== null) setTimer(d, step, 'timeout', Date.parse(until))
}
