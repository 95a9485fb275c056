/** Callbacks in the world around one run: addresses that are out, who posts to them, and what must hold of them. */
import assert from 'node:assert/strict'
import { isTerminal } from '@baton/contracts'
import type { Decision } from '@baton/engine'
import type { World } from './random-world.ts'

/** How a step ends. */
export const ENDS = ['step.succeeded', 'step.failed', 'step.skipped', 'step.cancelled']

export interface Callback {
  path: string
  generation: number
  outcome?: 'received' | 'closed'
}

/** Addresses that go out with calls, and those that are closed. */
export function noteCallbacks({ callbacks }: World, { calls, callbacksClosed, callbacksGivenUp }: Decision): void {
  for (const { path, generation, request } of calls) {
    const key = `${path} ${generation}`
    if (request.secrets && !callbacks.has(key)) callbacks.set(key, { path, generation })
  }
  for (const { path, generation } of callbacksGivenUp) callbacks.get(`${path} ${generation}`)!.outcome ??= 'closed'
  for (const { path, generation } of callbacksClosed) callbacks.get(`${path} ${generation}`)!.outcome = 'closed'
}

/** True when the decision gives up a callback that was received: it is void. */
export function closesWhatCame({ callbacks }: World, { callbacksClosed }: Decision): boolean {
  return callbacksClosed.some(({ path, generation }) => callbacks.get(`${path} ${generation}`)!.outcome !== undefined)
}

/** A callback that was received and applied makes its step succeed; every other end of such a step closes it. */
export function checkCallbacks({ events, callbacks, inbox, aborted }: World): void {
  if (aborted) return
  for (const { path, generation, outcome } of callbacks.values()) {
    const end = events.find((event) => ENDS.includes(event.type) && event.path === path && event.data.generation === generation)
    const isLeft = inbox.some((fact) => fact.kind === 'callback' && fact.path === path && fact.generation === generation)
    if (outcome === 'received') assert.ok(!end || (end.type === 'step.succeeded' && !isLeft), `${path} has a callback and ${end?.type}`)
    else assert.equal(outcome === 'closed', end !== undefined, `${path} without a callback: ${outcome} and ${end?.type}`)
    const received = events.filter(
      (event) => event.type === 'callback.received' && event.path === path && event.data.generation === generation,
    )
    assert.equal(received.length, outcome === 'received' && !isLeft ? 1 : 0, `callbacks of ${path} are recorded once`)
  }
}

/** Somebody posts to an address; the first is accepted, unless the step has ended without one. */
export function post(world: World, address: Callback): void {
  if (address.outcome || isTerminal(world.state.status)) return
  address.outcome = 'received'
  const { path, generation } = address
  world.inbox.push({ kind: 'callback', path, generation, receivedAt: world.now, headers: {}, query: {}, body: { n: 1 } })
}
