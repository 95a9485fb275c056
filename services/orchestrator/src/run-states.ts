/** Folded runs for readers: /steps, /graph and /why are views of the events, as the engine folds them. */
import { applyEvent, createState, type RunState } from '@baton/engine'
import { problem } from '@baton/runtime'
import { headerOf, listEvents, type RunRow, type Sql } from '@baton/store'
import { LRUCache } from 'lru-cache'
import type { Compiled, GetPlan } from './plan-cache.ts'

const EVENTS_A_QUERY = 1_000

/** Gives the state of a run as of its row, or later, and the plan that it executes. The state is shared: look, do not touch. */
export type FoldRun = (row: RunRow) => Promise<{ state: RunState; compiled: Compiled }>

export interface RunStatesOptions {
  sql: Sql
  getPlan: GetPlan
  /** Runs with more events than this are refused with 413. */
  foldEventsMax: number
  /** Events of all runs that are kept folded. */
  cacheEventsMax: number
}

/** Makes the cache of folded runs of this process. A run that moved on is folded on from where it was. */
export function createRunStates({ sql, getPlan, foldEventsMax, cacheEventsMax }: RunStatesOptions): FoldRun {
  const cache = new LRUCache<string, RunState>({ maxSize: cacheEventsMax, sizeCalculation: (state) => Math.max(1, state.seq) })

  return async (row) => {
    if (row.seq > foldEventsMax) {
      throw problem(
        'BTN_TOO_LARGE',
        `the run has ${row.seq} events, more than the ${foldEventsMax} that are folded (BATON_FOLD_EVENTS_MAX)`,
      )
    }
    const compiled = await getPlan(row.namespace, row.workflow, row.checksum)
    const key = `${row.id}/${row.checksum}`
    const state = cache.get(key) ?? createState(compiled.plan, headerOf(row, row.id))
    while (state.seq < row.seq) {
      const events = await listEvents(sql, row.id, state.seq, EVENTS_A_QUERY)
      // Others may have folded the same events while these were on their way.
      for (const event of events) if (event.seq === state.seq + 1) applyEvent(state, event)
      if (events.length === 0) break
    }
    cache.set(key, state)
    return { state, compiled }
  }
}
