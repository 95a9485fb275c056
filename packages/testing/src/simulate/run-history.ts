/**
 * What the events of a run say, read by the simplest of means and without the engine: which steps are under way, and whether each event is one
 * that may come now.
 */
import { isTerminal, type Json, type RunStatus, type StoredEvent } from '@baton/contracts'

export interface StepHistory {
  path: string
  /** `pending`: to be done again, by a retry or a replay. */
  status: 'pending' | 'scheduled' | 'waiting' | 'retrying' | 'succeeded' | 'failed' | 'skipped' | 'cancelled'
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
  /** What it last said that it waits for. */
  waitsFor: 'approval' | 'timer' | 'event' | 'run' | undefined
  /** The child run that it has waited for. */
  waited: string | undefined
  /** It ended while the run, or something around it, was ending: no further attempt was due. */
  whileEnding: boolean
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
  /** Seqs at which the scope of a container, or one item of it, began to end, by its path. */
  failing: Map<string, number>
  /** Generations of steps (`<path>/<generation>`) that were begun, and that ended, with their ends. */
  begun: Set<string>
  ended: Map<string, string>
  /** Retries and replays. */
  reopenings: Reopening[]
  /** Times that the run ended; more than one when it was reopened. */
  ends: StoredEvent[]
  /** It has the slot of its concurrency key. */
  admitted: boolean
}

/** A retry or a replay, and how the steps stood before it. */
export interface Reopening {
  event: StoredEvent
  terminal: RunStatus | undefined
  before: Map<string, StepHistory>
}

const ENDS = ['succeeded', 'failed', 'skipped', 'cancelled']

/** True for a step that undoes another. */
export const isCompensation = (path: string) => path.endsWith('.compensate')
/** True for a step that a fork has taken over from the run that it was forked from. */
export const isCopied = ({ end }: StepHistory) => end?.data.copied === true
/** True when the step has ended, as far as it was not begun anew. */
export const hasEnded = ({ status }: StepHistory) => ENDS.includes(status)

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
    begun: new Set(),
    ended: new Map(),
    reopenings: [],
    ends: [],
    admitted: false,
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
  if (history.terminal && event.type !== 'run.reopened') return `${event.type} ${event.path} after the end of the run`
  history.events.push(event)
  if (event.type === 'run.reopened' || event.type === 'step.replayed') return reopen(history, event)
  if (event.path === '') return takeRunEvent(history, event)
  if (event.type.startsWith('step.')) return takeStepEvent(history, event, pgNow)
  return takeApprovalEvent(history, event, pgNow)
}

function takeRunEvent(history: RunHistory, { type, seq, data }: StoredEvent): string | undefined {
  const name = type.slice(4)
  if (type === 'run.paused' && history.paused) return 'paused twice'
  if (type === 'run.paused') history.paused = true
  if (type === 'run.resumed') history.paused = false
  if (type === 'run.admitted' && history.admitted) return 'admitted twice'
  if (type === 'run.admitted') history.admitted = true
  if (type === 'run.ending') {
    if (history.endingSeq !== undefined) return 'the run begins to end twice'
    history.endingSeq = seq
    history.ending = String(data.ending)
    history.paused = false // the call of a compensation is not held back
  }
  if (!isTerminal(name as RunStatus)) return undefined
  history.terminal = name as RunStatus
  history.ends.push(history.events.at(-1)!)
  const open = [...history.steps.values()].find((step) => !hasEnded(step) && step.status !== 'pending')
  return open ? `the run has ended while ${open.path} is ${open.status}` : undefined
}

function takeStepEvent(history: RunHistory, event: StoredEvent, pgNow: number): string | undefined {
  const { path, type, seq, data } = event
  const generation = Number(data.generation ?? 0)
  const attempt = Number(data.attempt ?? 1)
  const name = type.slice(5)
  const known = history.steps.get(path)
  if (known && (hasEnded(known) || known.generation !== generation)) {
    return `${type} ${path} in generation ${generation}, and it is ${known.status} in ${known.generation}`
  }
  if (type === 'step.ending') {
    history.failing.set(path, seq)
    return undefined
  }
  const step = known ?? createStep(path, generation)
  history.steps.set(path, step)
  const wrong = (ENDS.includes(name) ? undefined : orderOf(history, step, event, pgNow)) ?? leaveDelay(history, path, pgNow)
  if (wrong) return wrong
  if (isOver(step, event) && isEarly(step, pgNow)) return `${path} went on before its time`
  if (step.startSeq === undefined) {
    if (history.begun.has(`${path}/${generation}`)) return `generation ${generation} of ${path} began twice`
    history.begun.add(`${path}/${generation}`)
  }
  Object.assign(step, { status: name, generation, attempt })
  if (name === 'scheduled') step.scheduled ??= event
  step.startSeq ??= seq
  step.dueAt = timeOf(data.retryAt ?? data.dueAt)
  const waitingFor = data.waitingFor as { kind: StepHistory['waitsFor']; run?: string } | undefined
  step.waitsFor = waitingFor?.kind
  step.waited = waitingFor?.run ?? step.waited
  if (!ENDS.includes(name)) return undefined
  if (history.ended.has(`${path}/${generation}`)) return `generation ${generation} of ${path} ended twice`
  history.ended.set(`${path}/${generation}`, name)
  step.endSeq = seq
  step.end = event
  step.whileEnding = !isCompensation(path) && isEnding(history, path)
  return undefined
}

