/** The part of the model that knows what ties runs together: events and who waits for them, child runs, forks, slots of concurrency keys. */
import { idOf, type Json } from '@baton/contracts'
import { isFailure } from './judge-call.ts'
import { dependentsOf } from './judge-reopenings.ts'
import type { EventRow } from './memory-beyond.ts'
import { bodiesOf, innerOf, type Judged, type Scope, same } from './model-scope.ts'
import { UNKNOWN_CHILD } from './random-linked.ts'
import type { Definition, StepBody } from './random-workflow.ts'
import { hasEnded, isCompensation, isSatisfied, type RunHistory, type StepHistory } from './run-history.ts'

/** What a model of one run knows of the world around it. */
export interface Around {
  /** In the order of acceptance. */
  events: readonly EventRow[]
  createdAt: number
  historyOf(runId: string): RunHistory
  /** Runs that exist, with the step that started each. */
  parentOf(runId: string): { runId: string; path: string; generation: number | null } | undefined
  /** The run was told to end by this one. */
  isCancelledBy(runId: string, by: string): boolean
  /** How the steps of the run that this one was forked from stood then. */
  source: ReadonlyMap<string, StepHistory> | undefined
}

/** What is wrong with a step that waits for an event, or undefined: it takes the first that it wants, of those that its place has not taken. */
export function judgeWaitFor({ judged }: Scope, step: StepHistory, body: StepBody): string | undefined {
  const { event: type, where, onTimeout, timeout } = body.waitFor!
  const accepted = step.end?.data.accepted as number | undefined
  const place = placeOf(judged.definition, step.path)
  const taken = judged.history.events.filter(
    ({ path, seq, data }) =>
      data.accepted !== undefined && seq < (step.end?.seq ?? Number.POSITIVE_INFINITY) && placeOf(judged.definition, path) === place,
  )
  const after = Number(taken.at(-1)?.data.accepted ?? 0)
  const { events, createdAt } = judged.around
  const isMeant = (row: EventRow) => type.includes(row.type) && row.seq > after && isWanted(where, row.event, judged.n)
  // Clocks jump: one that came while it waited counts, whatever its time.
  const first = events.find((row) => isMeant(row) && (row.acceptedAt >= createdAt || row.seq === accepted))
  if (!step.end) return first && step.status === 'waiting' ? `waits, and event ${first.seq} was accepted` : undefined
  if (step.status === 'succeeded' && accepted !== undefined) {
    if (first?.seq !== accepted) return `took event ${accepted}, and event ${first?.seq} came first`
    return same(judged.unpack(step.end.data.output), first.event) ? undefined : `took event ${accepted} and gave another`
  }
  if (timeout !== undefined && onTimeout === 'continue' && step.status === 'succeeded') return undefined
  const isTold = timeout !== undefined && isFailure(step, 'BTN_TIMEOUT', body)
  return isTold ? undefined : `waited for an event and is ${step.status}`
}

function isWanted(where: string | undefined, event: Json, own: number): boolean {
  const n = (event as { data: { n?: number } }).data.n
  if (where === undefined) return true
  if (n === undefined || where.includes('nope')) return false
  return where.includes('>') ? n > own : where.includes('<') ? n < 4 : n === 2
}

/** The path of a step without the rounds of the loops around it: each event is taken there once. */
function placeOf({ steps }: Definition, path: string): string {
  let bodies = bodiesOf(steps)
  const parts = path.split('.').map((part) => {
    const id = part.split('[')[0]!
    const body = bodies.get(id)
    bodies = new Map((body ? innerOf(body) : []).flatMap((scope) => [...bodiesOf(scope.steps)]))
    return body?.loop ? id : part
  })
  return parts.join('.')
}

/** What is wrong with a step that tells of an event: it was accepted, once, under the id that the step gives. */
export function judgeEmit({ judged }: Scope, step: StepHistory): string | undefined {
  const run = idOf('run', judged.history.runId)
  const id = `${run}/${step.path}/${step.generation}`
  const told = judged.around.events.filter((row) => row.id === id && row.source === `/runs/${run}`)
  if (step.status !== 'succeeded') return `tells of an event and is ${step.status}`
  if (told.length !== 1) return `told of its event ${told.length} times`
  return same((told[0]!.event as { data: Json }).data, { n: judged.n }) ? undefined : `told ${JSON.stringify(told[0]!.event)}`
}

