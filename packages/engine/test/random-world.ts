/**
 * The world around one run: Postgres' timers and approvals, the calls that are out, and people. It applies decisions as a commit does, hands
 * the engine facts, and checks after each decision what must hold at any moment.
 */
import assert from 'node:assert/strict'
import type { ApprovalOption, StoredEvent } from '@baton/contracts'
import { callIdOf, isTerminal } from '@baton/contracts'
import {
  applyEvent,
  createState,
  type DecideContext,
  type Decision,
  decide,
  type EngineFact,
  type Plan,
  type RunState,
  restoreState,
  snapshotOf,
  stepsOf,
  summaryOf,
  type TimerSetting,
} from '@baton/engine'
import { type Callback, checkCallbacks, closesWhatCame, ENDS, noteCallbacks } from './random-callbacks.ts'
import { checkItems, checkStatus, checkTimers } from './random-checks.ts'
import { checkTasks, type TaskFact, type TaskRow } from './random-tasks.ts'

type Result = Extract<EngineFact, { kind: 'result' }>
type Accepted = Extract<EngineFact, { kind: 'approval-decided' | 'callback' }>

interface ApprovalRow {
  id: string
  path: string
  generation: number
  options: ApprovalOption[]
  deadline: number | null
  status: 'pending' | 'decided' | 'expired' | 'cancelled'
}

export interface World {
  state: RunState
  now: number
  events: StoredEvent[]
  timers: Map<string, TimerSetting>
  approvals: Map<string, ApprovalRow>
  /** What was accepted and not applied yet: decisions, callbacks, what became of tasks. */
  inbox: (Accepted | TaskFact)[]
  /** Addresses for callbacks that went out with calls, by `<path> <generation>`, and what became of them. */
  callbacks: Map<string, Callback>
  aborted: boolean
  tasks: Map<string, TaskRow>
  /** Results and timers that were handed over once: to be doubled. */
  past: EngineFact[]
  /** Calls that were sent, by their ids. */
  sent: Set<string>
  /** Events after which a decision is full, so that little is too much for one. */
  eventsMax?: number
}

const SETS = ['inFlight', 'waiting', 'retrying'] as const
const STARTS = ['step.scheduled', 'step.waiting', 'step.retrying', 'approval.opened', 'task.opened']

/** A run that was created and not started. */
export function createWorld(plan: Plan, seed: number): World {
  const runId = `01920000-0000-7000-8000-${String(seed).padStart(12, '0')}`
  const header = {
    namespace: 'default',
    workflow: 'random',
    version: 1,
    checksum: 'x',
    labels: {},
    priority: 5,
    startedBy: 'key_1',
    createdAt: 1_000,
  }
  const state = createState(plan, { runId, input: { n: seed % 5 }, ...header })
  const created: StoredEvent = { runId, seq: 1, type: 'run.created', path: '', at: 1_000, data: {} }
  applyEvent(state, created)
  const timers = new Map<string, TimerSetting>()
  if (plan.timeoutMs !== undefined) {
    timers.set('run ', { path: '', timer: 'run', generation: 0, attempt: 1, dueAt: 1_000 + plan.timeoutMs })
  }
  return {
    state,
    now: 1_000,
    events: [created],
    timers,
    approvals: new Map(),
    tasks: new Map(),
    callbacks: new Map(),
    aborted: false,
    inbox: [],
    past: [],
    sent: new Set(),
  }
}

/** Decides and commits. When the commit is void (an approval was decided meanwhile), decides again from Postgres, with what is in the inbox. */
export function take(world: World, facts: EngineFact[], withInbox = true): Decision {
  const inbox = withInbox ? world.inbox : []
  const decision = decideTwice(world, [...inbox, ...facts])
  const isVoid =
    decision.approvalsClosed.some(({ id }) => world.approvals.get(id)?.status !== 'pending') ||
    decision.tasksClosed.some((id) => world.tasks.get(id)?.status !== 'open') ||
    closesWhatCame(world, decision)
  if (isVoid) {
    assert.equal(withInbox, false, 'with the inbox at hand nothing is closed that was decided')
    world.state = refold(world)
    return take(world, facts, true)
  }
  if (withInbox) world.inbox = []
  if (facts.some(({ kind }) => kind === 'abort')) world.aborted = true
  commit(world, decision)
  check(world, decision)
  return decision
}

/** The same state, facts and context give the same decision, whether the state was in memory or comes from its events. */
function decideTwice(world: World, facts: EngineFact[]): Decision {
  const context = (): DecideContext => {
    let ids = 0
    const prefix = `01920000-0000-7000-9000-${String(world.state.seq).padStart(6, '0')}`
    return {
      now: world.now,
      random: () => 0.5,
      newUuid: () => `${prefix}${String(++ids).padStart(6, '0')}`,
      vars: {},
      blobs: new Map(),
      inlineBytesMax: 65_536,
      outputBytesMax: 1_000_000,
      forEachItemsMax: 10_000,
      ...(world.eventsMax === undefined ? {} : { eventsMax: world.eventsMax }),
    }
  }
  const folded = refold(world)
  const seq = world.state.seq
  const wasTerminal = isTerminal(world.state.status)
  const expected = decide(folded, structuredClone(facts), context())
  const decision = decide(world.state, facts, context())
  assert.deepEqual(decision, expected, 'a state out of Postgres decides as the one in memory')
  for (const [index, event] of decision.events.entries()) assert.equal(event.seq, seq + 1 + index, 'seq has no gap')
  const isReopened = facts.some(({ kind }) => kind === 'retry' || kind === 'replay')
  if (wasTerminal && !isReopened) assert.equal(decision.events.length, 0, 'a terminal run stays as it is')
  return decision
}

