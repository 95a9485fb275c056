/**
 * One pipeline to its callers, one for each node of a cluster on the wire. Commands keep their order within a slot, and their replies stand where
 * they do on a single server. A command that a node refused without executing it is sent again where it belongs by now; one whose outcome is
 * unknown is left to the caller, as on a single server.
 */
import { type ChainableCommander, type Cluster, Command, type Redis } from 'ioredis'

type Reply = [error: Error | null, result: unknown]

interface Sent {
  name: string
  args: unknown[]
  /** By which its slot is found; undefined for a command that any node takes. */
  slot: number | undefined
  reply: Reply
}

/** Takes several keys and tells of how many; on a cluster each key may be another node's. */
const COUNTING = new Set(['del', 'unlink', 'exists'])
const REFUSED = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN) |slots allocation group|^the cluster is not reached/
const UNKNOWN = 'the cluster is not reached'
const RETRY_MS = 100
const FAILING_TRIES_MAX = 5

/** Gives the cluster as a Redis whose pipelines may hold keys of any slot. */
export function spreadPipelines(cluster: Cluster, whileAway: 'wait' | 'fail'): Redis {
  const open = cluster.pipeline.bind(cluster) as () => ChainableCommander
  const triesMax = whileAway === 'fail' ? FAILING_TRIES_MAX : Number.POSITIVE_INFINITY
  cluster.pipeline = () => createPipeline((commands) => sendAll(cluster, open, commands, triesMax))
  return cluster as unknown as Redis
}

/** Records commands until `exec`. Whatever ioredis' pipelines can be told, this one can. */
function createPipeline(send: (commands: Sent[]) => Promise<void>): ChainableCommander {
  const calls: Sent[][] = []
  const own = {
    get length() {
      return calls.length
    },
    async exec(): Promise<Reply[]> {
      await send(calls.flat())
      return calls.map(replyOf)
    },
  }
  const pipeline: ChainableCommander = new Proxy(own, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name)
      if (typeof name !== 'string' || name === 'then') return undefined
      return (...args: unknown[]) => {
        calls.push(COUNTING.has(name) ? args.flat().map((key) => createCommand(name, [key])) : [createCommand(name, args)])
        return pipeline
      }
    },
  }) as unknown as ChainableCommander
  return pipeline
}

function createCommand(name: string, args: unknown[]): Sent {
  const command = new Command(name, args as string[])
  return { name, args, slot: command.getKeys().length > 0 ? command.getSlot() : undefined, reply: [new Error('not sent'), undefined] }
}

/** Of one call: its command's, or the sum of those that it was taken apart into. */
function replyOf(parts: readonly Sent[]): Reply {
  if (parts.length === 1) return parts[0]!.reply
  const failed = parts.find(({ reply }) => reply[0] !== null)
  return failed ? failed.reply : [null, parts.reduce((sum, { reply }) => sum + (reply[1] as number), 0)]
}

async function sendAll(cluster: Cluster, open: () => ChainableCommander, commands: Sent[], triesMax: number): Promise<void> {
  for (let tries = 1, left = commands; left.length > 0; tries++) {
    await sendOnce(cluster, open, left, triesMax)
    left = left.filter(({ reply }) => reply[0] !== null && REFUSED.test(reply[0].message))
    if (left.length === 0 || tries >= triesMax || cluster.status === 'end') return
    cluster.refreshSlotsCache()
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
  }
}

async function sendOnce(cluster: Cluster, open: () => ChainableCommander, commands: readonly Sent[], triesMax: number): Promise<void> {
  try {
    if (cluster.slots.length === 0) await knowSlots(open, triesMax)
  } catch (error) {
    for (const command of commands) command.reply = [error as Error, undefined]
    return
  }
  await Promise.all([...groupByNode(cluster, commands)].map((group) => sendGroup(open, group)))
}

/** Before the cluster has said which node has which slot, nothing can be grouped. */
async function knowSlots(open: () => ChainableCommander, triesMax: number): Promise<void> {
  if (Number.isFinite(triesMax)) throw new Error(UNKNOWN)
  await open()
    .exec()
    .catch((cause: unknown) => {
      throw new Error(UNKNOWN, { cause })
    })
}

/** Commands for one node in one group. ioredis takes only slots that have the same nodes, the replicas included. */
function groupByNode(cluster: Cluster, commands: readonly Sent[]): Iterable<Sent[]> {
  const nodesOf = ({ slot }: Sent) => (slot === undefined ? '' : (cluster.slots[slot]?.join(';') ?? String(slot)))
  const groups = Map.groupBy(commands, nodesOf)
  // What any node takes goes along with others.
  const anywhere = groups.get('')
  if (anywhere === undefined || groups.size === 1) return groups.values()
  groups.delete('')
  const [first] = groups.values()
  first!.push(...anywhere)
  return groups.values()
}

async function sendGroup(open: () => ChainableCommander, group: readonly Sent[]): Promise<void> {
  const pipeline = open() as unknown as Record<string, (...args: unknown[]) => unknown> & Pick<ChainableCommander, 'exec'>
  for (const { name, args } of group) pipeline[name]!(...args)
  try {
    const replies = (await pipeline.exec()) ?? []
    for (const [index, command] of group.entries()) command.reply = replies[index] ?? [new Error('no reply'), undefined]
  } catch (error) {
    for (const command of group) command.reply = [error as Error, undefined]
  }
}
