/** Remembers the latest events, so that a live topic gives each at most once though a runner may publish it again after a crash. */

/** Events of each of the two generations that are kept. */
const GENERATION_MAX = 20_000

/** Tells whether an event was asked about before; it forgets all but the latest 20 000 to 40 000. */
export function createSeenEvents(): { before(event: { runId: string; seq: number }): boolean } {
  let young = new Set<string>()
  let old = new Set<string>()
  return {
    before(event) {
      const id = `${event.runId}/${event.seq}`
      if (young.has(id) || old.has(id)) return true
      young.add(id)
      if (young.size >= GENERATION_MAX) {
        old = young
        young = new Set()
      }
      return false
    },
  }
}
