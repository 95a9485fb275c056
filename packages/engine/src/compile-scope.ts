/** One list or map of steps to a scope: ids, order, dependencies and cycles. */
import { type Json, RESERVED_STEP_IDS, STEP_ID } from '@baton/contracts'
import { type Compilation, isObject, type OpenScope, report, type StepDraft, typeName, warn } from './compilation.ts'
import { compileStep, type DraftedStep } from './compile-step.ts'
import { escapePointer } from './json-pointers.ts'
import type { Need, PlanStep, Scope } from './plan.ts'

interface StepEntry {
  id: string
  body: Record<string, Json>
  pointer: string
}

/** The scope of `steps` at `pointer`. Its problems are reported; what is left of it is given back. */
export function compileScope(
  c: Compilation,
  steps: Json | undefined,
  pointer: string,
  outer: OpenScope | undefined,
  variables: readonly string[] = [],
): Scope {
  const depth = outer ? outer.depth + 1 : 0
  if (depth > c.limits.nestingMax) {
    report(c, pointer, `steps are nested deeper than ${c.limits.nestingMax} levels (BATON_NESTING_MAX)`, { code: 'BTN_TOO_LARGE' })
    return { steps: [], byId: new Map() }
  }
  const entries = readEntries(c, steps, pointer, outer)
  const ids = new Map(entries.map((entry, i) => [entry.id, i]))
  const scope: OpenScope = { ids, outer, current: undefined, variables: new Set(variables), depth }
  const drafted = entries.map((entry) => draft(c, entry, scope))
  const needs = drafted.map((step, i) => needsOf(c, step, i, ids, Array.isArray(steps)))
  reportCycles(c, drafted, needs, pointer)
  warnOfSkippable(c, drafted, needs)
  const dependents = dependentsOf(needs)
  return { steps: drafted.map((step, i) => finish(step, i, needs[i]!, dependents[i]!)), byId: ids }
}

function readEntries(c: Compilation, steps: Json | undefined, pointer: string, outer: OpenScope | undefined): StepEntry[] {
  const isList = Array.isArray(steps)
  if (!isList && !isObject(steps)) {
    report(c, pointer, steps === undefined ? 'is required' : `must be a map or a list of steps, not ${typeName(steps)}`)
    return []
  }
  const entries = isList
    ? steps.flatMap((step, i) => readItem(c, step, `${pointer}/${i}`))
    : Object.keys(steps).map((id) => ({ id, body: steps[id]!, pointer: `${pointer}/${escapePointer(id)}` }))
  if (isList ? steps.length === 0 : entries.length === 0) report(c, pointer, 'at least one step is required')
  const seen = new Set<string>()
  return entries.flatMap((entry) => {
    checkId(c, entry.id, isList ? `${entry.pointer}/id` : entry.pointer, outer)
    if (seen.has(entry.id)) report(c, `${entry.pointer}/id`, `the id ${entry.id} stands twice`)
    if (!isObject(entry.body)) report(c, entry.pointer, `must be an object, not ${typeName(entry.body)}`)
    if (seen.has(entry.id) || !isObject(entry.body)) return []
    seen.add(entry.id)
    return [{ ...entry, body: entry.body }]
  })
}

function readItem(c: Compilation, step: Json, pointer: string): { id: string; body: Json; pointer: string }[] {
  if (!isObject(step)) {
    report(c, pointer, `must be an object, not ${typeName(step)}`)
    return []
  }
  const { id, ...body } = step
  if (typeof id === 'string') return [{ id, body, pointer }]
  report(c, `${pointer}/id`, id === undefined ? 'is required: each step of a list has an id' : `must be a string, not ${typeName(id)}`)
  return []
}

function checkId(c: Compilation, id: string, pointer: string, outer: OpenScope | undefined): void {
  if ((RESERVED_STEP_IDS as readonly string[]).includes(id)) report(c, pointer, `${id} cannot be the id of a step`, { of: 'key' })
  else if (!STEP_ID.test(id)) report(c, pointer, `a step id must match ${STEP_ID.source}`, { of: 'key' })
  for (let scope = outer; scope; scope = scope.outer) {
    if (!scope.ids.has(id)) continue
    report(c, pointer, `the id ${id} is used by a step around this one`, { of: 'key' })
    return
  }
}

