/** Drives `decide` by hand in tests: a clock that stands still, numbers that are not random, facts in short words. */
import type { BatonError, Json, StoredEvent } from '@baton/contracts'
import {
  applyEvent,
  type ChildTarget,
  compile,
  createState,
  type Decision,
  decide,
  type EngineFact,
  type RunState,
  restoreState,
  snapshotOf,
  stepsOf,
  summaryOf,
  type TimerKind,
  type TimerSetting,
} from '@baton/engine'
import type { Test } from 'tap'

export interface Harness {
  state: RunState
  /** All events so far. */
  events: StoredEvent[]
  /** All events since the start, as `type path`. */
  log: string[]
  last: Decision
  now: number
  take(...facts: EngineFact[]): Decision
  succeed(path: string, output?: Json): Decision
  fail(path: string, error?: Partial<BatonError>, retryable?: boolean): Decision
  timer(path: string, timer: TimerKind): Decision
  decide(path: string, decision: string, rejects?: boolean): Decision
  /** The same, on a state that was made elsewhere, with a log that begins anew. */
  goOn(state: RunState): Harness
  /** The state that a reader would fold from the events alone. */
  refold(): RunState
  /** Rows of timers, by `<timer> <path>`. */
  timers: Map<string, TimerSetting>
  /** Identities of all calls that were sent, as they are told to whoever is called: `<path>/<generation>`, of first attempts. */
  keys: string[]
}

let runs = 0

/** A started run of the definition. */
export function start(definition: object, input: Json = null, options: Options & { started?: boolean } = {}): Harness {
  const compiled = compile(definition as Json, { name: 'test' })
  if (!compiled.plan) throw new Error(JSON.stringify(compiled.errors))
  const plan = compiled.plan
  const runId = `01920000-0000-7000-8000-${String(++runs).padStart(12, '0')}`
  const header = {
    runId,
    namespace: 'default',
    workflow: 'test',
    version: 1,
    checksum: 'x',
    input,
    labels: {},
    priority: 5,
    startedBy: 'key_1',
    createdAt: 1_000,
  }
  const created = { runId, seq: 1, type: 'run.created' as const, path: '', at: 1_000, data: {} }
  const events: StoredEvent[] = [created]
  const state = createState(plan, header)
  applyEvent(state, created)
  const h = harnessOn(state, events, options)
  if (options.started !== false) h.take({ kind: 'start' })
  return h
}

type Options = { vars?: Record<string, Json>; forEachItemsMax?: number; workflows?: ReadonlyMap<string, ChildTarget> }

function harnessOn(state: RunState, events: StoredEvent[], options: Options): Harness {
  const h: Harness = {
    state,
    events,
    log: [],
    last: undefined as never,
    now: 1_000,
    timers: new Map(),
    keys: [],
    take(...facts) {
      let ids = 0
      const newUuid = () => `01920000-0000-7000-9000-${String(++ids).padStart(12, '0')}`
      h.last = decide(state, facts, {
        now: h.now,
        random: () => 1,
        newUuid,
        vars: options.vars ?? {},
        blobs: new Map(),
        inlineBytesMax: 65_536,
        outputBytesMax: 1_000_000,
        forEachItemsMax: options.forEachItemsMax ?? 10_000,
        ...(options.workflows ? { workflows: options.workflows } : {}),
      })
      events.push(...h.last.events)
      for (const { path, timer } of h.last.timersCleared) h.timers.delete(`${timer} ${path}`)
      for (const setting of h.last.timersSet) h.timers.set(`${setting.timer} ${setting.path}`, setting)
      for (const { path, generation, attempt } of h.last.calls) if (attempt === 1) h.keys.push(`${path}/${generation}`)
      h.log.push(...h.last.events.map((event) => `${event.type} ${event.path}`.trim()))
      return h.last
    },
    succeed: (path, output = null) => h.take({ ...of(path), outcome: { status: 'succeeded', output } }),
    fail: (path, error = {}, retryable = false) =>
      h.take({ ...of(path), outcome: { status: 'failed', error: { code: 'BTN_HTTP_STATUS', message: 'no', ...error }, retryable } }),
    timer(path, timer) {
      const { generation, attempt } = h.timers.get(`${timer} ${path}`) ?? { generation: 0, attempt: 1 }
      return h.take({ kind: 'timer', path, timer, generation, attempt })
    },
    decide: (path, decision, rejects = false) =>
      h.take({
        kind: 'approval-decided',
        path,
        generation: 0,
        approvalId: '01920000-0000-7000-9000-000000000001',
        decision,
        rejects,
        comment: null,
        data: null,
        decidedBy: ['user:ann'],
        decidedAt: h.now,
      }),
    goOn: (other) => harnessOn(other, [], options),
    refold() {
      const folded = createState(state.plan, state.header)
      for (const event of events) applyEvent(folded, event)
      return folded
    },
  }
  function of(path: string) {
    const step = state.steps.get(path)!
    return { kind: 'result' as const, path, generation: step.generation, attempt: step.attempt, startedAt: h.now }
  }
  return h
}

const ORDERS = ['inFlight', 'waiting', 'retrying'] as const

/** What a reader folds from the events is what the runner has in memory, and so is what a snapshot gives back. */
export function sameWhenFolded(t: Test, h: Harness): void {
  const { plan, header } = h.state
  const restored = restoreState(plan, header, JSON.parse(JSON.stringify(snapshotOf(h.state))))
  for (const [name, state] of [['folded', h.refold()] as const, ['from a snapshot', restored] as const]) {
    t.strictSame(summaryOf(state), summaryOf(h.state), `${name}: summary`)
    t.strictSame(stepsOf(state), stepsOf(h.state), `${name}: steps`)
    for (const key of ORDERS) t.strictSame(paths(state[key]), paths(h.state[key]), `${name}: ${key}`)
    t.strictSame(paths(state.compensations), paths(h.state.compensations), `${name}: compensations`)
  }
}

const paths = (steps: Iterable<{ path: string }>) => [...steps].map(({ path }) => path)
