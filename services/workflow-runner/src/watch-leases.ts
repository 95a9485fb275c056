/**
 * Puts back tasks whose holders fell silent, of the partitions that this runner holds. What is put back stands in Postgres before its run is woken. A claim need not wait for this: it takes a task whose lease has run out.
 */
import type { Item } from './advance-loop.ts'

const LIMIT = 500

/** Looks each `everyMs`, and again at once while there is more. */
export function watchLeases(options: {
  expire(limit: number): Promise<{ expired: number; runs: string[] }>
  offer(items: Item[]): Promise<void>
  onExpired(count: number): void
  onError(error: unknown): void
  everyMs: number
}): { stop(): Promise<void> } {
  let stopped = false
  let handle: NodeJS.Timeout | undefined
  let round: Promise<void> = Promise.resolve()

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
    if (!stopped) schedule()
  }

  function schedule(): void {
    handle = setTimeout(() => {
      round = look()
    }, options.everyMs)
  }

  schedule()
  return {
    async stop() {
      stopped = true
      clearTimeout(handle)
      await round
    },
  }
}
