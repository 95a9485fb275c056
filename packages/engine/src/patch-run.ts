/**
 * Whether a run that has begun can go on by another definition (CONTRACT §4). Invariant: the events it has folded under the old definition fold
 * to the same under the new one. So what has begun stays as it is written, with what it depends on and, of a container, with what tells which of
 * its steps ran; what has not begun may change, come and go.
 */
import type { Json, ProblemError, StoredEvent } from '@baton/contracts'
import { applyEvent } from './apply-event.ts'
import { canonicalJson } from './checksum.ts'
import { isObject } from './compilation.ts'
import type { RunHeader } from './decision.ts'
import { innerScopes } from './instances.ts'
import { escapePointer } from './json-pointers.ts'
import type { Plan, PlanStep, Scope } from './plan.ts'
import { snapshotOf } from './snapshot.ts'
import { createState, hasEnded, type RunState, type ScopeState, type StepState } from './state.ts'

/** What the run that stands there does not let be changed, each at its place in the old definition, or in the new one when it is new. */
export function patchConflicts(state: RunState, before: Json, after: Json, plan?: Plan): ProblemError[] {
  const conflicts: ProblemError[] = []
  const [old, next] = [before, after].map((definition) => (isObject(definition) ? definition : {})) as [Raw, Raw]
  if (state.startedAt !== null && !isEqual(old.concurrency, next.concurrency)) {
    conflicts.push({ pointer: '/concurrency', message: 'the run has started and holds its slot by it' })
  }
  compareScopes({ instances: [state.root], before: old.steps, after: next.steps, at: '/steps', plan: plan?.root, mayGrow: true }, conflicts)
  return conflicts
}

type Raw = Record<string, Json | undefined>

interface Compared {
  instances: readonly ScopeState[]
  before: Json | undefined
  after: Json | undefined
  /** Pointer to the steps. */
  at: string
  plan: Scope | undefined
  /** Steps may come and go: no instance of the scope has ended. */
  mayGrow: boolean
}

function compareScopes(compared: Compared, conflicts: ProblemError[]): void {
  const { at, plan, mayGrow } = compared
  const before = stepsIn(compared.before, at)
  const after = stepsIn(compared.after, at)
  for (const [id, { raw, pointer }] of before) {
    const steps = compared.instances.flatMap((scope) => scope.steps.filter((step) => step.step.id === id))
    const begun = steps.find(hasBegun)
    const next = after.get(id)
    if (!next && (begun || !mayGrow)) conflicts.push({ pointer, message: begun ? hasStarted(begun) : fixed(at) })
    if (!next || !begun) continue
    const now = plan && planOf(plan, id)
    if (!isEqual(withoutInside(raw), withoutInside(next.raw)) || (now && needsOf(now, plan) !== needsOf(begun.step, begun.scope.scope))) {
      conflicts.push({ pointer, message: hasStarted(begun) })
    } else compareInside({ steps, before: raw, after: next.raw, at: pointer, plan: now }, conflicts)
  }
  if (mayGrow) return
  for (const [id, { pointer }] of after) if (!before.has(id)) conflicts.push({ pointer, message: fixed(at) })
}

function hasStarted(step: StepState): string {
  const state = step.status === 'pending' ? 'has run before' : `is ${step.status}`
  return `step ${step.path} has started (it ${state}): it, and what it depends on, cannot be changed any more`
}

function fixed(at: string): string {
  return `no step can be added to or taken out of ${at}: what it is in has been through`
}

/** True when something is recorded of the step, in this generation or one before. */
function hasBegun(step: StepState): boolean {
  return step.status !== 'pending' || step.generation > (step.scope.owner?.generation ?? 0)
}

