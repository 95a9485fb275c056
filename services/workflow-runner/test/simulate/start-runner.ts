/** A runner put together as app.ts and take-work.ts do it, on the Postgres and Redis of a simulation. Every module of it is the real one. */
import { isDeepStrictEqual } from 'node:util'
import { type AgentTurn, callIdOf, type Json, type StoredEvent } from '@baton/contracts'
import {
  applyEvent,
  type ChildRef,
  type ChildTarget,
  childKeyOf,
  compile,
  createState,
  forkOf,
  type RunState,
  stepsOf,
  summaryOf,
} from '@baton/engine'
import { type Logger, type Redis, watchRedis } from '@baton/runtime'
import type { LoadedRun } from '@baton/store'
import type { ForkEvents, RunnerPlace } from '@baton/testing/simulate'
import type { Advance } from '../../src/advance.ts'
import { createAdvanceLoop, type Item } from '../../src/advance-loop.ts'
import { createServerClock } from '../../src/clock.ts'
import { type DueTimer, pumpTimers, type TimerPump } from '../../src/fire-timers.ts'
import { foldRun } from '../../src/load-run.ts'
import type { Metrics } from '../../src/metrics.ts'
import { createPlans } from '../../src/plans.ts'
import { type FactReader, readFacts } from '../../src/read-facts.ts'
import { createReconciler } from '../../src/reconcile.ts'
import { createSender, type Producer } from '../../src/send-commands.ts'
import { createStateCache, type StateCache } from '../../src/state-cache.ts'
import { createSnapshotTaker } from '../../src/take-snapshots.ts'
import { tendStreams } from '../../src/tend-streams.ts'

const LEASE_MS = 3_000
const POLL_MS = 1_000
const STALE_MS = 2_000
/** Small, so that some outputs are stored apart. */
const INLINE_BYTES_MAX = 256
const BATCH_FACTS_MAX = 64
/** Often, so that most runs are loaded from one. */
const SNAPSHOT_EVENTS = 6

/** Starts a runner in the place that a simulation gives it. */
export function startRunner(place: RunnerPlace): void {
  void start(place)
}

async function start(place: RunnerPlace): Promise<void> {
  const { store, checker, dice, holder } = place
  const redis = place.redis as unknown as Redis
  const clock = createServerClock()
  const runsMax = dice.pick([1, 3, 100])
  const cache = createStateCache({ runsMax, bytesMax: 1_000_000, waitingMax: runsMax - 1 })
  const log = logOf(place)
  let timers: TimerPump | undefined
  const later: Later = { expect: (inMs) => timers?.expect(inMs), ride: (pipeline) => reader.ride(pipeline) }
  const advance = advanceOf(place, redis, clock, cache, later)
  const loop = createAdvanceLoop(advance, BATCH_FACTS_MAX)
  const offer = (items: Item[]) => {
    for (const { fact, redelivered } of items.flatMap(({ deliveries }) => deliveries)) checker.offered(fact, redelivered)
    return loop.offer(items)
  }
  const askedAt = Date.now()
  clock.observe(await untilGiven(store.clock), askedAt)
  const watch = watchRedis(redis)
  const reader = readFacts({
    redis,
    consumer: place.name,
    partitions: holder.held,
    entriesMax: dice.pick([1, 64, 400]),
    claimAfterMs: LEASE_MS,
    now: watch.now,
    offer,
    caughtUp: loop.caughtUp,
    onLost: () => tending.lost(),
    log,
  })
  timers = pumpTimers({
    source: { due: async (partitions, limit) => (await store.due(partitions, limit)) as DueTimer[], nextInMs: store.nextInMs },
    partitions: holder.held,
    offer,
    pollMs: POLL_MS,
    onLate: () => {},
    onError: () => {},
  })
  const reconciler = createReconciler({ redis, watch, offer, now: clock.now, staleMs: STALE_MS, source: sourceOf(place, advance, cache) })
  const tending = tendStreams({
    watch,
    holder,
    reader,
    reconciler,
    replicas: { count: () => 2, look: async () => {} },
    settings: { RUNNER_SWEEP_MS: 2_000, RUNNER_LOST_AFTER_MS: 4_000 },
    metrics: { woken: { inc() {} }, resent: { inc() {} } } as unknown as Metrics,
    log,
    everySecond: () => timers.look(),
  })
}

/** What is only there when the runner has been put together. */
interface Later {
  expect(inMs: number): void
  ride: FactReader['ride']
}

