/** A gate as the service opens it, with the bounds that a test wants. */
import { connectRedis, createLogger } from '@baton/runtime'
import { type Teardown, until } from '@baton/testing'
import { createBreakers } from '../src/breakers.ts'
import { createHostGate, type HostGate } from '../src/host-gate.ts'
import { createRateBuckets } from '../src/rate-buckets.ts'
import { parseRateLimits } from '../src/rate-limits.ts'
import { createWaitingRoom } from '../src/waiting-room.ts'

export interface GateOptions {
  failures?: number
  waitMs?: number
  overdueMax?: number
  limits?: string
  calls?: number
  bytes?: number
}

/** Its connection stands when this resolves: until then a worker would keep limits by itself. */
export async function openGate(t: Teardown, redisUrl: string, options: GateOptions = {}): Promise<HostGate> {
  const redis = connectRedis(redisUrl, { name: 'test-rate', whileAway: 'fail' })
  t.teardown(() => redis.disconnect())
  await until(() => redis.status === 'ready')
  const log = createLogger({ name: 'test', level: process.env.LOG_LEVEL ?? 'silent' })
  const { failures = 3, waitMs = 60_000, overdueMax = 2, limits = '', calls = 1_000, bytes = 10_000_000 } = options
  const room = createWaitingRoom({ calls, bytes })
  const breakers = failures === 0 ? undefined : createBreakers({ room, log, failures, waitMs, overdueMax })
  return createHostGate({ room, breakers, limits: parseRateLimits(limits), buckets: createRateBuckets(redis, log) })
}