function compareInside(
  { steps, before, after, at, plan }: { steps: StepState[]; before: Raw; after: Raw; at: string; plan: PlanStep | undefined },
  conflicts: ProblemError[],
): void {
  for (const kind of ['forEach', 'loop'] as const) {
    const [old, next] = [before[kind], after[kind]]
    if (!isObject(old) || !isObject(next)) continue
    const scope = plan?.body.kind === kind ? plan.body.scope : undefined
    const compared = { instances: steps.flatMap(innerScopes), before: old.steps, after: next.steps, at: `${at}/${kind}/steps` }
    compareScopes({ ...compared, plan: scope, mayGrow: false }, conflicts)
  }
  const [old, next] = [before.switch, after.switch]
  if (!isObject(old) || !isObject(next)) return
  const body = plan?.body.kind === 'switch' ? plan.body : undefined
  for (const chosen of new Set(steps.map((step) => step.chosen))) {
    if (chosen === null || chosen === undefined) continue
    const taken = steps.filter((step) => step.chosen === chosen)
    const pick = (from: Raw) => (chosen === 'default' ? from.default : (from.cases as Json[] | undefined)?.[chosen]) as Raw | undefined
    const scope = chosen === 'default' ? body?.default : body?.cases[chosen]?.scope
    const place = chosen === 'default' ? `${at}/switch/default/steps` : `${at}/switch/cases/${chosen}/steps`
    const compared = { instances: taken.flatMap(innerScopes), before: pick(old)?.steps, after: pick(next)?.steps, at: place }
    compareScopes({ ...compared, plan: scope, mayGrow: !taken.some(hasEnded) }, conflicts)
  }
}

/** Steps as they are written, by id, each with its pointer. */
function stepsIn(steps: Json | undefined, at: string): Map<string, { raw: Raw; pointer: string }> {
  const found = new Map<string, { raw: Raw; pointer: string }>()
  if (Array.isArray(steps)) {
    for (const [index, step] of steps.entries()) {
      if (!isObject(step) || typeof step.id !== 'string') continue
      const { id, ...raw } = step
      found.set(id, { raw, pointer: `${at}/${index}` })
    }
  } else if (isObject(steps)) {
    for (const [id, raw] of Object.entries(steps)) if (isObject(raw)) found.set(id, { raw, pointer: `${at}/${escapePointer(id)}` })
  }
  return found
}

/** A step as it is written, with nothing in its place of the steps inside it. */
function withoutInside(step: Raw): Raw {
  const copy = { ...step }
  for (const kind of ['forEach', 'loop'] as const) if (isObject(copy[kind])) copy[kind] = { ...copy[kind], steps: null }
  const { switch: body } = copy
  if (isObject(body)) {
    const empty = (branch: Json | undefined): Json => (isObject(branch) ? { ...branch, steps: null } : (branch ?? null))
    copy.switch = { cases: Array.isArray(body.cases) ? body.cases.map(empty) : null, default: empty(body.default) }
  }
  return copy
}

function planOf(scope: Scope, id: string): PlanStep | undefined {
  const index = scope.byId.get(id)
  return index === undefined ? undefined : scope.steps[index]
}

/** What a step depends on, written or inferred, as a text that is equal for equal ones. */
function needsOf(step: PlanStep, scope: Scope | undefined): string {
  return step.needs
    .map(({ index, require }) => `${scope!.steps[index]!.id} ${require}`)
    .sort()
    .join(',')
}

function isEqual(a: unknown, b: unknown): boolean {
  return canonicalJson((a ?? null) as Json) === canonicalJson((b ?? null) as Json)
}

/** The run under another plan; undefined when its events do not fold to the same there. */
export function refoldUnder(plan: Plan, state: RunState, events: readonly StoredEvent[]): RunState | undefined {
  const header: RunHeader = { ...state.header, checksum: plan.checksum }
  const again = createState(plan, header)
  try {
    for (const event of events) applyEvent(again, event)
  } catch {
    return undefined // it names a step that there is no longer
  }
  return pastOf(again) === pastOf(state) ? again : undefined
}

function pastOf(state: RunState): string {
  const { checksum: _, opened, steps, ...rest } = snapshotOf(state)
  const byPath = steps.sort((a, b) => (a.path < b.path ? -1 : 1))
  const names = opened.map((entry) => (typeof entry === 'string' ? [entry] : entry)).sort((a, b) => (a[0] < b[0] ? -1 : 1))
  return canonicalJson(JSON.parse(JSON.stringify({ ...rest, steps: byPath, opened: names })) as Json)
}
