/** Messages a second to many clients of one topic: fanout, unbatched and with batch, and plain `ws`. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { cpuMsOf } from '../processes.ts'
import type { Figures } from '../statistics.ts'
import { type GrowingRun, nextEvents, type Publisher } from './publish-events.ts'
import { type Crowd, startCrowd } from './start-crowd.ts'
import { ADMIN_KEY } from './start-fanout.ts'

/** How much is measured. */
export interface DeliverySizes {
  clients: number
  warmUpMs: number
  measureMs: number
}

/** Something that brings events to clients. `publish` resolves when the events are on their way. */
export interface Subject {
  pid: number
  port: number
  publish(run: GrowingRun, count: number): Promise<void>
}

/** Published and not yet with everybody: so much keeps a server busy, and is far below what fanout lets wait for a client. */
const IN_FLIGHT = 128
/** Events of one commit under load. */
const AT_ONCE = 8
/** Between two events when each goes by itself, at a rate that both servers have time for. */
const PACE_MS = 25
const CONNECTS_AT_ONCE = 100
const LOOK_MS = 5
const MS_PER_SECOND = 1_000

/** The plain server, as a process that ends with this one. */
export async function startPlainServer(): Promise<Subject & { stop(): Promise<void> }> {
  const child = fork(join(import.meta.dirname, 'plain-ws.ts'), { execArgv: ['--conditions=@baton/source', '--no-warnings'] })
  const gone = once(child, 'exit')
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    pid: child.pid!,
    port,
    publish(run, count) {
      return new Promise((resolve, reject) => {
        child.send({ topic: run.topic, events: nextEvents(run, count) }, (error) => (error ? reject(error) : resolve()))
      })
    },
    async stop() {
      if (child.connected) child.disconnect()
      await gone
    },
  }
}

/** A fanout that is fed through the stores. */
export function fanoutSubject({ pid, port }: { pid: number; port: number }, publisher: Publisher): Subject {
  return { pid, port, publish: publisher.publish }
}

/**
 * Connects clients and has events published, as fast as they are taken (`perSecond`, `cpuMsPerThousand`) and then one by one at a fixed rate
 * (`singlyCpuMsPerThousand`). Rejects when an event was lost or came twice. CPU time is that of the server's process alone.
 */
export async function measureDelivery(subject: Subject, run: GrowingRun, batch: boolean, sizes: DeliverySizes): Promise<Figures> {
  const crowd = startCrowd()
  try {
    await crowd.tell({ do: 'open', port: subject.port, token: ADMIN_KEY, count: sizes.clients, atOnce: CONNECTS_AT_ONCE })
    await crowd.tell({ do: 'subscribe', topics: [run.topic], after: run.seq, batch })
    const busy = await whilePublishing(publishFast(subject, crowd, run, sizes.clients), () => sample(subject, crowd, sizes))
    await untilAllHave(crowd, run.seq)
    const singly = await whilePublishing(publishSingly(subject, run), () => sample(subject, crowd, sizes))
    await untilAllHave(crowd, run.seq)
    return { ...busy, singlyPerSecond: singly.perSecond!, singlyCpuMsPerThousand: singly.cpuMsPerThousand! }
  } finally {
    await crowd.stop()
  }
}

/** Publishes once and resolves when the next may follow. */
type Publish = () => Promise<unknown>

function publishFast(subject: Subject, crowd: Crowd, run: GrowingRun, clients: number): Publish {
  const from = run.seq
  return async () => {
    const more = crowd.more()
    if (run.seq - from - crowd.delivered() / clients < IN_FLIGHT) await subject.publish(run, AT_ONCE)
    else await more
  }
}

function publishSingly(subject: Subject, run: GrowingRun): Publish {
  let dueAt = performance.now()
  return async () => {
    dueAt += PACE_MS
    await subject.publish(run, 1)
    await delay(Math.max(0, dueAt - performance.now()))
  }
}

/** Publishes until the work is done. */
export async function whilePublishing<T>(publish: Publish, work: () => Promise<T>): Promise<T> {
  let stopped = false
  const flow = (async () => {
    while (!stopped) await publish()
  })()
  const failed = flow.then(() => new Promise<never>(() => {}))
  failed.catch(() => {}) // the race is told
  try {
    return await Promise.race([work(), failed])
  } finally {
    stopped = true
    await flow
  }
}

async function sample(subject: Subject, crowd: Crowd, { warmUpMs, measureMs }: DeliverySizes): Promise<Figures> {
  const look = () => ({
    ...{ delivered: crowd.delivered(), at: performance.now() },
    cpu: cpuMsOf(new Map(Object.entries({ server: subject.pid, clients: crowd.pid }))),
  })
  await delay(warmUpMs)
  const before = look()
  await delay(measureMs)
  const after = look()
  const seconds = (after.at - before.at) / MS_PER_SECOND
  const delivered = after.delivered - before.delivered
  const spent = (name: string) => (after.cpu.get(name) ?? 0) - (before.cpu.get(name) ?? 0)
  return {
    perSecond: delivered / seconds,
    cpuMsPerThousand: (spent('server') / delivered) * 1_000,
    serverCores: spent('server') / seconds / MS_PER_SECOND,
    clientCores: spent('clients') / seconds / MS_PER_SECOND,
  }
}

/** Waits until the last client has the last event, and looks whether any was lost or doubled. */
export async function untilAllHave(crowd: Crowd, seq: number, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const { least, lost, doubled } = await crowd.tell({ do: 'count' })
    if (lost > 0 || doubled > 0) throw new Error(`${lost} events were lost and ${doubled} came twice`)
    if (least === seq) return
    if (performance.now() > deadline) throw new Error(`a client has events up to ${least} only, of ${seq}`)
    await delay(LOOK_MS)
  }
}
