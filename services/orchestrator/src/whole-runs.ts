/** A run with all its events, and a state that is nobody else's: for what is made of them. */
import type { StoredEvent } from '@baton/contracts'
import { applyEvent, createState, type RunState } from '@baton/engine'
import { problem } from '@baton/runtime'
import { type Db, headerOf, listEvents, type RunRow } from '@baton/store'
import type { Compiled, GetPlan } from './plan-cache.ts'

const EVENTS_A_QUERY = 1_000

export interface WholeRun {
  row: RunRow
  compiled: Compiled
  state: RunState
  events: StoredEvent[]
}

export type LoadWhole = (db: Db, row: RunRow) => Promise<WholeRun>

/** Loads runs as of their rows; 413 for one with more than `foldEventsMax` events. */
export function createLoadWhole({ getPlan, foldEventsMax }: { getPlan: GetPlan; foldEventsMax: number }): LoadWhole {
  return async (db, row) => {
    if (row.seq > foldEventsMax) {
      throw problem(
        'BTN_TOO_LARGE',
        `the run has ${row.seq} events, more than the ${foldEventsMax} that are folded (BATON_FOLD_EVENTS_MAX)`,
      )
    }
    const compiled = await getPlan(row.namespace, row.workflow, row.checksum)
    const state = createState(compiled.plan, headerOf(row, row.id))
    const events: StoredEvent[] = []
    while (state.seq < row.seq) {
      const more = await listEvents(db, row.id, state.seq, Math.min(EVENTS_A_QUERY, row.seq - state.seq))
      if (more.length === 0) break
      for (const event of more) applyEvent(state, event)
      events.push(...more)
    }
    return { row, compiled, state, events }
  }
}
