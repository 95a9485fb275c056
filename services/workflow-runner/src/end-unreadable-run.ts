/**
 * The end of a run whose events cannot be folded: its definition no longer compiles, or no longer has the steps that its events name. The
 * engine needs a plan for everything else; this needs none.
 */
import type { BatonError, EventType, InboxFact, Json, StoredEvent } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import { applyEvent, childEndOf, createState, type Decision, emptyDecision, type Plan, type RunState, TIMER_KINDS } from '@baton/engine'
import type { LoadedRun } from '@baton/store'

/** Not step.ending: a container that is ending was scheduled, and an item that is has no end of its own. */
const OPEN = new Set(['step.scheduled', 'step.started', 'step.retrying', 'step.waiting'])
const ENDED = new Set(['step.succeeded', 'step.failed', 'step.skipped', 'step.cancelled'])
const TERMINAL = new Set(['run.succeeded', 'run.failed', 'run.cancelled', 'run.timed_out'])

interface OpenStep {
  path: string
  data: Record<string, Json>
  /** The public id of the approval that it waits for. */
  approval: string | undefined
  /** The public id of the child run that it waits for. */
  run: string | undefined
  /** The public id of the task that it waits for. */
  task: string | undefined
  /** It may have told somebody an address to post to: without a plan only what waits for something else is known not to. */
  mayBeCalledBack: boolean
}

/** True when the run has ended: facts about it change nothing, readable or not. */
export function isOver(loaded: LoadedRun): boolean {
  return TERMINAL.has(loaded.events.findLast(({ path }) => path === '')?.type ?? '')
}

/** Fails the run at once: open steps are cancelled, approvals and tasks withdrawn (unless somebody has just decided or ended them), timers cleared. */
export function endUnreadable(
  loaded: LoadedRun,
  options: { error: BatonError; now: number; inbox: readonly InboxFact[] },
): { state: RunState; decision: Decision } {
  const state = summaryStateOf(loaded)
  const decision = emptyDecision()
  if (isTerminal(state.status)) return { state, decision }
  const at = Math.max(options.now, state.at)
  const emit = (type: EventType, path: string, data: Record<string, Json>) => {
    const event: StoredEvent = { runId: state.header.runId, seq: state.seq + 1, type, path, at, data }
    fold(state, event)
    decision.events.push(event)
  }
  if (!state.ending) emit('run.ending', '', { ending: 'failed', error: options.error as unknown as Json })
  for (const step of openStepsOf(loaded.events)) {
    if (step.approval !== undefined) closeApproval(step.path, step.approval)
    if (step.task !== undefined) closeTask(step.path, step.task)
    emit('step.cancelled', step.path, step.data)
    for (const timer of TIMER_KINDS) decision.timersCleared.push({ path: step.path, timer })
    decision.waitersCleared.push(step.path)
    if (step.mayBeCalledBack) decision.callbacksGivenUp.push({ path: step.path, generation: step.data.generation as number })
    if (step.run !== undefined) decision.told.push({ runId: step.run.slice(4), fact: { kind: 'cancel', by: 'its parent run' } })
  }
  emit(`run.${state.ending!}` as EventType, '', state.error ? { error: state.error as unknown as Json } : {})
  decision.timersCleared.push({ path: '', timer: 'run' })
  decision.slot = { act: 'leave' }
  const end = childEndOf(state)
  if (end) decision.told.push(end)
  return { state, decision }

  function closeTask(path: string, task: string): void {
    const id = task.slice(4)
    const ended = options.inbox.find((fact) => fact.kind === 'task-ended' && fact.task === id)
    if (!ended) decision.tasksClosed.push(id)
    const how = ended?.kind !== 'task-ended' ? 'cancelled' : ended.outcome.status === 'succeeded' ? 'completed' : 'failed'
    emit(`task.${how}`, path, { task })
  }

  function closeApproval(path: string, approval: string): void {
    const id = approval.slice(4)
    const decided = options.inbox.find((fact) => fact.kind === 'approval-decided' && fact.approvalId === id)
    if (decided?.kind === 'approval-decided') {
      const { decision: chosen, comment, data, decidedBy, decidedAt } = decided
      emit('approval.decided', path, { approval, decision: chosen, comment, data, decidedBy, decidedAt: new Date(decidedAt).toISOString() })
    } else {
      decision.approvalsClosed.push({ id, status: 'cancelled', decision: null })
      emit('approval.cancelled', path, { approval })
    }
  }
}

/** What the row of the run says of it; of steps it knows nothing. */
function summaryStateOf(loaded: LoadedRun): RunState {
  const { checksum, workflow: name } = loaded.header
  const nothing: Plan = { checksum, name, root: { steps: [], byId: new Map() }, stepCount: 0, usesVars: false, children: [] }
  const state = createState(nothing, loaded.header)
  for (const event of loaded.events) fold(state, event)
  return state
}

function fold(state: RunState, event: StoredEvent): void {
  if (event.path === '') return applyEvent(state, event)
  state.seq = event.seq
  state.at = Math.max(state.at, event.at)
}

/** Steps that have begun and not ended, inner ones before their container. */
function openStepsOf(events: readonly StoredEvent[]): OpenStep[] {
  const open = new Map<string, OpenStep>()
  for (const { type, path, data } of events) {
    if (ENDED.has(type)) open.delete(path)
    if (!OPEN.has(type)) continue
    const known = open.get(path)?.data ?? {}
    const { generation = known.generation ?? 0, attempt = known.attempt ?? 1, startedAt = known.startedAt } = data
    const waitingFor = data.waitingFor as { kind: string; approval?: string; run?: string; task?: string } | undefined
    const merged = { generation, attempt, ...(startedAt === undefined ? {} : { startedAt }) }
    const mayBeCalledBack = waitingFor === undefined || waitingFor.kind === 'callback'
    open.set(path, { path, data: merged, approval: waitingFor?.approval, run: waitingFor?.run, task: waitingFor?.task, mayBeCalledBack })
  }
  return [...open.values()].sort((a, b) => b.path.split('.').length - a.path.split('.').length)
}