function draft(c: Compilation, entry: StepEntry, scope: OpenScope): DraftedStep {
  c.stepCount += 1
  if (c.stepCount === c.limits.stepsMax + 1) {
    report(c, '/steps', `the definition has more than ${c.limits.stepsMax} steps (BATON_STEPS_MAX)`, { code: 'BTN_TOO_LARGE' })
  }
  const step: StepDraft = { id: entry.id, kind: undefined, pointer: entry.pointer, mentions: new Set(), vars: new Set(), usesNow: false }
  scope.current = step
  const drafted = compileStep(c, step, entry.body, scope)
  scope.current = undefined
  return drafted
}

/** A dependency and where it was asked for. */
type PlacedNeed = Need & { pointer: string }

function needsOf(c: Compilation, step: DraftedStep, index: number, ids: ReadonlyMap<string, number>, isList: boolean): PlacedNeed[] {
  const needs = new Map<number, PlacedNeed>()
  const add = (need: PlacedNeed) => {
    const known = needs.get(need.index)
    if (!known) needs.set(need.index, need)
    else if (need.require === 'succeeded') known.require = 'succeeded'
  }
  for (const { id, require, pointer } of step.written) {
    const target = ids.get(id)
    if (target === undefined) report(c, pointer, `unknown step ${id}`)
    else add({ index: target, require, pointer }) // also itself: a cycle of one
  }
  if (isList && index > 0) add({ index: index - 1, require: 'satisfied', pointer: step.draft.pointer })
  for (const mention of step.draft.mentions) add({ index: mention, require: 'satisfied', pointer: step.draft.pointer })
  return [...needs.values()].sort((a, b) => a.index - b.index)
}

/** Depth first, without recursion: a list of 1 000 steps is a chain of 1 000. Each cycle is told once. */
function reportCycles(c: Compilation, steps: readonly DraftedStep[], needs: readonly PlacedNeed[][], pointer: string): void {
  const state = new Uint8Array(steps.length) // 0 unseen, 1 on the path, 2 done
  for (let start = 0; start < steps.length; start++) {
    if (state[start] !== 0) continue
    const path = [{ index: start, next: 0 }]
    state[start] = 1
    while (path.length > 0) {
      const top = path.at(-1)!
      const need = needs[top.index]![top.next++]
      if (!need) {
        state[top.index] = 2
        path.pop()
      } else if (state[need.index] === 1) {
        const from = path.findIndex((entry) => entry.index === need.index)
        const ids = [...path.slice(from).map((entry) => entry.index), need.index].map((i) => steps[i]!.draft.id)
        const told = ids.length === 2 ? 'the step waits for itself' : 'the steps wait for each other'
        report(c, pointer, `${told}: ${ids.join(' → ')}`, { of: 'key' })
      } else if (state[need.index] === 0) {
        state[need.index] = 1
        path.push({ index: need.index, next: 0 })
      }
    }
  }
}

/** A step without `if` behind an approval that `if` may skip would run unapproved. */
function warnOfSkippable(c: Compilation, steps: readonly DraftedStep[], needs: readonly PlacedNeed[][]): void {
  steps.forEach((step, i) => {
    if (step.plan.condition) return
    for (const need of needs[i]!) {
      const target = steps[need.index]!
      if (target.draft.kind !== 'approval' || !target.plan.condition || need.require === 'succeeded') continue
      const { id } = target.draft
      warn(
        c,
        need.pointer,
        `${step.draft.id} also runs when the approval ${id} is skipped; write needs: [{ step: ${id}, require: succeeded }] to skip it then`,
      )
    }
  })
}

function dependentsOf(needs: readonly PlacedNeed[][]): number[][] {
  const dependents: number[][] = needs.map(() => [])
  needs.forEach((own, i) => {
    for (const need of own) dependents[need.index]!.push(i)
  })
  return dependents
}

function finish({ draft, plan }: DraftedStep, index: number, needs: readonly PlacedNeed[], dependents: readonly number[]): PlanStep {
  const uses = { vars: [...draft.vars], usesNow: draft.usesNow }
  return {
    ...plan,
    ...(plan.compensate ? { compensate: { ...plan.compensate, ...uses } } : {}),
    index,
    needs: needs.map(({ index: target, require }) => ({ index: target, require })),
    dependents,
    ...uses,
  }
}
