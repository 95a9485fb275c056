/** What must hold at any moment of the status, the timers and the items of a random run. */
import assert from 'node:assert/strict'
import { isTerminal } from '@baton/contracts'
import { failureOf, hasEnded, isContainer, type RunState } from '@baton/engine'
import type { World } from './random-world.ts'

/** `waiting` = nothing is ready, running or in backoff and at least one step waits. */
export function checkStatus({ state, timers }: World): void {
  const isFull = [...timers.keys()].some((key) => key.startsWith('more '))
  const active = state.inFlight.size > 0 || state.retrying.size > 0
  if (state.ending) {
    const undoing = state.compensations.filter((step) => !hasEnded(step))
    assert.ok(undoing.length <= 1, 'compensations run one after the other')
    assert.ok(active || undoing.length > 0, 'an ending run only waits for what is in flight')
    for (const step of [...state.retrying, ...state.waiting]) assert.ok(step.undoes, 'nothing but compensations waits in an ending run')
    assert.equal(state.status, 'running', 'an ending run with calls in flight is one that the reconciler looks at')
  } else if (state.status === 'waiting' || state.status === 'running') {
    if (isFull && !active && state.waiting.size === 0) return // the next decision goes on at once
    assert.equal(state.status, !active && state.waiting.size > 0 ? 'waiting' : 'running', 'the status is what the contract says')
    assert.ok(active || state.waiting.size > 0, 'an open run has something that moves it')
  } else if (isTerminal(state.status)) {
    for (const step of state.steps.values()) {
      assert.ok(
        !['running', 'waiting', 'retrying', 'ready'].includes(step.status),
        `${step.path} is ${step.status} in a run that has ended`,
      )
    }
  }
}

/** Rows of `timers` are exactly those that somebody waits for; a paused run has none, save those of backoffs and of delays of loops that began since. */
export function checkTimers({ state, timers: all }: World): void {
  // What a full decision has left to the next stands besides: it is due at once, and goes when it fires.
  const timers = new Map([...all].filter(([key]) => !key.startsWith('more ')))
  const expected = new Map<string, [attempt: number, dueAt: number]>()
  if (isTerminal(state.status)) return assert.equal(timers.size, 0, `timers are left: ${[...timers.keys()]}`)
  if (state.plan.timeoutMs !== undefined && !state.ending)
    expected.set('run ', [1, (state.reopenedAt ?? state.header.createdAt) + state.plan.timeoutMs])
  for (const step of [...state.waiting, ...state.retrying]) {
    if (step.dueAt === undefined) continue
    const kind = step.waitingFor?.kind
    const isLate =
      kind === 'task' || kind === 'callback' || (step.waitingFor?.kind === 'timer' && Date.parse(step.waitingFor.until) > step.dueAt)
    const timer = step.status === 'retrying' ? 'retry' : kind === 'approval' ? 'approval' : isLate ? 'timeout' : 'wait'
    const attempt = step.step.kind === 'loop' ? step.inner!.index! + 1 : step.attempt
    expected.set(`${timer} ${step.path}`, [attempt, step.dueAt])
  }
  const bounded = [...state.steps.values()].filter((step) => {
    return isContainer(step) && (step.status === 'running' || step.status === 'waiting') && step.step.timeoutMs !== undefined
  })
  for (const step of bounded) {
    if (step.failing || failureOf(step.scope) || state.ending || step.rests) continue
    expected.set(`timeout ${step.path}`, [step.attempt, step.scheduledAt! + step.step.timeoutMs!])
  }
  if (state.status !== 'paused') {
    for (const [key, [attempt, dueAt]] of expected) {
      assert.deepEqual([timers.get(key)?.attempt, timers.get(key)?.dueAt], [attempt, dueAt], `timer ${key} is set`)
    }
  }
  const containers = new Set(bounded.map(({ path }) => `timeout ${path}`))
  const isDelay = (key: string) => key.startsWith('wait ') && state.steps.get(key.slice(5))?.step.kind === 'loop'
  if (state.status === 'paused')
    for (const key of timers.keys()) assert.ok(key.startsWith('retry ') || isDelay(key), `timer ${key} of a paused run`)
  for (const key of timers.keys()) assert.ok(expected.has(key) || key === 'run ' || containers.has(key), `nobody waits for timer ${key}`)
}

/** No more items of a `forEach` go on at once than may, whatever was put back. */
export function checkItems(state: RunState): void {
  for (const { path, items, step } of state.steps.values()) {
    if (!items || step.body.kind !== 'forEach') continue
    const moving = items.scopes.filter(isMoving).map(({ index }) => index)
    assert.ok(moving.length <= step.body.concurrency, `items ${moving} of ${path} go on at once`)
  }
}

/** Something in the scope, at whatever depth, is under way. */
function isMoving({ steps }: RunState['root']): boolean {
  return steps.some((step) => {
    if (!isContainer(step)) return ['running', 'waiting', 'retrying'].includes(step.status)
    return !hasEnded(step) && (step.status === 'waiting' || (step.items?.scopes ?? (step.inner ? [step.inner] : [])).some(isMoving))
  })
}
