/** BullMQ by hand, as one would without an engine: every step is a job of a flow, children before parents. There is no history in a database. */
import { Redis } from 'ioredis'
import { CALLS_AT_ONCE, FAN, type RunRequest, STEPS } from '../engine.ts'
import { createTargetCaller } from './call-target.ts'
import { connectControl, serveControl } from './control.ts'
import { loadPackage } from './load-package.ts'
import type { Peer, Place } from './peer.ts'

interface Job {
  data: { run: RunRequest; step: string }
  promote(): Promise<void>
  waitUntilFinished(events: object, timeoutMs: number): Promise<unknown>
}
interface FlowJob {
  name: string
  queueName: string
  data: unknown
  opts: Record<string, unknown>
  children?: FlowJob[]
}
interface BullMq {
  Worker: new (queue: string, process: (job: Job) => Promise<unknown>, options: object) => object
  Queue: new (queue: string, options: object) => { getJob(id: string): Promise<Job | undefined> }
  QueueEvents: new (queue: string, options: object) => { setMaxListeners(count: number): void }
  FlowProducer: new (options: object) => { add(job: FlowJob): Promise<{ job: Job }> }
}

/** The last job of each run is in this queue, so its completed jobs are the runs that are done. */
const LAST = 'last'
const STEP = 'step'
const GATE = 'gate'
const DAY_MS = 86_400_000
const ATTEMPTS = { attempts: 5, backoff: { type: 'fixed', delay: 200 }, failParentOnFailure: true }

export const bullmq: Peer = {
  title: 'BullMQ flow, by hand',
  packages: { bullmq: '6.7.0', ioredis: '6.0.0' },
  stores: ['redis'],
  durability: 'Redis AOF, written out each second: up to a second of work can be lost; no history in a database',
  work,
  async connect({ redisUrl, ports }) {
    const redis = new Redis(redisUrl!)
    const begunAt = new Map<string, number>()
    // A completed job is filed under the moment it was; only one tag is worked on at a time.
    const done = (tag: string) => redis.zcount(`bull:${LAST}:completed`, begunAt.get(tag) ?? '+inf', '+inf')
    const client = connectControl(ports[0]!, done, async () => redis.disconnect())
    const begin = (run: RunRequest) => {
      if (!begunAt.has(run.tag)) begunAt.set(run.tag, Date.now())
    }
    return {
      ...client,
      async start(run) {
        begin(run)
        await client.start(run)
      },
    }
  },
}

async function work({ folder, targetUrl, redisUrl, ports }: Place): Promise<void> {
  const { Worker, Queue, QueueEvents, FlowProducer } = await loadPackage<BullMq>(folder, 'bullmq')
  const connection = { host: '127.0.0.1', port: Number(new URL(redisUrl!).port), maxRetriesPerRequest: null }
  const call = createTargetCaller(targetUrl)
  const options = { connection, concurrency: CALLS_AT_ONCE }
  for (const queue of [STEP, LAST]) new Worker(queue, ({ data }) => call(data.run, data.step), options)
  new Worker(GATE, async () => true, options)
  const flows = new FlowProducer({ connection })
  const gates = new Queue(GATE, { connection })
  const events = new QueueEvents(LAST, { connection })
  events.setMaxListeners(0)
  await serveControl(ports[0]!, {
    start: (run) => flows.add(flowOf(run)),
    run: async (run) => (await flows.add(flowOf(run))).job.waitUntilFinished(events, DAY_MS),
    approve: async (run) => (await gates.getJob(`${run.id}.gate`))?.promote(),
  })
}

function flowOf(run: RunRequest): FlowJob {
  const job = (step: string, queueName: string, children: FlowJob[]): FlowJob => {
    const opts = { ...ATTEMPTS, jobId: `${run.id}.${step}` }
    return { name: step, queueName, data: { run, step }, opts, ...(children.length > 0 && { children }) }
  }
  if (run.workflow === 'fan') {
    return job(
      'join',
      LAST,
      Array.from({ length: FAN }, (_, index) => job(`s${index}`, STEP, [])),
    )
  }
  if (run.workflow === 'gate') {
    const gate: FlowJob = { name: GATE, queueName: GATE, data: {}, opts: { jobId: `${run.id}.gate`, delay: DAY_MS } }
    return job('s1', LAST, [job('s0', STEP, []), gate])
  }
  let chain = job('s0', STEP, [])
  for (let index = 1; index < STEPS.sequence; index++) chain = job(`s${index}`, index === STEPS.sequence - 1 ? LAST : STEP, [chain])
  return chain
}
