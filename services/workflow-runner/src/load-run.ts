/** How a run comes out of Postgres: its header and its events, folded, from its newest snapshot if it has one. */
import { applyEvent, createState, type Plan, type RunState, restoreState } from '@baton/engine'
import type { LoadedRun } from '@baton/store'
import type { AdvanceStore } from './advance.ts'

/** The state that a loaded run's events fold to. */
export function stateOf(plan: Plan, loaded: LoadedRun): RunState {
  const { header, snapshot } = loaded
  const state = snapshot ? restoreState(plan, header, snapshot) : createState(plan, header)
  for (const event of loaded.events) applyEvent(state, event)
  return state
}

/** The same; a snapshot that is of no use is ignored. */
export async function foldRun(store: Pick<AdvanceStore, 'loadRuns'>, plan: Plan, loaded: LoadedRun): Promise<RunState> {
  try {
    return stateOf(plan, loaded)
  } catch (error) {
    const whole = await wholeOf(store, loaded)
    if (whole === loaded) throw error
    return stateOf(plan, whole)
  }
}

/** The run with all its events. */
export async function wholeOf(store: Pick<AdvanceStore, 'loadRuns'>, loaded: LoadedRun): Promise<LoadedRun> {
  const { runId } = loaded.header
  return loaded.snapshot ? ((await store.loadRuns([runId], { whole: true })).get(runId) ?? loaded) : loaded
}
