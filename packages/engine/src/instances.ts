/**
 * What is inside containers: the case of a switch, the items of a `forEach`, the rounds of a loop. An instance is named as paths name it:
 * `route`, `each[3]`, `poll[2]`. Items and rounds are opened by the first event of a step in them, so that opening one costs no event.
 */
import type { ForEachPlan, Scope } from './plan.ts'
import { hasEnded, openScope, type RunState, type ScopeState, type StepState } from './state.ts'

const INDEXED = /^(.*)\[(\d+)\]$/

/** Name of the instance that a scope is, '' at the top. */
export function instanceOf(scope: ScopeState): string {
  return scope.prefix.slice(0, -1)
}

/** The scopes inside a container, open or ended, oldest first; of a loop all rounds. */
export function innerScopes(container: StepState): ScopeState[] {
  if (container.items) return container.items.scopes
  const rounds: ScopeState[] = []
  for (let at = container.inner; at; at = at.previous) rounds.push(at)
  return rounds.reverse()
}

/** The scopes inside a container in which something may be under way. */
export function openScopes(container: StepState): Iterable<ScopeState> {
  if (container.items) return container.items.open
  return container.inner ? [container.inner] : []
}

/** True for steps that have, or may come to have, steps inside. */
export function isContainer(step: StepState): boolean {
  const { kind } = step.step
  return kind === 'switch' || kind === 'forEach' || kind === 'loop'
}

/** Opens the inner scope of a switch: that of the case that was chosen, if one was. */
export function openCase(state: RunState, step: StepState): ScopeState | undefined {
  const body = step.step.body
  if (body.kind !== 'switch' || step.chosen === undefined || step.chosen === null) return undefined
  const scope = step.chosen === 'default' ? body.default : body.cases[step.chosen]?.scope
  if (scope) step.inner = openScope(state, scope, `${step.path}.`, step)
  return step.inner
}

/** Makes room for the items of a `forEach`. */
export function openItems(step: StepState, count: number): void {
  step.items = { count, scopes: [], open: new Set() }
}

/** Opens the next item of a `forEach` or the next round of a loop, which has this index. */
export function openInstance(state: RunState, container: StepState, index: number): ScopeState {
  const scope = openScope(state, scopeOf(container), `${container.path}[${index}].`, container)
  scope.index = index
  if (container.items) {
    container.items.scopes[index] = scope
    container.items.open.add(scope)
  } else {
    if (container.inner) scope.previous = container.inner
    container.inner = scope
  }
  return scope
}

function scopeOf(container: StepState): Scope {
  const { body } = container.step
  if (body.kind !== 'forEach' && body.kind !== 'loop') throw new Error(`step ${container.path} has no items or rounds`)
  return body.scope
}

/**
 * The instance of this name; an item or round that was not open yet is opened. With it are the items before it that have no event: a fork copies
 * none of one that was put back and never done again, because another has ended the `forEach`. Undefined when there can be no such instance.
 */
export function instanceAt(state: RunState, name: string): ScopeState | undefined {
  const [, path, digits] = INDEXED.exec(name) ?? []
  if (path === undefined) return state.steps.get(name)?.inner
  const container = state.steps.get(path)
  if (!container) return undefined
  const index = Number(digits)
  const known = knownInstance(container, index)
  if (known) return known
  return container.items ? openItem(state, container, container.items, index) : openRound(state, container, index)
}

function openItem(state: RunState, container: StepState, items: NonNullable<StepState['items']>, index: number): ScopeState | undefined {
  if (index >= items.count) return undefined
  while (items.scopes.length <= index) openInstance(state, container, items.scopes.length)
  return items.scopes[index]
}

function openRound(state: RunState, container: StepState, index: number): ScopeState | undefined {
  const isNext = container.step.kind === 'loop' && container.scheduledAt !== null && index === (container.inner?.index ?? -1) + 1
  return isNext ? openInstance(state, container, index) : undefined
}

function knownInstance(container: StepState, index: number): ScopeState | undefined {
  if (container.items) return container.items.scopes[index]
  for (let at = container.inner; at; at = at.previous) if (at.index === index) return at
  return undefined
}

/** The path of a step without the rounds that it stands in: the same in each of them. */
export function placeOf(step: StepState): string {
  const { scope } = step
  if (!scope.owner) return step.step.id
  const item = scope.owner.items ? `[${scope.index}]` : ''
  return `${placeOf(scope.owner)}${item}.${step.step.id}`
}

/** True when something in the scope has begun and not ended. */
export function isUnderWay(scope: ScopeState): boolean {
  return scope.steps.some((step) => step.status === 'running' || step.status === 'waiting' || step.status === 'retrying')
}

/** True when a call, a wait, a backoff or the like is under way in the scope, at whatever depth. */
export function isMoving(scope: ScopeState): boolean {
  return scope.steps.some((step) => {
    if (step.status !== 'running') return step.status === 'waiting' || step.status === 'retrying'
    if (!isContainer(step)) return true
    for (const inner of openScopes(step)) if (isMoving(inner)) return true
    return false
  })
}

/**
 * True when the scope may begin something: it moves already, or no more items move than may, of whatever `forEach` steps it is in. For those in
 * `going` that is known.
 */
export function hasRoom(scope: ScopeState, going: ReadonlySet<ScopeState>): boolean {
  for (let at = scope; at.owner; at = at.owner.scope) {
    if (going.has(at) || isMoving(at)) return true // and so it is around it
    if (at.owner.items && isTaken(at.owner)) return false
  }
  return true
}

function isTaken(container: StepState): boolean {
  let room = (container.step.body as ForEachPlan).concurrency
  if (container.items!.open.size <= room) return false
  for (const item of container.items!.open) if (isMoving(item) && --room <= 0) return true
  return false
}

/** Takes an item that has ended, well or not, out of those that are open. Called after each change of a step in it. */
export function settleItem(scope: ScopeState): void {
  const items = scope.owner?.items
  if (!items?.open.has(scope)) return
  if (scope.open === 0 || (scope.failing && !isUnderWay(scope))) items.open.delete(scope)
}

/** Forgets all that is inside a container. */
export function dropInside(state: RunState, container: StepState): void {
  for (const scope of innerScopes(container)) dropScope(state, scope)
  delete container.inner
  delete container.items
  delete container.chosen
}

/** Forgets the rounds of a loop after this one. */
export function dropRoundsAfter(state: RunState, loop: StepState, index: number): void {
  while (loop.inner && loop.inner.index! > index) {
    dropScope(state, loop.inner)
    if (loop.inner.previous) loop.inner = loop.inner.previous
    else delete loop.inner
  }
}

function dropScope(state: RunState, scope: ScopeState): void {
  for (const step of scope.steps) {
    for (const inner of innerScopes(step)) dropScope(state, inner)
    state.steps.delete(step.path)
  }
}

/** True when the container has ended or all inside it that was begun has. */
export function isQuiet(container: StepState): boolean {
  if (hasEnded(container)) return true
  for (const scope of openScopes(container)) if (isUnderWay(scope)) return false
  return true
}
