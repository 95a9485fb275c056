/** Before a call that may be late or doubled is made: is it still wanted, does nobody else make it, and has it not cost too many workers? */
import { GROUPS, keys } from '@baton/contracts'
import { isGroupLost, type Redis } from '@baton/runtime'
import type { HeldCall } from './held-calls.ts'
import { INFLIGHT_TTL_MS } from './keep-alive.ts'

export type Claim = 'ours' | 'unwanted' | 'held elsewhere' | 'too many crashes'

/** How long losses of workers are remembered. */
const CRASHES_TTL_S = 3_600

export interface ClaimOptions {
  redis: Redis
  consumer: string
  /** The "still wanted?" query of the store. */
  isWanted(held: HeldCall): Promise<boolean>
  crashesMax: number
}

/**
 * Losses are counted per call, not per entry, and at the moment a redelivered call is about to be started: a call that was merely waiting in a
 * worker that died has lost it nothing. The first start is not written down, so the count at the n-th start after a loss is n.
 */
export async function claimCall(held: HeldCall, options: ClaimOptions): Promise<Claim> {
  const { redis, consumer } = options
  if (held.entry.doubtful && (await isGone(held, redis, consumer))) return 'held elsewhere'
  const key = keys.inflight(held.id)
  if (!(await options.isWanted(held))) {
    // Whoever makes it answers for it: in a run that is ending, a call in flight is still recorded.
    const maker = await redis.get(key)
    return maker === null || maker === consumer || maker === held.entry.from ? 'unwanted' : 'held elsewhere'
  }
  const holder = await redis.set(key, consumer, 'PX', INFLIGHT_TTL_MS, 'NX', 'GET')
  if (holder !== null && holder !== consumer) {
    // Whoever held the entry in silence until it was taken from them does not count any more.
    if (holder !== held.entry.from) return 'held elsewhere'
    await redis.set(key, consumer, 'PX', INFLIGHT_TTL_MS)
  }
  held.announced = true
  if (held.entry.from === undefined) return 'ours'
  const [[, losses]] = (await redis.multi().incr(keys.crashes(held.id)).expire(keys.crashes(held.id), CRASHES_TTL_S).exec()) as [
    [null, number],
  ]
  return losses >= options.crashesMax ? 'too many crashes' : 'ours'
}

/** True when the entry is another's by now, or was acknowledged by another: its calls are answered, even if that is not recorded yet. */
async function isGone(held: HeldCall, redis: Redis, consumer: string): Promise<boolean> {
  const { entry } = held
  try {
    const rows = (await redis.xpending(entry.stream, GROUPS.calls, entry.id, entry.id, 1)) as [id: string, consumer: string][]
    entry.lost = rows[0]?.[1] !== consumer
    return entry.lost
  } catch (error) {
    // Redis was emptied: nobody has it but us.
    if (isGroupLost(error)) return false
    throw error
  }
}
