/**
 * Compensations (CONTRACT §3): what undoes the steps that succeeded, when the run ends in another way. Each is a step of its own at
 * `<step path>.compensate`, made when it is scheduled; it stands in the scope of the step that it undoes and is not counted in it.
 */
import { innerScopes } from './instances.ts'
import { pendingStep, type RunState, type ScopeState, type StepState } from './state.ts'

const SUFFIX = '.compensate'

/** The compensation at this path, made if the step that it undoes has one; undefined if not. */
export function compensationAt(state: RunState, path: string): StepState | undefined {
  if (!path.endsWith(SUFFIX)) return undefined
  const undone = state.steps.get(path.slice(0, -SUFFIX.length))
  return undone && compensationOf(state, undone)
}

/** The compensation of a step, made if it was not there. */
export function compensationOf(state: RunState, undone: StepState): StepState | undefined {
  const plan = undone.step.compensate
  if (!plan) return undefined
  const path = undone.path + SUFFIX
  const known = state.steps.get(path)
  if (known) return known
  const step = pendingStep(path, plan, undone.scope, undone.generation)
  step.undoes = undone
  state.steps.set(path, step)
  state.compensations.push(step)
  return step
}

/** The step that is to be undone next: of those that succeeded and are not undone yet, the last that ended. */
export function nextToUndo(state: RunState): StepState | undefined {
  state.toUndo ??= toUndo(state)
  return state.toUndo.pop()
}

/** In the order in which they ended, so that the next one is the last. What ended in one millisecond is told apart by the order of events. */
function toUndo(state: RunState): StepState[] {
  const found: StepState[] = []
  collect(state.root, found)
  const undone = new Set(state.compensations.map((step) => step.undoes))
  return found.filter((step) => !undone.has(step)).sort((a, b) => a.endedAt! - b.endedAt! || a.endedSeq! - b.endedSeq!)
}

function collect(scope: ScopeState, found: StepState[]): void {
  for (const step of scope.steps) {
    if (step.step.compensate && step.status === 'succeeded' && !step.copied) found.push(step)
    for (const inner of innerScopes(step)) collect(inner, found)
  }
}
