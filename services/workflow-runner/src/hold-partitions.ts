/**
 * Leases on partitions, in Redis: for warmth of caches and to spare double work, never for safety (the fence of the commit is that). Partitions
 * are shared evenly over the runners that live; a runner that dies loses its leases after `leaseMs`, one that comes back under the same name has
 * them at once.
 */
import { keys, PARTITION_COUNT } from '@baton/contracts'
import type { Redis } from '@baton/runtime'

const RENEW = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end`
const RELEASE = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end`

/** Says that this runner lives and counts those that do, by Redis' clock: a killed one stops counting when its leases end, not later. */
const COUNT = `
  local time = redis.call('time')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('zadd', KEYS[1], now, ARGV[1])
  redis.call('zremrangebyscore', KEYS[1], '-inf', now - ARGV[2])
  return redis.call('zcard', KEYS[1])`

export interface PartitionHolder {
  held(): number[]
  /** Renews what is held, takes what is free, gives up what is over the fair share. Tells whether anything changed. */
  tend(): Promise<boolean>
  release(): Promise<void>
}

/** A holder of leases under the name of this replica. */
export function holdPartitions(redis: Redis, replica: string, leaseMs: number): PartitionHolder {
  let held: number[] = []

  async function tend(): Promise<boolean> {
    const before = held.join()
    const runners = await renew()
    const share = Math.ceil(PARTITION_COUNT / Math.max(1, runners))
    for (const partition of held.slice(share)) await redis.eval(RELEASE, 1, keys.lease(partition), replica)
    held = held.slice(0, share)
    if (held.length < share) await takeFree(share)
    return held.join() !== before
  }

  /** Renews what is held, and counts the runners that live. */
  async function renew(): Promise<number> {
    const pipeline = redis.pipeline().eval(COUNT, 1, keys.runners, replica, leaseMs)
    for (const partition of held) pipeline.eval(RENEW, 1, keys.lease(partition), replica, leaseMs)
    const [[error, runners], ...renewed] = (await pipeline.exec()) as [[Error | null, unknown], ...[Error | null, unknown][]]
    if (error) throw error
    held = held.filter((_, i) => renewed[i]?.[1] === 1)
    return Number(runners)
  }

  async function takeFree(share: number): Promise<void> {
    const others = Array.from({ length: PARTITION_COUNT }, (_, partition) => partition).filter((partition) => !held.includes(partition))
    const owners = await Promise.all(others.map((partition) => redis.get(keys.lease(partition))))
    for (const [i, partition] of others.entries()) {
      if (held.length >= share) break
      const mine = owners[i] === replica
      if (!mine && owners[i] !== null) continue
      const taken = mine || (await redis.set(keys.lease(partition), replica, 'PX', leaseMs, 'NX')) === 'OK'
      if (taken) held.push(partition)
    }
    held.sort((a, b) => a - b)
  }

  async function release(): Promise<void> {
    for (const partition of held) await redis.eval(RELEASE, 1, keys.lease(partition), replica)
    await redis.zrem(keys.runners, replica)
    held = []
  }

  return { held: () => held, tend, release }
}
