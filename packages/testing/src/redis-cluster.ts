import { findFreePort } from '@baton/embedded'
import { launchRedis, type RedisNode, redisFolder, untilFollowing } from './launch-redis.ts'
import type { Teardown } from './test-database.ts'
import { until } from './until.ts'

/** Three masters with a replica each. */
export interface RedisCluster {
  url: string
  nodes: readonly RedisNode[]
  /** The master that has the slot of a key now. */
  masterOf(key: string): Promise<RedisNode>
}

const SLOTS = 16_384
const MASTERS = 3
const NODE_TIMEOUT_MS = 1_000
/** Given for a password that is asked for, also between the nodes. */
export interface ClusterOptions {
  password?: string
}

/** Starts a cluster of six servers on free ports and waits until it serves; it ends with the test. */
export async function redisCluster(t: Teardown, options: ClusterOptions = {}): Promise<RedisCluster> {
  const folder = redisFolder(t)
  const login = options.password === undefined ? '' : `:${options.password}@`
  const nodes = await Promise.all(Array.from({ length: 2 * MASTERS }, () => launchNode(t, folder, options.password, login)))
  const [first, ...others] = nodes
  for (const [index, node] of nodes.entries()) await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
  for (const node of others) await node.ask('CLUSTER', 'MEET', '127.0.0.1', first!.port, first!.busPort)
  await until(async () => (await Promise.all(nodes.map(knownNodes))).every((known) => known === nodes.length), {
    timeoutMs: 20_000,
    what: 'the nodes of the cluster to know each other',
  })
  for (const [index, node] of nodes.slice(0, MASTERS).entries()) {
    const [from, to] = [Math.ceil((SLOTS * index) / MASTERS), Math.ceil((SLOTS * (index + 1)) / MASTERS) - 1]
    await node.ask('CLUSTER', 'ADDSLOTSRANGE', from, to)
    await nodes[index + MASTERS]!.ask('CLUSTER', 'REPLICATE', String(await node.ask('CLUSTER', 'MYID')))
  }
  await Promise.all(nodes.slice(MASTERS).map(untilFollowing))
  await untilServing(nodes)
  return {
    url: `redis+cluster://${login}${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    masterOf: (key) => masterOf(nodes, key),
  }
}

async function launchNode(
  t: Teardown,
  folder: string,
  password: string | undefined,
  login: string,
): Promise<RedisNode & { busPort: number }> {
  const busPort = await findFreePort()
  const lines = (port: number) => [
    `port ${port}`,
    'cluster-enabled yes',
    `cluster-port ${busPort}`,
    `cluster-node-timeout ${NODE_TIMEOUT_MS}`,
    'cluster-replica-validity-factor 0',
    'repl-diskless-sync-delay 0',
    'save ""',
    'maxmemory-policy noeviction',
    ...(password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`]),
  ]
  return { ...(await launchRedis(t, folder, lines, { login })), busPort }
}

async function knownNodes(node: RedisNode): Promise<number> {
  return String(await node.ask('CLUSTER', 'NODES'))
    .split('\n')
    .filter((line) => line !== '' && !line.includes('handshake')).length
}

async function untilServing(nodes: readonly RedisNode[]): Promise<void> {
  const serves = async (node: RedisNode) => {
    const slots = (await node.ask('CLUSTER', 'SLOTS')) as unknown[][]
    return (
      slots.length === MASTERS &&
      slots.every((range) => range.length === 4) &&
      String(await node.ask('CLUSTER', 'INFO')).includes('cluster_state:ok')
    )
  }
  await until(async () => (await Promise.all(nodes.map(serves))).every(Boolean), { timeoutMs: 20_000, what: 'the cluster to serve' })
}

async function masterOf(nodes: readonly RedisNode[], key: string): Promise<RedisNode> {
  for (const node of nodes) {
    try {
      const slot = Number(await node.ask('CLUSTER', 'KEYSLOT', key))
      const slots = (await node.ask('CLUSTER', 'SLOTS')) as [number, number, [string, number]][]
      const range = slots.find(([from, to]) => from <= slot && slot <= to)
      const master = nodes.find(({ port }) => port === range?.[2][1])
      if (master) return master
    } catch {
      // This one is dead: another knows too.
    }
  }
  throw new Error(`nobody knows who has ${key}`)
}
