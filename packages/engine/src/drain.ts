/** What follows from what was put down: containers that go on or end, and steps that have become ready. */
import { isTerminal } from '@baton/contracts'
import { type Deciding, isLive } from './deciding.ts'
import { finishContainer } from './finish-containers.ts'
import { isHeld } from './slots.ts'
import { startIfReady } from './start-step.ts'

/** Lets all of it happen. */
export function drain(d: Deciding): void {
  for (let next = 0; ; ) {
    const container = d.closing.pop()
    if (container) {
      finishContainer(d, container)
      continue
    }
    const step = d.queue[next++]
    if (!step) break
    if (d.state.status === 'paused' || d.state.status === 'queued' || isTerminal(d.state.status) || isHeld(d.state)) continue
    if (isLive(d, step.scope)) startIfReady(d, step)
  }
  d.queue.length = 0
}