/** Its time has passed, by what it says: an event or the end of a child run may come before. */
function isOver({ waitsFor }: StepHistory, { type, data }: StoredEvent): boolean {
  if (waitsFor !== 'event' && waitsFor !== 'run') return type === 'step.succeeded'
  const isTimeout = (data.error as { code: string } | undefined)?.code === 'BTN_TIMEOUT'
  return isTimeout || (waitsFor === 'event' && type === 'step.succeeded' && data.accepted === undefined)
}

function isEnding({ endingSeq, failing }: RunHistory, path: string): boolean {
  return endingSeq !== undefined || [...failing.keys()].some((around) => path.startsWith(`${around}.`) || path.startsWith(`${around}[`))
}

/** A loop that waits between two rounds goes on with the first step of the next. */
function leaveDelay(history: RunHistory, path: string, pgNow: number): string | undefined {
  const loop = history.steps.get(/^(.*)\[\d+\]\.\w+$/.exec(path)?.[1] ?? '')
  if (loop?.status !== 'waiting') return undefined
  if (isEarly(loop, pgNow)) return `${path} began before the delay of its loop had passed`
  Object.assign(loop, { status: 'scheduled', dueAt: undefined })
  return undefined
}

/** What may start, and when. */
function orderOf(history: RunHistory, step: StepHistory, { type, data }: StoredEvent, pgNow: number): string | undefined {
  if (isCompensation(step.path)) {
    const open = [...history.steps.values()].find((other) => other !== step && !hasEnded(other) && other.status !== 'pending')
    if (history.endingSeq === undefined) return `${type} ${step.path} while the run is not ending`
    if (open) return `${type} ${step.path} while ${open.path} is ${open.status}`
  } else if (history.endingSeq !== undefined) return `${type} ${step.path} while the run is ending`
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

/** Steps go back to pending in their next generation; containers around them go on, in theirs. */
function reopen(history: RunHistory, event: StoredEvent): string | undefined {
  const { reset, reopen: reopened, rounds = {} } = event.data as { reset: string[]; reopen: string[]; rounds?: Record<string, number> }
  const { terminal, steps } = history
  const before = new Map([...steps].map(([path, step]) => [path, { ...step }]))
  history.reopenings.push({ event, terminal, before })
  if ([...steps.keys()].some(isCompensation)) return `${event.type} after a compensation`
  if (terminal === undefined && history.endingSeq !== undefined) return `${event.type} while the run is ending`
  if ((terminal === undefined) !== (event.type === 'step.replayed')) return `${event.type} of a run that is ${terminal ?? 'open'}`
  // A step of a run that goes on is replayed in the slot that the run has.
  const admitted = terminal === undefined && history.admitted
  Object.assign(history, { terminal: undefined, ending: undefined, endingSeq: undefined, admitted })
  for (const path of [...reset, ...reopened]) {
    const step = steps.get(path)
    if (!step || !hasEnded(step)) return `${event.type}: ${path} is done again and is ${step?.status}`
    history.failing.delete(path)
    history.failing.delete(path.slice(0, Math.max(0, path.lastIndexOf('.'))))
    Object.assign(step, { generation: step.generation + 1, attempt: 0, endSeq: undefined, end: undefined, dueAt: undefined, approvals: [] })
  }
  for (const [loop, round] of Object.entries(rounds)) forget(history, (path) => Number(roundOf(loop, path)) > round)
  for (const path of reset) {
    Object.assign(steps.get(path)!, { status: 'pending', startSeq: undefined, scheduled: undefined, waited: undefined })
    forget(history, (other) => other.startsWith(`${path}.`) || other.startsWith(`${path}[`))
  }
  for (const path of reopened) steps.get(path)!.status = 'scheduled'
  return undefined
}

/** Which round of a loop, or item of a `forEach`, the path is in. */
const roundOf = (container: string, path: string) =>
  path.startsWith(`${container}[`) ? path.slice(container.length + 1).split(']')[0] : undefined

function forget({ steps, failing }: RunHistory, isGone: (path: string) => boolean): void {
  for (const path of [...steps.keys()]) if (isGone(path)) steps.delete(path)
  for (const path of [...failing.keys()]) if (isGone(`${path}.`) || isGone(path)) failing.delete(path)
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
  const none = {
    startSeq: undefined,
    endSeq: undefined,
    dueAt: undefined,
    end: undefined,
    scheduled: undefined,
    waitsFor: undefined,
    waited: undefined,
  }
  return { path, status: 'scheduled', generation, attempt: 0, approvals: [], whileEnding: false, ...none }
}

/** Lets what depends on it go on. */
export function isSatisfied({ status, end }: StepHistory): boolean {
  return status === 'succeeded' || status === 'skipped' || (status === 'failed' && end!.data.tolerated === true)
}

function timeOf(value: Json | undefined): number | undefined {
  return typeof value === 'string' ? Date.parse(value) : undefined
}
