/** What counts as lost, and what does not. */
import { callIdOf, ENTRY_FIELD, type Json, keys, PARTITION_COUNT } from '@baton/contracts'
import { applyEvent, compile, createState, decide, type RunState } from '@baton/engine'
import { connectRedis } from '@baton/runtime'
import { testRedis } from '@baton/testing'
import t from 'tap'
import type { Item } from '../src/advance-loop.ts'
import { createReconciler, type ReconcileSource } from '../src/reconcile.ts'

const PARTITIONS = Array.from({ length: PARTITION_COUNT }, (_, partition) => partition)
const AGE_MS = 10_000
let runs = 0

/** A run with that many calls in flight, scheduled `agoMs` ago. */
function runWith(steps: number, agoMs: number): RunState {
  const ids = Array.from({ length: steps }, (_, n) => [`s${n}`, { http: { url: 'http://x.example/' } }])
  const { plan } = compile({ steps: Object.fromEntries(ids) } as Json, { name: 'test' })
  const runId = `01920000-0000-7000-8000-${String(++runs).padStart(12, '0')}`
  const at = Date.now() - agoMs
  const names = { namespace: 'default', workflow: 'test', version: 1, checksum: 'x', startedBy: 'key_1' }
  const state = createState(plan!, { runId, ...names, input: null, labels: {}, priority: 5, createdAt: at })
  applyEvent(state, { runId, seq: 1, type: 'run.created', path: '', at, data: {} })
  const limits = { inlineBytesMax: 65_536, outputBytesMax: 1_000_000, forEachItemsMax: 10_000 }
  decide(state, [{ kind: 'start' }], { now: at, random: () => 1, newUuid: () => runId, vars: {}, blobs: new Map(), ...limits })
  return state
}

const idsOf = (state: RunState) => [...state.inFlight].map((step) => callIdOf({ runId: state.header.runId, ...step }))
const callsOf = (state: RunState) =>
  [...state.inFlight].map(({ path, generation, attempt }) => ({ runId: state.header.runId, path, generation, attempt }))

async function open(t: { teardown(action: () => unknown): void }, stored: RunState[], cached: RunState[] = []) {
  const redis = connectRedis((await testRedis(t)).url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const lost: string[] = []
  const source: ReconcileSource = {
    staleInbox: async () => [],
    unstarted: async () => [],
    active: async (_, _statuses, _before, after) =>
      after === null ? stored.map((state) => ({ id: state.header.runId, seq: state.seq })) : [],
    states: async (ids) => stored.filter((state) => ids.includes(state.header.runId)),
    cached: () => cached,
  }
  const offer = async (items: Item[]) => {
    for (const { deliveries } of items) for (const { fact } of deliveries) if (fact.kind === 'sweep') lost.push(...fact.lost)
  }
  const watch = { isSettled: async () => true }
  return { redis, lost, watch, reconciler: createReconciler({ redis, watch, source, offer, now: Date.now, staleMs: 2_000 }) }
}

t.test('a call that stands in no stream and is held by nobody is lost, each by itself', async (t) => {
  const state = runWith(3, 60_000)
  const { redis, lost, reconciler } = await open(t, [state])
  const [held, queued, gone] = idsOf(state)
  await redis.set(keys.inflight(held!), 'a-worker')
  await redis.xadd(keys.calls(3), '*', ENTRY_FIELD, JSON.stringify([callsOf(state)[1]]))
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 1 })
  t.strictSame(lost, [gone])
  t.ok(queued)
})

t.test('a call that was sent again and waits in a stream since is not lost, however long ago it was scheduled', async (t) => {
  const state = runWith(40, 600_000)
  const { redis, lost, reconciler } = await open(t, [state])
  for (const call of callsOf(state)) await redis.xadd(keys.calls(1), '*', ENTRY_FIELD, JSON.stringify([call]))
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 0 }, 'or each sweep would add all of them to the streams once more')
  t.strictSame(lost, [])
})

t.test('a lost call is found also while the rest of its run goes on', async (t) => {
  const state = runWith(1, 60_000)
  const young = runWith(1, 1_000)
  const { lost, reconciler } = await open(t, [], [state, young])
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 1 })
  t.strictSame(lost, idsOf(state))
  t.match(await reconciler.sweep([], AGE_MS), { resent: 0 }, 'runs of other partitions are left to their runners')
})

t.test('a run that is in memory and in Postgres is judged once', async (t) => {
  const state = runWith(2, 60_000)
  const { lost, reconciler } = await open(t, [state], [state])
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 2 })
  t.strictSame(lost.sort(), idsOf(state).sort())
})

t.test('while workers may not have repeated what they hold, nothing is taken for lost', async (t) => {
  const state = runWith(2, 60_000)
  const { lost, watch, reconciler } = await open(t, [state])
  watch.isSettled = async () => false
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 0, unsure: 2 })
  t.strictSame(lost, [])
  watch.isSettled = async () => true
  t.match(await reconciler.sweep(PARTITIONS, AGE_MS), { resent: 2, unsure: 0 })
})
