import { launchRedis, type RedisNode, redisFolder, untilFollowing } from './launch-redis.ts'
import type { Teardown } from './test-database.ts'
import { until } from './until.ts'

/** A master, its replica, and three sentinels of which two must agree. */
export interface RedisSentinels {
  url: string
  /** As it was at the start. */
  master: RedisNode
  replica: RedisNode
  /** The port of the master that the sentinels name now. */
  masterPort(): Promise<number>
}

const NAME = 'baton-master'
const DOWN_AFTER_MS = 1_000

/** Starts all five on free ports and waits until the sentinels know each other; they end with the test. */
export async function redisSentinels(t: Teardown, options: { password?: string } = {}): Promise<RedisSentinels> {
  const folder = redisFolder(t)
  const { password } = options
  const login = password === undefined ? '' : `:${password}@`
  const secrets = password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]
  const lines = (port: number) => [`port ${port}`, 'save ""', 'maxmemory-policy noeviction', 'repl-diskless-sync-delay 0', ...secrets]
  const master = await launchRedis(t, folder, lines, { login })
  const replica = await launchRedis(t, folder, (port) => [...lines(port), `replicaof 127.0.0.1 ${master.port}`], { login })
  await untilFollowing(replica)
  const watching = (port: number) => [
    `port ${port}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${master.port} 2`,
    `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
    `sentinel failover-timeout ${NAME} 10000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${NAME} ${password}`]),
  ]
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => launchRedis(t, folder, watching, { sentinel: true })))
  await until(async () => (await Promise.all(sentinels.map(knowsAll))).every(Boolean), {
    timeoutMs: 20_000,
    what: 'the sentinels to know all',
  })
  return {
    url: `redis+sentinel://${login}${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`,
    ...{ master, replica },
    async masterPort() {
      const [, port] = (await sentinels[0]!.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as [string, string]
      return Number(port)
    },
  }
}

async function knowsAll(sentinel: RedisNode): Promise<boolean> {
  const flat = (await sentinel.ask('SENTINEL', 'MASTER', NAME)) as string[]
  const field = (name: string) => Number(flat[flat.indexOf(name) + 1])
  return field('num-slaves') === 1 && field('num-other-sentinels') === 2
}
