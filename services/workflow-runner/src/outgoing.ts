/** What follows from a commit, gathered over all runs of a batch. */
import type { AgentTurn, HttpCall, LiveEvent, Notification } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import { createdDataOf, type Decision, type RunState } from '@baton/engine'

/** Commands for others, and what is told to everybody. */
export interface Outgoing {
  calls: HttpCall[]
  turns: AgentTurn[]
  notifications: Notification[]
  events: LiveEvent[]
  /** Bare ids of runs that have begun to end, with calls out. */
  ending: string[]
  /** Bare ids of runs that have ended. */
  ended: string[]
  /** Bare ids of runs that have something new in their inbox, and of child runs that are to start. */
  woken: readonly string[]
  started: string[]
}

/** A run whose decision was committed. */
interface Committed {
  runId: string
  state: RunState
  fromSeq: number
  decision: Decision
}

/** Who sends a call this long after its commit may have stood still, and others may have sent it: the worker asks first. */
const LATE_MS = 500

/** `at` is Postgres' time of the commit, which took `tookMs` until now. */
export function outgoingOf(turns: readonly Committed[], at: number, tookMs: number, woken: readonly string[] = []): Outgoing {
  const isLate = tookMs > LATE_MS
  const outgoing: Outgoing = { calls: [], turns: [], notifications: [], events: [], ending: [], ended: [], woken, started: [] }
  for (const { runId, state, decision, fromSeq } of turns) {
    const { namespace, workflow, trace, requestId } = state.header
    for (const decided of decision.calls) {
      const call: HttpCall = { ...decided, at }
      if (isLate) call.resent = true
      outgoing.calls.push(call)
    }
    for (const turn of decision.turns) outgoing.turns.push({ ...turn, at })
    if (fromSeq === 1 && decision.events.length > 0) outgoing.events.push(creationOf(state))
    for (const decided of decision.events) {
      const event: LiveEvent = { ...decided, namespace, workflow }
      if (trace) event.trace = trace
      outgoing.events.push(event)
    }
    for (const opening of decision.approvalsOpened) {
      if (opening.notify === null) continue
      const origin = { ...(trace ? { trace } : {}), ...(requestId ? { requestId } : {}) }
      outgoing.notifications.push({ approvalId: opening.id, namespace, ...origin })
    }
    for (const child of decision.children) outgoing.started.push(child.id)
    if (decision.events.some(({ type }) => type === 'run.ending')) outgoing.ending.push(runId)
    if (isTerminal(state.status) && state.seq > fromSeq) outgoing.ended.push(runId)
  }
  return outgoing
}

/** The first event of a run was written by whoever created it; live readers are told of it with the first events that follow. */
function creationOf({ header }: RunState): LiveEvent {
  const { runId, namespace, workflow, createdAt, trace } = header
  const event = { runId, seq: 1, type: 'run.created', path: '', at: createdAt, data: createdDataOf(header) } as const
  return { ...event, namespace, workflow, ...(trace ? { trace } : {}) }
}

/** When the first of the timers that were set is due. */
export function nextTimerOf(turns: readonly Pick<Committed, 'decision'>[]): number | null {
  let next: number | null = null
  for (const { decision } of turns) for (const { dueAt } of decision.timersSet) if (next === null || dueAt < next) next = dueAt
  return next
}