/** What is wrong with a step that starts a run: it was started once, and its first end is the end of the step. */
export function judgeChild({ judged }: Scope, step: StepHistory, body: StepBody): string | undefined {
  const { around, history } = judged
  if (body.workflow!.name === UNKNOWN_CHILD) {
    return step.end && !isFailure(step, 'BTN_CHILD_UNKNOWN', body) ? `should fail and is ${step.status}` : undefined
  }
  const run = String(step.scheduled?.data.run)
  const parent = around.parentOf(run.slice(4))
  const waits = body.workflow!.wait !== false
  const isOwn = parent?.runId === history.runId && parent.path === step.path && parent.generation === (waits ? step.generation : null)
  if (!isOwn) return `says that it started ${run}, which was started by ${JSON.stringify(parent)}`
  if (!waits) return step.status === 'succeeded' && step.end!.data.output === run ? undefined : `started ${run} and is ${step.status}`
  const [first] = around.historyOf(run.slice(4)).ends
  if (!step.end) return first ? `waits for ${run}, which has ended` : undefined
  if (isTimedOut(step)) {
    if (!around.isCancelledBy(run.slice(4), idOf('run', history.runId))) return `waits for ${run} no longer, which goes on`
    return body.timeout !== undefined && isFailure(step, 'BTN_TIMEOUT', body) ? undefined : `timed out and is ${step.status}`
  }
  if (!first) return `is ${step.status}, and ${run} has not ended`
  if (first.type === 'run.succeeded') {
    const isRight = step.status === 'succeeded' && same(judged.unpack(step.end.data.output), judged.unpack(first.data.output))
    return isRight ? undefined : `is ${step.status} with ${JSON.stringify(step.end.data.output)}, and ${run} has succeeded`
  }
  return isFailure(step, 'BTN_CHILD_FAILED', body) ? undefined : `is ${step.status}, and ${run} ended by ${first.type}`
}

/** Also when its `onError` failed itself. */
function isTimedOut({ end }: StepHistory): boolean {
  const error = end?.data.error as { code: string; cause?: { code: string } } | undefined
  return error?.code === 'BTN_TIMEOUT' || (error?.code === 'BTN_EXPRESSION' && error.cause?.code === 'BTN_TIMEOUT')
}

/** A step that was called off calls off the run that it waited for. */
export function judgeCancelledChild({ around, history }: Judged, step: StepHistory, body: StepBody): string | undefined {
  if (!body.workflow || body.workflow.wait === false || step.waited === undefined) return undefined
  const child = step.waited.slice(4)
  return around.isCancelledBy(child, idOf('run', history.runId)) ? undefined : `was cancelled, and ${step.waited} goes on`
}

/** What is wrong with what a fork took over: all that had ended well and does not depend on `from`, as it had ended, and nothing else. */
export function judgeFork({ history, definition, around }: Judged): string | undefined {
  const forked = history.events.find(({ type }) => type === 'run.forked')
  const own = history.events.filter(({ type, data }) => data.copied === true && type !== 'step.ending')
  const copied = new Map(own.map((event) => [event.path, event]))
  if (!forked || !around.source) return copied.size > 0 ? 'has taken over steps, and is no fork' : undefined
  const steps = bodiesOf(definition.steps)
  const again = dependentsOf(steps, String(forked.data.from))
  const paths = new Set([...steps.keys(), ...copied.keys(), ...[...around.source.keys()].filter((path) => !isCompensation(path))])
  for (const id of paths) {
    const top = id.split(/[.[]/)[0]!
    const [root, before] = [around.source.get(top), around.source.get(id)]
    // With a step goes all that is in it, as it ended.
    const isRootKept = root !== undefined && hasEnded(root) && isSatisfied(root) && !again.has(top)
    const isKept = isRootKept && before !== undefined && hasEnded(before)
    const event = copied.get(id)
    const isTaken = event !== undefined && event.type !== 'step.scheduled'
    if (isKept !== isTaken) return `${id} was ${before?.status}, and was ${isTaken ? '' : 'not '}taken over`
    if (!isKept) continue
    for (const key of ['output', 'error', 'generation', 'tolerated', 'accepted']) {
      if (!same(event!.data[key], before.end!.data[key])) return `${id} was taken over with another ${key}`
    }
  }
  return undefined
}

/** Nothing of a run with a concurrency key happens before it has its slot; what it did in an earlier life is undone also when it got none again. */
export function judgeSlot({ history, definition }: Judged): string | undefined {
  let admitted = definition.concurrency === undefined
  for (const { type, path, seq, data } of history.events) {
    const isStart = type === 'run.started' || (type === 'step.scheduled' && !data.copied && !isCompensation(path))
    if (type === 'run.admitted') {
      if (!definition.concurrency) return 'was admitted, and has no concurrency key'
      admitted = true
    } else if (type === 'run.reopened') admitted = definition.concurrency === undefined
    else if (isStart && !admitted) return `${type} ${seq} without a slot`
  }
  return undefined
}
