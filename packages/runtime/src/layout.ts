/**
 * What Redis looks like from here: one server, or the masters of a cluster. Everything else asks this module, or does not need to know: pipelines
 * are spread (spread-pipelines.ts), and commands of one key find their node by themselves.
 *
 * What one read is: XREAD and XREADGROUP take the keys of one slot. On a server that is all of them; on a cluster each lane has its slot, and its
 * reads a connection of their own, to the node that has it.
 */
import { Cluster, Command, type Redis } from 'ioredis'

/** True for a cluster behind the face of a Redis. */
export function isCluster(redis: Redis): boolean {
  return clusterOf(redis) !== undefined
}

function clusterOf(redis: Redis): Cluster | undefined {
  const either: unknown = redis
  return either instanceof Cluster ? either : undefined
}

/** Streams in groups that one read may ask for: all of them, or those of one slot. */
export function readsOf(redis: Redis, streams: readonly string[]): string[][] {
  if (!isCluster(redis)) return [[...streams]]
  return [...Map.groupBy(streams, slotOf).values()]
}

/** The servers that take writes, for what is asked of a server and not of a key (INFO). Rejects when a cluster has not said which yet. */
export async function mastersOf(redis: Redis): Promise<Redis[]> {
  const cluster = clusterOf(redis)
  if (!cluster) return [redis]
  if (cluster.status !== 'ready') await cluster.ping()
  return cluster.nodes('master')
}

/** A connection for reads that block, and one to the same server that can end them. */
export interface Reader {
  reading: Redis
  commands: Redis
}

/** Gives the connection for reads of some streams of one slot, as long as it works. */
export interface ReaderSource {
  /** On a cluster it leads to the node that has the streams now: to be asked before each read. Throws once the source is closed. */
  open(streams: readonly string[]): Reader
  /** The last read failed: on a cluster the streams may be elsewhere. A server is waited for. */
  failed(): void
  close(): void
}

/** A source of connections named `name`, beside a connection for commands. */
export function createReaderSource(redis: Redis, name: string): ReaderSource {
  const cluster = clusterOf(redis)
  let current: Reader | undefined
  let closed = false
  const drop = () => {
    current?.reading.disconnect()
    current = undefined
  }
  return {
    open(streams) {
      // Whoever was in the middle of something else when it was closed would open a connection that nobody ends.
      if (closed) throw new Error('reading is over')
      current ??= cluster ? openAtNode(cluster, streams[0]!, name) : { reading: duplicate(redis, name), commands: redis }
      return current
    },
    failed() {
      if (!cluster) return
      drop()
      cluster.refreshSlotsCache()
    },
    close() {
      closed = true
      drop()
    },
  }
}

function duplicate(redis: Redis, connectionName: string, override: Parameters<Redis['duplicate']>[0] = {}): Redis {
  const options = { connectionName, socketTimeout: undefined, enableOfflineQueue: true, maxRetriesPerRequest: null, ...override }
  const reading = redis.duplicate(options as Parameters<Redis['duplicate']>[0])
  reading.on('error', () => {})
  return reading
}

/** Throws when the node is not known at the moment. A connection that breaks stays broken: the stream may be another node's then. */
function openAtNode(cluster: Cluster, stream: string, name: string): Reader {
  const owner = cluster.slots[slotOf(stream)]?.[0]
  const commands = cluster.nodes('master').find(({ options }) => `${options.host}:${options.port}` === owner)
  if (!commands) throw new Error(`no node of the cluster has ${stream} at the moment`)
  return { reading: duplicate(commands, name, { retryStrategy: () => null, lazyConnect: false }), commands }
}

function slotOf(key: string): number {
  return new Command('get', [key]).getSlot()
}
