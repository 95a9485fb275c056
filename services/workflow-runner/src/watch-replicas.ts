/** How many replicas of a service live, by their heartbeats. */
import { Heartbeat, keys } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

const DEAD_AFTER_MS = 15_000

export interface Replicas {
  /** Replicas of the service that were seen lately; at least 1. */
  count(service: string): number
  look(): Promise<void>
}

/** Reads the heartbeats when asked to look. */
export function watchReplicas(redis: Redis): Replicas {
  let counts = new Map<string, number>()
  return {
    count: (service) => Math.max(1, counts.get(service) ?? 1),
    async look() {
      const entries = Object.values(await redis.hgetall(keys.replicas))
      counts = new Map()
      for (const text of entries) {
        const beat = Heartbeat.safeParse(JSON.parse(text))
        if (!beat.success || Date.now() - beat.data.at > DEAD_AFTER_MS) continue
        counts.set(beat.data.service, (counts.get(beat.data.service) ?? 0) + 1)
      }
    },
  }
}
