/**
 * States of runs in memory, the most recently used ones: bounded by their number and by what they weigh, which is estimated. Of those that wait
 * for people or for time only few are kept: they may be many, and wait for long, and a row in Postgres is all that they need.
 */
import type { Json, StoredEvent } from '@baton/contracts'
import type { RunState } from '@baton/engine'
import { LRUCache } from 'lru-cache'

export interface StateCache {
  get(runId: string): RunState | undefined
  /** `events` are what the state has grown by since it was put here last. */
  set(runId: string, state: RunState, events: readonly StoredEvent[]): void
  delete(runId: string): void
  values(): Iterable<RunState>
  readonly size: number
  /** Estimated. */
  readonly bytes: number
}

interface Entry {
  state: RunState
  size: number
}

/** Measured by the growth of the heap: a run without steps takes 1.3 kB, a step without data some 160 bytes, more once it has begun. */
const RUN_BYTES = 1_300
const STEP_BYTES = 250
const VALUE_BYTES = 8
const OBJECT_BYTES = 24

/** A cache for at most so many runs and bytes, and so many that wait. A run that is larger than all of it is not kept. */
export function createStateCache(limits: { runsMax: number; bytesMax: number; waitingMax: number }): StateCache {
  const cache = new LRUCache<string, Entry>({
    max: limits.runsMax,
    maxSize: limits.bytesMax,
    dispose: (_, runId, reason) => {
      if (reason !== 'set') waiting.delete(runId)
    },
  })
  /** Those that wait, the longest first. */
  const waiting = new Set<string>()

  function countWaiting(runId: string, isWaiting: boolean): void {
    waiting.delete(runId)
    if (!isWaiting) return
    waiting.add(runId)
    if (waiting.size > limits.waitingMax) cache.delete(waiting.values().next().value!)
  }

  return {
    get: (runId) => cache.get(runId)?.state,
    set(runId, state, events) {
      const known = cache.peek(runId)
      const size = known?.state === state ? events.reduce((sum, event) => sum + bytesOf(event.data), known.size) : bytesOfState(state)
      // A new entry each time: the size of one that is put again is not counted anew.
      cache.set(runId, { state, size }, { size })
      countWaiting(runId, state.status === 'waiting' && cache.has(runId))
    },
    delete: (runId) => void cache.delete(runId),
    *values() {
      for (const { state } of cache.values()) yield state
    },
    get size() {
      return cache.size
    },
    get bytes() {
      return cache.calculatedSize
    },
  }
}

/** What a state weighs, all of it looked at; later only what is added is. */
function bytesOfState(state: RunState): number {
  let sum = RUN_BYTES + bytesOf(state.header.input) + bytesOf(state.output)
  for (const step of state.steps.values()) {
    sum += STEP_BYTES + bytesOf(step.output)
    if (step.input !== undefined) sum += bytesOf(step.input)
  }
  return sum
}

/** Roughly what a value takes in memory. */
export function bytesOf(value: Json | object): number {
  if (typeof value === 'string') return OBJECT_BYTES + value.length
  if (typeof value !== 'object' || value === null) return VALUE_BYTES
  let sum = OBJECT_BYTES
  if (Array.isArray(value)) for (const item of value) sum += bytesOf(item as Json)
  else for (const key in value) sum += VALUE_BYTES + bytesOf((value as Record<string, Json>)[key] as Json)
  return sum
}
