/** Whether something that has no row of its own can still move a run. */
import { uuidOf } from '@baton/contracts'
import type { RunState } from './state.ts'

/** What waits in a table of its own: approvals, timers, events, tasks. */
const KEPT = new Set(['approval', 'timer', 'event', 'task'])

/**
 * What may move the run, of what stands in no table but its events. `isOut`: a call or a turn is under way, or a step waits for something that
 * others bring; `children`: bare ids of the child runs that it waits for.
 */
export function pendingOf(state: RunState): { isOut: boolean; children: string[] } {
  const waited = [...state.waiting].flatMap((step) => step.waitingFor ?? [])
  const children = waited.flatMap((waitingFor) => (waitingFor.kind === 'run' ? (uuidOf('run', waitingFor.run) ?? []) : []))
  const others = waited.some(({ kind }) => kind !== 'run' && !KEPT.has(kind))
  return { isOut: state.inFlight.size > 0 || others, children }
}
