/** Before a call that may be late or doubled is made: does nobody else make it, is it not answered, still wanted, and has it not cost too many workers? */
import { GROUPS, keys } from '@baton/contracts'
import { isGroupLost, type Redis } from '@baton/runtime'
import type { HeldCall } from './held-calls.ts'
import { NOBODY, say, wordOf } from './inflight-words.ts'
import type { Mark } from './keep-alive.ts'

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
  const isGone = held.entry.doubtful && (await isEntryGone(held, redis, consumer))
  if (!(await takeKey(held, redis, consumer, isGone))) return 'held elsewhere'
  held.announced = true
  if (held.from.length > 0) held.losses ??= await countLoss(held, redis)
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

/**
 * Announces the call as ours, unless another worker has. Whoever held the entry in silence until it was taken from them does not count any more.
 * Of an entry that is gone only what our word still stands for is ours: others who met it have left the call to us, or will.
 */
async function takeKey(held: HeldCall, redis: Redis, consumer: string, isGone: boolean): Promise<boolean> {
  const ours = [wordOf(consumer, false), wordOf(consumer, true)]
  const instead = isGone ? ours : [...ours, NOBODY, ...held.from.map((consumer) => wordOf(consumer, false))]
  const isOurs = await say(redis, held.id, wordOf(consumer, isGone), instead)
  held.apart = isOurs && isGone
  return isOurs
}

/** True when the entry is another's by now, or was acknowledged by another: its calls are answered, even if that is not recorded yet. */
async function isEntryGone(held: HeldCall, redis: Redis, consumer: string): Promise<boolean> {
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
