/** Waiting for the end of all runs, while somebody looks for those that nothing can move. */
import type { BatonClient, Run } from '@baton/client'
import { until } from '@baton/testing'

export const OPEN = ['queued', 'running', 'waiting', 'paused'] as const

/** Who has not moved for this long is asked about. */
const STILL_MS = 10_000
/** CONTRACT §6: every open run goes on within this, so what was lost is found by then. */
const STUCK_MS_MAX = 30_000
const LOOK_MS = 1_000

/** What there was to see. */
export interface Waited {
  /** False when the time was over before. */
  ended: boolean
  /** Runs that were said to be stuck for too long, though they may have gone on later; and those that were at the end of a wait in vain. */
  stuck: string[]
}

/** Resolves when no run is open any more, or the time is over; `now` is in milliseconds. */
export async function waitForEnd(client: BatonClient, timeoutMs: number, now: () => number = Date.now): Promise<Waited> {
  const { look, tooLong } = lookForStuck(() => client.runs.stuck({ forMs: STILL_MS }), now)
  let lookedAt = now()
  const isOver = async () => {
    if (now() - lookedAt >= LOOK_MS) {
      await look()
      lookedAt = now()
    }
    return (await client.runs.count({ status: OPEN })) === 0
  }
  const ended = await until(isOver, { timeoutMs, what: 'all runs to end' }).then(
    () => true,
    () => false,
  )
  const left = ended ? [] : await look()
  return { ended, stuck: [...new Set([...tooLong, ...left])] }
}

/** Each look gives those that are stuck now. `tooLong` are those that have been for some time, without a look that did not name them. */
function lookForStuck(ask: () => Promise<Run[]>, now: () => number) {
  let since = new Map<string, number>()
  const tooLong = new Set<string>()
  async function look(): Promise<string[]> {
    const ids = (await ask()).map(({ id }) => id)
    since = new Map(ids.map((id) => [id, since.get(id) ?? now()]))
    for (const [id, at] of since) if (now() - at >= STUCK_MS_MAX) tooLong.add(id)
    return ids
  }
  return { look, tooLong }
}
