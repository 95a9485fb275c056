/**
 * What the events of a run say, read by the simplest of means and without the engine: which steps are under way, and whether each event is one
 * that may come now.
 */
import { isTerminal, type Json, type RunStatus, type StoredEvent } from '@baton/contracts'

export interface StepHistory {
  path: string
  status: 'scheduled' | 'waiting' | 'retrying' | 'succeeded' | 'failed' | 'skipped' | 'cancelled'
  generation: number
  attempt: number
  startSeq: number | undefined
  endSeq: number | undefined
  /** When the retry, the wait or the approval is due. */
  dueAt: number | undefined
  /** The event that ended it. */
  end: StoredEvent | undefined
  scheduled: StoredEvent | undefined
  approvals: string[]
}

export interface RunHistory {
  runId: string
  events: StoredEvent[]
  steps: Map<string, StepHistory>
  endingSeq: number | undefined
  ending: string | undefined
  terminal: RunStatus | undefined
  paused: boolean
  /** Outcomes of approvals, by their public ids. */
  outcomes: Map<string, string[]>
  /** Seqs at which the scope of a container began to end, by its path. */
  failing: Map<string, number>
}

const ENDS = ['succeeded', 'failed', 'skipped', 'cancelled']

/** A run of which nothing is known yet. */
export function createHistory(runId: string): RunHistory {
  return {
    runId,
    events: [],
    steps: new Map(),
    endingSeq: undefined,
    ending: undefined,
    terminal: undefined,
    paused: false,
    outcomes: new Map(),
    failing: new Map(),
  }
}

/** True when this attempt is out: a call or a turn that has no answer yet. */
export function isInFlight(history: RunHistory, call: { path: string; generation: number; attempt: number }): boolean {
  const step = history.steps.get(call.path)
  return (
    history.terminal === undefined && step?.status === 'scheduled' && step.generation === call.generation && step.attempt === call.attempt
  )
}

/** Takes the next event; gives what is wrong with it. `pgNow` is the latest time that Postgres' clock has shown. */
export function takeEvent(history: RunHistory, event: StoredEvent, pgNow: number): string | undefined {
  const before = history.events.at(-1)
  if (event.seq !== (before?.seq ?? 0) + 1) return `event ${event.seq} follows event ${before?.seq ?? 0}`
  if (before && event.at < before.at) return `event ${event.seq} is older than the one before it`
  if (history.terminal) return `${event.type} ${event.path} after the end of the run`
  history.events.push(event)
  if (event.path === '') return takeRunEvent(history, event)
  if (event.type.startsWith('step.')) return takeStepEvent(history, event, pgNow)
  return takeApprovalEvent(history, event, pgNow)
}

function takeRunEvent(history: RunHistory, { type, seq, data }: StoredEvent): string | undefined {
  const name = type.slice(4)
  if (type === 'run.paused' && history.paused) return 'paused twice'
  if (type === 'run.paused') history.paused = true
  if (type === 'run.resumed') history.paused = false
  if (type === 'run.ending') {
    if (history.endingSeq !== undefined) return 'the run begins to end twice'
    history.endingSeq = seq
    history.ending = String(data.ending)
  }
  if (!isTerminal(name as RunStatus)) return undefined
  history.terminal = name as RunStatus
  const open = [...history.steps.values()].find(({ status }) => !ENDS.includes(status))
  return open ? `the run has ended while ${open.path} is ${open.status}` : undefined
}

function takeStepEvent(history: RunHistory, event: StoredEvent, pgNow: number): string | undefined {
  const { path, type, seq, data } = event
  const generation = Number(data.generation ?? 0)
  const attempt = Number(data.attempt ?? 1)
  const name = type.slice(5)
  const known = history.steps.get(path)
  if (known && ENDS.includes(known.status) && known.generation >= generation) return `${type} ${path} after the step's end`
  if (type === 'step.ending') {
    history.failing.set(path, seq)
    return undefined
  }
  const step = known ?? createStep(path, generation)
  history.steps.set(path, step)
  const wrong = ENDS.includes(name) ? undefined : orderOf(history, step, event, pgNow)
  if (wrong) return wrong
  if (name === 'succeeded' && isEarly(step, pgNow)) return `${path} went on before its time`
  Object.assign(step, { status: name, generation, attempt })
  if (name === 'scheduled') step.scheduled ??= event
  step.startSeq ??= seq
  step.dueAt = timeOf(data.retryAt ?? data.dueAt)
  if (!ENDS.includes(name)) return undefined
  step.endSeq = seq
  step.end = event
  return undefined
}

/** What may start, and when. */
function orderOf(history: RunHistory, step: StepHistory, { type, data }: StoredEvent, pgNow: number): string | undefined {
  if (history.endingSeq !== undefined) return `${type} ${step.path} while the run is ending`
  if (history.paused && type === 'step.scheduled') return `${step.path} was started while the run is paused`
  if (type !== 'step.scheduled' || step.startSeq === undefined) return undefined
  if (step.status !== 'retrying') return `${step.path} was scheduled again while it is ${step.status}`
  if (Number(data.attempt) !== step.attempt + 1) return `attempt ${data.attempt} of ${step.path} follows attempt ${step.attempt}`
  return isEarly(step, pgNow) ? `${step.path} was tried again before its time` : undefined
}

/** A millisecond is what times in events are rounded to. */
function isEarly(step: StepHistory, pgNow: number): boolean {
  return step.dueAt !== undefined && step.approvals.length === 0 && pgNow < step.dueAt - 1
}

function takeApprovalEvent(history: RunHistory, { type, path, data }: StoredEvent, pgNow: number): string | undefined {
  const step = history.steps.get(path)
  const id = String(data.approval)
  if (type === 'approval.opened') {
    step?.approvals.push(id)
    return undefined
  }
  const outcomes = history.outcomes.get(id) ?? []
  history.outcomes.set(id, [...outcomes, type])
  if (outcomes.length > 0) return `the approval of ${path} has two outcomes: ${outcomes[0]}, ${type}`
  if (type === 'approval.expired' && step?.dueAt !== undefined && pgNow < step.dueAt - 1) return `the approval of ${path} expired early`
  return undefined
}

function createStep(path: string, generation: number): StepHistory {
  const none = { startSeq: undefined, endSeq: undefined, dueAt: undefined, end: undefined, scheduled: undefined }
  return { path, status: 'scheduled', generation, attempt: 0, approvals: [], ...none }
}

/** Lets what depends on it go on. */
export function isSatisfied({ status, end }: StepHistory): boolean {
  return status === 'succeeded' || status === 'skipped' || (status === 'failed' && end!.data.tolerated === true)
}

function timeOf(value: Json | undefined): number | undefined {
  return typeof value === 'string' ? Date.parse(value) : undefined
}
