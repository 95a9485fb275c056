/**
 * Puts back tasks whose holders fell silent, of the partitions that this runner holds. What is put back stands in Postgres before its run is woken. A claim need not wait for this: it takes a task whose lease has run out.
 */
import type { Item } from './advance-loop.ts'

const LIMIT = 500

export interface LeaseWatch {
  /** Somebody has just asked Postgres, which saves asking it here. `over`: the lease of some task has run out. */
  told(over: boolean): void
  stop(): Promise<void>
}

/** Looks when it is told to, when it was told nothing for `everyMs`, and again at once while there is more. */
export function watchLeases(options: {
  expire(limit: number): Promise<{ expired: number; runs: string[] }>
  offer(items: Item[]): Promise<void>
  onExpired(count: number): void
  onError(error: unknown): void
  everyMs: number
}): LeaseWatch {
  let stopped = false
  let handle: NodeJS.Timeout | undefined
  let round: Promise<void> | undefined

  async function look(): Promise<void> {
    try {
      for (let expired = LIMIT; expired === LIMIT && !stopped; ) {
        const found = await options.expire(LIMIT)
        expired = found.expired
        if (expired > 0) options.onExpired(expired)
        if (expired > 0)
          await options.offer(found.runs.map((runId) => ({ deliveries: [{ fact: { kind: 'inbox', runId }, redelivered: false }] })))
      }
    } catch (error) {
      options.onError(error)
    }
  }

  function begin(): void {
    clearTimeout(handle)
    round ??= look().finally(() => {
      round = undefined
      schedule()
    })
  }

  function schedule(): void {
    clearTimeout(handle)
    if (!stopped) handle = setTimeout(begin, options.everyMs)
  }

  schedule()
  return {
    told(over) {
      if (stopped || round) return
      if (over) begin()
      else schedule()
    },
    async stop() {
      stopped = true
      clearTimeout(handle)
      await round
    },
  }
}
