/**
 * Which runs have begun to end, as runners tell it: their calls that stand in the queue are asked about before they are made. It is a hint alone,
 * which Redis may lose: Postgres has the word, and a call that is old is asked about in any case.
 */
import { keys } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

export interface Endings {
  isEnding(runId: string): boolean
  stop(): void
}

/** Listens on a connection of its own. What was heard is kept for `keepMs`, in which a call gets old enough to be asked about by its age. */
export function hearEndings(redis: Redis, keepMs: number): Endings {
  const heardAt = new Map<string, number>()
  redis.on('message', (_channel: string, ids: string) => {
    const now = performance.now()
    for (const [runId, at] of heardAt) {
      if (now - at < keepMs) break
      heardAt.delete(runId)
    }
    for (const runId of ids.split(',')) heardAt.set(runId, now)
  })
  // Without Redis there is nothing to hear; the subscription is made again with the connection.
  redis.subscribe(keys.ending).catch(() => {})
  return { isEnding: (runId) => heardAt.has(runId), stop: () => redis.disconnect() }
}
