/**
 * What a retry or a replay does again (CONTRACT §3): steps that go back to pending in their next generation, and the containers around them,
 * which go on with what else is in them. Made from the state when it is asked for, and recorded, so that folding only follows it.
 */
import { isTerminal } from '@baton/contracts'
import { dropInside, dropRoundsAfter, innerScopes, isContainer } from './instances.ts'
import { hasEnded, type RunState, type ScopeState, type StepState } from './state.ts'

/** As events hold it. */
export interface Reset {
  /** Paths of steps that begin anew; containers among them forget what was in them. */
  reset: string[]
  /** Paths of containers that had ended and go on. */
  reopen: string[]
  /** Loops that go on from an earlier round: the rounds after it are forgotten. */
  rounds?: Record<string, number>
}

/** Every step that failed or was cancelled, and is not tolerated. */
function planRetry(state: RunState): Reset {
  const plan: Reset = { reset: [], reopen: [] }
  retryScope(state.root, plan)
  return plan
}

function retryScope(scope: ScopeState, plan: Reset): void {
  for (const step of scope.steps) {
    if (step.status !== 'cancelled' && (step.status !== 'failed' || step.tolerated)) continue
    const known = plan.reset.length + plan.reopen.length
    const scopes = isContainer(step) ? innerScopes(step) : []
    // A failure that an item keeps to itself is tolerated.
    for (const inner of scopes) if (!inner.failing) retryScope(inner, plan)
    const isUnfinished = scopes.some((inner) => inner.open > 0 && !inner.failing)
    if (plan.reset.length + plan.reopen.length > known || isUnfinished) plan.reopen.push(step.path)
    else plan.reset.push(step.path)
  }
}

/** What a retry or a replay would do to the run as it stands; or why it cannot be. */
export function reopeningOf(
  state: RunState,
  asked: { kind: 'retry' } | { kind: 'replay'; path: string },
): { reset: Reset } | { refused: string; code: 'BTN_RUN_STATE' | 'BTN_RUN_COMPENSATED' | 'BTN_STEP_NOT_FOUND' } {
  const { status, ending } = state
  const standing = ending && !isTerminal(status) ? `ending as ${ending}` : status
  if (state.compensations.length > 0) return { refused: 'the run has begun to compensate', code: 'BTN_RUN_COMPENSATED' }
  if (asked.kind === 'retry') {
    if (!isTerminal(status) || status === 'succeeded')
      return { refused: `a run that is ${standing} cannot be retried`, code: 'BTN_RUN_STATE' }
    return { reset: planRetry(state) }
  }
  const step = state.steps.get(asked.path)
  if (!step) return { refused: `the run has no step ${asked.path}`, code: 'BTN_STEP_NOT_FOUND' }
  if (ending && !isTerminal(status)) return { refused: `no step of a run that is ${standing} can be replayed`, code: 'BTN_RUN_STATE' }
  const plan = planReplay(step)
  return 'reason' in plan ? { refused: `step ${plan.step} ${plan.reason}`, code: 'BTN_RUN_STATE' } : { reset: plan }
}

/** The step and all that depends on it; or which step forbids it, and why. */
function planReplay(step: StepState): Reset | { step: string; reason: string } {
  if (step.status === 'pending') return { step: step.path, reason: 'has not run' }
  const plan: Reset = { reset: [], reopen: [] }
  for (let at: StepState | undefined = step; at; at = at.scope.owner) {
    const isFirst = at === step
    const open = closure(at).find((other) => !hasEnded(other) && other.status !== 'pending')
    if (open) return { step: open.path, reason: `is ${open.status}` }
    for (const other of closure(at)) if (hasEnded(other) && (isFirst || other !== at)) plan.reset.push(other.path)
    if (isFirst) continue
    plan.reopen.push(at.path)
  }
  for (let scope: ScopeState | undefined = step.scope; scope?.owner; scope = scope.owner.scope) {
    if (scope.owner.step.kind === 'loop') plan.rounds = { ...plan.rounds, [scope.owner.path]: scope.index! }
  }
  return plan
}

/** The step and all that depends on it in its scope. */
export function closure(step: StepState): StepState[] {
  const found = new Set([step])
  for (const at of found) for (const index of at.step.dependents) found.add(at.scope.steps[index]!)
  return [...found]
}

/** Folds what was planned; `at` is when. */
export function applyReset(state: RunState, { reset, reopen, rounds }: Reset, at: number): void {
  delete state.toUndo
  state.hasReplayed = true
  for (const [path, index] of Object.entries(rounds ?? {})) dropRoundsAfter(state, stepAt(state, path), index)
  for (const path of reopen) reopenContainer(stepAt(state, path), at)
  for (const path of reset) resetStep(state, stepAt(state, path))
  const owners = new Set([...reopen, ...reset].map((path) => state.steps.get(path)!.scope.owner))
  for (const owner of owners) if (owner?.items) owner.items.open = inOrder(owner.items.open)
}

/** Items are looked through in their order, whoever was opened again. */
function inOrder(scopes: ReadonlySet<ScopeState>): Set<ScopeState> {
  return new Set([...scopes].sort((a, b) => a.index! - b.index!))
}

function stepAt(state: RunState, path: string): StepState {
  const step = state.steps.get(path)
  if (!step) throw new Error(`run ${state.header.runId}: a reset names an unknown step ${path}`)
  return step
}

function resetStep(state: RunState, step: StepState): void {
  dropInside(state, step)
  restart(step)
  step.status = 'pending'
  step.scheduledAt = null
  step.startedAt = null
  for (const key of ['input', 'secrets', 'now', 'vars'] as const) delete step[key]
}

function reopenContainer(container: StepState, at: number): void {
  restart(container)
  container.status = 'running'
  container.scheduledAt = at
  container.rests = true
}

function restart(step: StepState): void {
  const { scope } = step
  if (hasEnded(step)) {
    scope.open += 1
    for (const index of step.step.dependents) scope.steps[index]!.blocked += 1
  }
  step.generation += 1
  step.attempt = 1
  step.output = null
  step.error = null
  step.tolerated = false
  delete step.copied
  step.endedAt = null
  delete step.endedSeq
  delete step.failing
  delete step.rests
  delete scope.failing
  scope.owner?.items?.open.add(scope)
}
