/** What must hold of the items of every `forEach` of a random run. */
import assert from 'node:assert/strict'
import { hasEnded, isContainer, type RunState } from '@baton/engine'

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
