/** The way of a process to a server: requests arrive later, answers come later still, and neither has to. */
import type { Process, Scheduler } from './scheduler.ts'
import type { Weather } from './weather.ts'

export interface Link {
  /** Lets `effect` happen at the server and answers with what it gave. `inOrder`: as over one connection. */
  request<T>(effect: () => T, options?: { inOrder?: boolean; waitUntil?: () => number }): Promise<T>
}

/** A link of one process. What it asked for before it was killed may still arrive. */
export function createLink(scheduler: Scheduler, weather: Weather, owner: Process, dice: { chance(p: number): boolean }): Link {
  let lastArrival = 0
  let lastAnswer = 0

  function answer<T>(effect: () => T, inOrder: boolean, resolve: (value: T) => void, reject: (error: unknown) => void): void {
    if (owner.state === 'dead' && dice.chance(0.5)) return
    let settle: () => void
    try {
      const value = effect()
      settle = () => resolve(value)
    } catch (error) {
      settle = () => reject(error)
    }
    const now = scheduler.now()
    const at = Math.max(now + delayOf(weather), inOrder ? lastAnswer : 0)
    if (inOrder) lastAnswer = at
    scheduler.after(at - now, settle, owner)
  }

  return {
    request(effect, { inOrder = false, waitUntil } = {}) {
      return new Promise((resolve, reject) => {
        const now = scheduler.now()
        const at = Math.max(now + delayOf(weather), inOrder ? lastArrival : 0, waitUntil?.() ?? 0)
        if (inOrder) lastArrival = at
        scheduler.after(at - now, () => answer(effect, inOrder, resolve, reject))
      })
    },
  }
}

function delayOf(weather: Weather): number {
  const latency = weather.latencyMs()
  // Shorter than the silence after which work is taken over: a slower network is one that is down.
  return weather.chance('slow') ? latency * 15 + 300 : latency
}
