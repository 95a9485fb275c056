/** Many clients that only listen: what each of them costs a fanout, and that it still hears them and they still hear it. */
import { setTimeout as delay } from 'node:timers/promises'
import { cpuMsOf, memoryOf } from '../processes.ts'
import type { Figures } from '../statistics.ts'
import { untilAllHave } from './measure-delivery.ts'
import type { Publisher } from './publish-events.ts'
import { startCrowd } from './start-crowd.ts'
import { ADMIN_KEY, type LiveStack } from './start-fanout.ts'

/** How much is measured. */
export interface IdleSizes {
  clients: number
  /** Runs that they follow, each an equal share. */
  runs: number
  heartbeatMs: number
}

const CONNECTS_AT_ONCE = 100
/** After two heartbeats without an answer the third one ends a client; so long nobody may be ended who answers. */
const ROUNDS = 4
const MS_PER_SECOND = 1_000

/** Connects them, leaves them alone for some heartbeats, then has each of them answered a ping and told an event. */
export async function measureIdle(stack: LiveStack, publisher: Publisher, sizes: IdleSizes): Promise<Figures> {
  const replica = await stack.startReplica({ FANOUT_HEARTBEAT_MS: String(sizes.heartbeatMs), FANOUT_CLIENTS_MAX: String(sizes.clients) })
  const crowd = startCrowd()
  const memory = () => memoryOf(new Map([['fanout', replica.pid]])).get('fanout')?.pss ?? Number.NaN
  const cpuMs = () => cpuMsOf(new Map([['fanout', replica.pid]])).get('fanout') ?? Number.NaN
  try {
    const runs = await publisher.createRuns(sizes.runs)
    const before = memory()
    const connectedAt = performance.now()
    await crowd.tell({ do: 'open', port: replica.port, token: ADMIN_KEY, count: sizes.clients, atOnce: CONNECTS_AT_ONCE })
    await crowd.tell({ do: 'subscribe', topics: runs.map(({ topic }) => topic), after: 1, batch: false })
    const connectSeconds = (performance.now() - connectedAt) / MS_PER_SECOND
    const cpuBefore = cpuMs()
    const idleMs = ROUNDS * sizes.heartbeatMs
    await delay(idleMs)
    const idleCores = (cpuMs() - cpuBefore) / idleMs
    const bytesPerClient = (memory() - before) / sizes.clients
    const { open, longestMs } = await crowd.tell({ do: 'ping' })
    if (open < sizes.clients) throw new Error(`only ${open} of ${sizes.clients} idle clients were still connected`)
    for (const run of runs) await publisher.publish(run, 1)
    await untilAllHave(crowd, 2)
    return { clients: open, connectSeconds, bytesPerClient, idleCores, longestPongMs: longestMs }
  } finally {
    await crowd.stop()
  }
}
