/** The states that a batch of facts is about: from the cache, from the fact itself, or folded from what Postgres holds. */
import { createState, type RunState } from '@baton/engine'
import { isTransient, type LoadedRun } from '@baton/store'
import type { Advance, Delivery } from './advance.ts'
import { foldRun, wholeOf } from './load-run.ts'

/** Why a run has no state, and what was read of it. */
export interface Unreadable {
  error: unknown
  loaded?: LoadedRun
}

/** Runs that do not exist are in neither map. Throws when Postgres is away. */
export async function loadStates(
  a: Advance,
  runs: ReadonlyMap<string, Delivery[]>,
  again: boolean,
): Promise<{ states: Map<string, RunState>; unreadable: Map<string, Unreadable> }> {
  const states = new Map<string, RunState>()
  const unreadable = new Map<string, Unreadable>()
  const cold: string[] = []
  for (const [runId, deliveries] of runs) {
    const known = a.cache.get(runId) ?? (again ? undefined : await newborn(a, deliveries))
    if (known) states.set(runId, known)
    else cold.push(runId)
  }
  if (cold.length === 0) return { states, unreadable }
  for (const [runId, loaded] of await readRuns(a, cold, unreadable)) {
    try {
      const plan = await a.store.plan(loaded.header.namespace, loaded.header.checksum)
      states.set(runId, await foldRun(a.store, plan, loaded))
    } catch (error) {
      if (isTransient(error)) throw error
      unreadable.set(runId, { error, loaded: await wholeOf(a.store, loaded) })
    }
  }
  return { states, unreadable }
}

/** All at once; when that fails for a reason that does not pass, one by one, to find the run at fault. */
async function readRuns(a: Advance, ids: string[], unreadable: Map<string, Unreadable>): Promise<Map<string, LoadedRun>> {
  try {
    return await a.store.loadRuns(ids)
  } catch (error) {
    if (isTransient(error)) throw error
  }
  const runs = new Map<string, LoadedRun>()
  for (const id of ids) {
    try {
      for (const [runId, loaded] of await a.store.loadRuns([id])) runs.set(runId, loaded)
    } catch (error) {
      if (isTransient(error)) throw error
      unreadable.set(id, { error })
    }
  }
  return runs
}

/** A run that comes with its own header needs no query: the fence finds out if it has moved since. */
async function newborn(a: Advance, deliveries: readonly Delivery[]): Promise<RunState | undefined> {
  for (const { fact, redelivered } of deliveries) {
    if (fact.kind !== 'start' || !fact.run || redelivered) continue
    const header = fact.run as unknown as LoadedRun['header']
    const plan = await a.store.plan(header.namespace, header.checksum).catch((error: unknown) => {
      if (isTransient(error)) throw error
      return undefined // it is read from Postgres then, and found unreadable
    })
    if (!plan) return undefined
    const state = createState(plan, header)
    state.seq = 1
    return state
  }
  return undefined
}
