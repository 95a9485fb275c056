/** How a run comes out of Postgres: its header and its events, folded. */
import { applyEvent, createState, type Plan, type RunState } from '@baton/engine'
import type { LoadedRun } from '@baton/store'

/** The state that a loaded run's events fold to. */
export function stateOf(plan: Plan, loaded: LoadedRun): RunState {
  const state = createState(plan, loaded.header)
  for (const event of loaded.events) applyEvent(state, event)
  return state
}