function advanceOf(
  place: RunnerPlace,
  redis: Redis,
  clock: ReturnType<typeof createServerClock>,
  cache: StateCache,
  later: Later,
): Advance {
  const { store, checker, dice } = place
  const plan = createPlans(async (_, checksum) => place.definitionOf(checksum) as unknown as Json)
  const sending = createSender({
    redis,
    sending: place.sending as unknown as Redis,
    lane: place.lane,
    workers: () => 2,
    agentTurns: place.agentTurns as Producer<AgentTurn>,
    notifications: { addMany: async () => {} },
    eventsBytesMax: 100_000,
    ride: later.ride,
  })
  let ids = 0
  const prefix = `01920000-0000-7000-9000-${Math.floor(dice.next() * 2 ** 24)
    .toString(16)
    .padStart(6, '0')}`
  return {
    store: {
      ...store,
      plan,
      loadRuns: async (runIds, options) => (await store.loadRuns(runIds, options)) as unknown as Map<string, LoadedRun>,
      async commit(batch) {
        const at = Date.now()
        const outcome = await store.commit(batch as Parameters<typeof store.commit>[0])
        clock.observe(outcome.at, at)
        return outcome
      },
      vars: async () => ({}),
      workflows: async (namespace, children) => findChildren(place, plan, namespace, children),
    },
    send(outgoing) {
      checker.sends(outgoing.calls, place.name)
      return sending(outgoing)
    },
    cache: {
      get: (runId) => cache.get(runId),
      delete: (runId) => cache.delete(runId),
      set(runId, state, events) {
        checkFold(place, runId, state)
        cache.set(runId, state, events)
      },
    },
    committed: createSnapshotTaker({
      put: store.putSnapshot,
      remove: store.removeSnapshots,
      onTaken() {},
      onFailed() {},
      everyEvents: SNAPSHOT_EVENTS,
    }).committed,
    now: clock.now,
    random: dice.next,
    newUuid: () => `${prefix}${(++ids).toString(16).padStart(6, '0')}`,
    limits: { inlineBytesMax: INLINE_BYTES_MAX, outputBytesMax: 1_000_000, forEachItemsMax: 10_000 },
    log: logOf(place),
    observe({ nextTimerAt }) {
      if (nextTimerAt !== null) later.expect(nextTimerAt - clock.now())
    },
  }
}

async function findChildren(
  { childOf }: RunnerPlace,
  plan: Advance['store']['plan'],
  namespace: string,
  children: readonly ChildRef[],
): Promise<Map<string, ChildTarget>> {
  const found = new Map<string, ChildTarget>()
  for (const child of children) {
    const checksum = childOf(child.name)
    if (checksum === undefined) continue
    const { timeoutMs } = await plan(namespace, checksum)
    found.set(childKeyOf(child), { version: 1, checksum, ...(timeoutMs === undefined ? {} : { timeoutMs }) })
  }
  return found
}

/** What a fork takes over, as the orchestrator makes it. */
export const forkEvents: ForkEvents = (definition, header, events, from) => {
  const state = createState(compile(definition as unknown as Json, { name: 'random' }).plan!, header)
  for (const event of events) applyEvent(state, event)
  const copied = forkOf(state, events, from)
  return 'refused' in copied ? undefined : copied.events
}

/** A state that is kept is what Postgres holds. */
function checkFold({ eventsAt, checker }: RunnerPlace, runId: string, state: RunState): void {
  const events = eventsAt(runId, state.seq)
  if (!events) return
  const folded = createState(state.plan, state.header)
  for (const text of events) applyEvent(folded, JSON.parse(text) as StoredEvent)
  const view = (of: RunState) => [summaryOf(of), stepsOf(of), [...of.inFlight].map((step) => callIdOf({ runId, ...step }))]
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(view(state))), JSON.parse(JSON.stringify(view(folded))))) {
    checker.fail(`run ${runId}: the state in memory is not what its events say at ${state.seq}`)
  }
}

function sourceOf({ store }: RunnerPlace, { store: advanced }: Advance, cache: StateCache) {
  return {
    staleInbox: store.staleInbox,
    unstarted: store.unstarted,
    active: store.active,
    async states(runIds: string[]) {
      const states: RunState[] = []
      for (const loaded of (await advanced.loadRuns(runIds)).values()) {
        states.push(await foldRun(advanced, await advanced.plan(loaded.header.namespace, loaded.header.checksum), loaded))
      }
      return states
    },
    cached: () => cache.values(),
  }
}

/** What a runner says when something came to nothing: whatever that was is tried again. */
function logOf({ checker }: RunnerPlace): Logger {
  const say = (object: object, message: string) => {
    checker.batchFailed()
    checker.note(() => `log ${message} ${(object as { err?: Error }).err?.message ?? ''}`)
  }
  return { warn: say, error: say, info() {}, debug() {} } as unknown as Logger
}

async function untilGiven<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

/** Whether a definition compiles; the simulator makes none that does not. */
export function compiles(definition: object): boolean {
  return compile(definition as Json, { name: 'random' }).plan !== null
}
