/** Connections to Redis. */
import { Redis, type RedisOptions } from 'ioredis'

export type { Redis }

export interface RedisConnectOptions {
  /** Shown by CLIENT LIST. */
  name: string
  /**
   * What a command does while Redis is away: `wait` (default) until it is back and is then sent (again), which workers want;
   * `fail` rejects at once, which an API wants that has to answer.
   */
  whileAway?: 'wait' | 'fail'
  /** For a connection that blocks in XREADGROUP or listens by SUBSCRIBE: silence on it is no sign of a Redis that hangs. */
  blocking?: boolean
}

/** Opens a connection that comes back for ever. Never auto-pipelining (it makes an idle step slower). Errors are for `redis.on('error')`. */
export function connectRedis(url: string, options: RedisConnectOptions): Redis {
  const failing = options.whileAway === 'fail'
  const settings: RedisOptions = {
    connectionName: options.name,
    enableAutoPipelining: false,
    // 50 ms, 100 ms … at most 1 s
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times - 1, 5), 1_000),
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    maxRetriesPerRequest: failing ? 0 : null,
    enableOfflineQueue: !failing,
    connectTimeout: 5_000,
    // Commands are answered in milliseconds; a Redis that says nothing for this long hangs, and the socket is given up.
    ...(options.blocking ? {} : { socketTimeout: 10_000 }),
  }
  const redis = new Redis(url, settings)
  // Without a listener ioredis prints each failed attempt; probes and the commands themselves tell of it.
  redis.on('error', () => {})
  return redis
}
