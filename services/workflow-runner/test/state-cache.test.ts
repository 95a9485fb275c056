import type { Json, StoredEvent } from '@baton/contracts'
import { applyEvent, compile, createState, type RunState } from '@baton/engine'
import t from 'tap'
import { createStateCache } from '../src/state-cache.ts'

const { plan } = compile({ steps: { a: { http: { url: 'http://x.example/' } }, b: { needs: ['a'], set: { x: 1 } } } } as Json, {
  name: 'test',
})
let made = 0

function newState(): RunState {
  const runId = `01920000-0000-7000-8000-${String(++made).padStart(12, '0')}`
  const names = { namespace: 'default', workflow: 'test', version: 1, checksum: 'x', startedBy: 'key_1' }
  return createState(plan!, { runId, ...names, input: {}, labels: {}, priority: 5, createdAt: 0 })
}

/** Moves the state on by an event that carries this much. */
function grow(state: RunState, type: StoredEvent['type'], data: StoredEvent['data']): StoredEvent[] {
  const event: StoredEvent = { runId: state.header.runId, seq: state.seq + 1, type, path: 'a', at: 1, data }
  applyEvent(state, event)
  return [event]
}

t.test('states are kept up to the number of bytes, however few runs they are', async (t) => {
  const cache = createStateCache({ runsMax: 1_000, bytesMax: 300_000, waitingMax: 1_000 })
  const runs = Array.from({ length: 10 }, newState)
  for (const state of runs) cache.set(state.header.runId, state, [])
  t.equal(cache.size, 10)
  t.ok(cache.bytes < 50_000, `${cache.bytes} bytes of empty runs`)
  for (const state of runs) cache.set(state.header.runId, state, grow(state, 'step.scheduled', { input: { text: 'x'.repeat(60_000) } }))
  t.ok(cache.bytes <= 300_000 && cache.bytes > 200_000, `${cache.bytes} bytes`)
  t.same(
    [...cache.values()].map((state) => state.header.runId),
    runs
      .slice(-4)
      .reverse()
      .map((state) => state.header.runId),
    'the latest ones',
  )
  for (const state of runs) cache.delete(state.header.runId)
  t.same([cache.size, cache.bytes], [0, 0])
})

t.test('a state that was folded elsewhere is weighed whole; one that outgrows the cache is not kept', async (t) => {
  const cache = createStateCache({ runsMax: 1_000, bytesMax: 300_000, waitingMax: 1_000 })
  const state = newState()
  grow(state, 'step.scheduled', {})
  grow(state, 'step.succeeded', { output: { text: 'x'.repeat(100_000) } })
  cache.set(state.header.runId, state, [])
  t.ok(cache.bytes > 100_000)
  cache.set(state.header.runId, state, grow(state, 'step.scheduled', { input: 'y'.repeat(250_000) }))
  t.same([cache.size, cache.get(state.header.runId)], [0, undefined])
})

t.test('runs are bounded by their number as before', async (t) => {
  const cache = createStateCache({ runsMax: 3, bytesMax: 1e9, waitingMax: 1_000 })
  const runs = Array.from({ length: 5 }, newState)
  for (const state of runs) cache.set(state.header.runId, state, [])
  t.equal(cache.size, 3)
  t.equal(cache.get(runs[4]!.header.runId), runs[4])
})

t.test('of runs that wait only the latest are kept, however much room there is', async (t) => {
  const cache = createStateCache({ runsMax: 1_000, bytesMax: 1_000_000, waitingMax: 3 })
  const runs = Array.from({ length: 6 }, newState)
  const [moving, ...others] = runs as [RunState, ...RunState[]]
  cache.set(moving.header.runId, moving, [])
  for (const state of others) cache.set(state.header.runId, Object.assign(state, { status: 'waiting' }), [])
  const kept = () => new Set([...cache.values()].map((state) => state.header.runId))
  const idsOf = (states: RunState[]) => new Set(states.map((state) => state.header.runId))
  t.same(kept(), idsOf([moving, ...others.slice(-3)]))
  const goesOn = others.at(-1)!
  cache.set(goesOn.header.runId, Object.assign(goesOn, { status: 'running' }), [])
  cache.delete(others.at(-2)!.header.runId)
  const more = [newState(), newState()]
  for (const state of more) cache.set(state.header.runId, Object.assign(state, { status: 'waiting' }), [])
  t.same(kept(), idsOf([moving, goesOn, others.at(-3)!, ...more]), 'what goes on, and what is gone, waits no longer')
})
