/** Before a call that may be late or doubled is made: does nobody else make it, is it not answered, still wanted, and has it not cost too many workers? */
import { GROUPS, keys } from '@baton/contracts'
import { isGroupLost, type Redis } from '@baton/runtime'
import type { HeldCall } from './held-calls.ts'
import { INFLIGHT_TTL_MS, type Mark } from './keep-alive.ts'

export type Claim = 'ours' | 'unwanted' | 'answered' | 'held elsewhere' | 'too many crashes'

/** How long losses of workers are remembered. */
const CRASHES_TTL_S = 3_600
/** An answer that took longer tells how things stood some time ago, as after Postgres was away: it is asked again. */
const FRESH_MS = 50
const ASKS_MAX = 5

export interface ClaimOptions {
  redis: Redis
  consumer: string
  /** Its result is on its way to Postgres. */
  isAnswered(held: HeldCall): Promise<boolean>
  /** The "still wanted?" query of the store. */
  isWanted(held: HeldCall): Promise<boolean>
  crashesMax: number
}

/**
 * The order closes every gap: once the key is ours nobody else begins, and whoever had it before has sent the result; a result goes from its
 * stream to Postgres, so what is not found in the one and then still wanted by the other has none.
 *
 * Losses are counted per call, not per entry, and at the moment a redelivered call is about to be started: a call that was merely waiting in a
 * worker that died has lost it nothing (one that is not wanted any more is forgotten with its count). The first start is not written down, so the
 * count at the n-th start after a loss is n.
 *
 * `since.at` becomes the moment for which the answer holds.
 */
export async function claimCall(held: HeldCall, options: ClaimOptions, since?: Mark): Promise<Claim> {
  const { redis, consumer } = options
  // While our word of an earlier claim stands nobody else begins: they leave it to us, whoever has the entry by now.
  const isKept = held.announced && (await redis.get(keys.inflight(held.id))) === consumer
  if (!isKept && held.entry.doubtful && (await isGone(held, redis, consumer))) return 'held elsewhere'
  if (!(await takeKey(held, redis, consumer))) return 'held elsewhere'
  held.announced = true
  if (held.entry.from !== undefined) held.losses ??= await countLoss(held, redis)
  for (let asks = 1; ; asks++) {
    const askedAt = performance.now()
    if (since) since.at = askedAt
    if (await options.isAnswered(held)) return 'answered'
    if (!(await options.isWanted(held))) return 'unwanted'
    if (performance.now() - askedAt < FRESH_MS || asks === ASKS_MAX) break
  }
  return held.losses !== undefined && held.losses >= options.crashesMax ? 'too many crashes' : 'ours'
}

async function countLoss(held: HeldCall, redis: Redis): Promise<number> {
  const key = keys.crashes(held.id)
  const [[, losses]] = (await redis.multi().incr(key).expire(key, CRASHES_TTL_S).exec()) as [[null, number]]
  return losses
}

/** Announces the call as ours, unless another worker has. Whoever held the entry in silence until it was taken from them does not count any more. */
async function takeKey(held: HeldCall, redis: Redis, consumer: string): Promise<boolean> {
  const key = keys.inflight(held.id)
  const holder = await redis.set(key, consumer, 'PX', INFLIGHT_TTL_MS, 'NX', 'GET')
  if (holder === null || holder === consumer) return true
  if (holder !== held.entry.from) return false
  await redis.set(key, consumer, 'PX', INFLIGHT_TTL_MS)
  return true
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