export function refold(world: World): RunState {
  const folded = createState(world.state.plan, world.state.header)
  for (const event of world.events) applyEvent(folded, structuredClone(event))
  return folded
}

/** The same with a snapshot taken on the way, as JSON keeps it. It must be what folding all events gives. */
export function refoldFrom(world: World, cut: number): RunState {
  const { plan, header } = world.state
  const before = createState(plan, header)
  for (const event of world.events.slice(0, cut)) applyEvent(before, structuredClone(event))
  const state = restoreState(plan, header, JSON.parse(JSON.stringify(snapshotOf(before))))
  for (const event of world.events.slice(cut)) applyEvent(state, structuredClone(event))
  const whole = refold(world)
  assert.deepStrictEqual(state, whole, `the state from a snapshot at ${cut} is another one`)
  const orders = (of: RunState) =>
    [of.steps.keys(), ...[of.inFlight, of.waiting, of.retrying].map((set) => set.values())].map((it) => [...it])
  assert.deepStrictEqual(orders(state), orders(whole), `the order after a snapshot at ${cut} is another one`)
  return state
}

function commit(world: World, decision: Decision): void {
  world.events.push(...decision.events)
  const touched = new Set<string>()
  for (const { path, timer } of decision.timersCleared) {
    touched.add(`${timer} ${path}`)
    world.timers.delete(`${timer} ${path}`)
  }
  for (const setting of decision.timersSet) {
    const key = `${setting.timer} ${setting.path}`
    assert.ok(!touched.has(key), `timer ${key} is set and cleared, or set twice`)
    touched.add(key)
    world.timers.set(key, setting)
  }
  for (const { id, path, generation, options, deadline } of decision.approvalsOpened) {
    world.approvals.set(id, { id, path, generation, options, deadline, status: 'pending' })
  }
  for (const { id, status } of decision.approvalsClosed) world.approvals.get(id)!.status = status
  for (const { id, path, generation } of decision.tasksOpened) world.tasks.set(id, { id, path, generation, status: 'open' })
  for (const id of decision.tasksClosed) world.tasks.get(id)!.status = 'cancelled'
  for (const call of decision.calls) world.sent.add(callIdOf(call))
  noteCallbacks(world, decision)
}

function check(world: World, decision: Decision): void {
  const { state } = world
  const folded = refold(world)
  assert.deepEqual(summaryOf(folded), summaryOf(state), 'the summary folds to the same')
  assert.deepEqual(stepsOf(folded), stepsOf(state), 'the steps fold to the same')
  for (const set of SETS) {
    assert.deepEqual(
      [...folded[set]].map(({ path }) => path).sort(),
      [...state[set]].map(({ path }) => path).sort(),
      `${set} folds to the same`,
    )
  }
  for (const step of state.inFlight) {
    assert.ok(world.sent.has(callIdOf({ runId: state.header.runId, ...step })), `the call of ${step.path} was sent`)
  }
  checkStatus(world)
  checkItems(state)
  checkTimers(world)
  checkApprovals(world)
  checkCallbacks(world)
  checkTasks(world)
  if (decision.events.length > 0) checkHistory(world.events)
}

function checkApprovals({ state, approvals, inbox }: World): void {
  const asked = new Set([...state.waiting].flatMap(({ waitingFor }) => (waitingFor?.kind === 'approval' ? [waitingFor.approval] : [])))
  for (const { id, path, status } of approvals.values()) {
    const isOpen = status === 'pending' || inbox.some((fact) => fact.kind === 'approval-decided' && fact.approvalId === id)
    assert.equal(asked.has(`apr_${id}`), isOpen, `the approval of ${path} is ${status}`)
  }
}

function checkHistory(events: StoredEvent[]): void {
  const ended = new Set<string>()
  let ending = false
  let terminal = false
  for (const { type, path, data } of events) {
    if (type === 'run.reopened') terminal = ending = false
    assert.ok(!terminal, `${type} ${path} after the end of the run`)
    if (type === 'run.ending') ending = true
    assert.ok(!ending || !STARTS.includes(type) || path.endsWith('.compensate'), `${type} ${path} while the run is ending`)
    if (/^run\.(succeeded|failed|cancelled|timed_out)$/.test(type)) terminal = true
    const instance = `${path} ${data.generation}`
    if (type.startsWith('step.') && type !== 'step.replayed') assert.ok(!ended.has(instance), `${type} ${path} after the step's end`)
    if (ENDS.includes(type)) ended.add(instance)
  }
}

/** The answer of a call that is in flight. */
export function resultOf(world: World, path: string, outcome: Result['outcome']): Result {
  const { generation, attempt } = world.state.steps.get(path)!
  return { kind: 'result', path, generation, attempt, startedAt: world.now, outcome }
}

/** Somebody votes, which decides at once; the row is closed and the inbox knows it. */
export function vote(world: World, approval: ApprovalRow, option: ApprovalOption): void {
  if (approval.status !== 'pending' || (approval.deadline !== null && approval.deadline <= world.now)) return
  approval.status = 'decided'
  const { id: approvalId, path, generation } = approval
  const said = {
    decision: option.id,
    rejects: option.rejects === true,
    comment: null,
    data: null,
    decidedBy: ['ann'],
    decidedAt: world.now,
  }
  world.inbox.push({ kind: 'approval-decided', path, generation, approvalId, ...said })
}

/** Timers that Postgres gives out. */
export function dueTimers(world: World): Extract<EngineFact, { kind: 'timer' }>[] {
  return [...world.timers.values()]
    .filter(({ dueAt }) => dueAt <= world.now)
    .map(({ path, timer, generation, attempt }) => ({ kind: 'timer', path, timer, generation, attempt }))
}
