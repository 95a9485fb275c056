/**
 * Slow work over BullMQ. A queue is defined once and used by both ends; consumers know nothing of BullMQ. Jobs are removed when they are
 * done or failed: a kept one would swallow a job that is sent again under its id.
 */
import { Queue, Worker } from 'bullmq'
import type { z } from 'zod'
import type { Logger } from './logger.ts'
import { counter, histogram } from './metrics.ts'
import { openRedis } from './redis.ts'
import { originOf } from './tracing.ts'

/** Name, shape and identity of the jobs of a queue. */
export interface QueueDefinition<Job> {
  name: string
  schema: z.ZodType<Job>
  /** Stable: adding a job whose id waits or runs does nothing. No colons, not a number. */
  id(job: Job): string
  /** Deliveries of a job that fails, the first included (3); between them a second, two, four … */
  attempts?: number
}

export interface AddOptions {
  delayMs?: number
  /** 1 is first; none is before all. */
  priority?: number
}

export interface Producer<Job> {
  /** Resolves when Redis has the job. */
  add(job: Job, options?: AddOptions): Promise<void>
  addMany(jobs: readonly Job[], options?: AddOptions): Promise<void>
  /** Jobs that wait, run or are delayed. */
  depth(): Promise<number>
  levels(): Promise<JobLevels>
  close(): Promise<void>
}

/** How many jobs there are, and for how long the one that waits longest has been there. */
export interface JobLevels {
  jobs: { waiting: number; active: number; delayed: number }
  oldestMs: number
}

export interface JobContext {
  log: Logger
  /** Aborted when the consumer is closed with force, or its grace is over. */
  signal: AbortSignal
  /** 1 at the first delivery. */
  delivery: number
}

export interface ConsumeOptions {
  redisUrl: string
  concurrency: number
  log: Logger
  /** A job that failed or whose worker died is delivered at most this often (3). What users see as retries is not this. */
  deliveriesMax?: number
  /** Called when a job failed for the last time, with its last error. */
  onGivenUp?(job: unknown, error: Error): void | Promise<void>
}

export interface Consumer {
  /** Takes no more jobs, waits up to `graceMs` for those that run, then aborts their signals and hands them back. */
  close(graceMs?: number): Promise<void>
}

/** With a hash tag: on a cluster all keys of a queue are in one slot. */
const PREFIX = '{baton}'
const ATTEMPTS = 3
/** Deliveries of a job that fails: after a second, two, four … */
const BACKOFF = { type: 'exponential', delay: 1_000 }

const added = counter('baton_jobs_added_total', 'Jobs put into a queue', ['queue'])
const finished = counter('baton_jobs_finished_total', 'Jobs that ended, by outcome', ['queue', 'outcome'])
const seconds = histogram('baton_job_seconds', 'Time a job took', ['queue'])

/** Declares a queue; the name has letters, digits, dots and dashes. */
export function defineQueue<Job>(definition: QueueDefinition<Job>): QueueDefinition<Job> {
  if (!/^[a-z][a-z0-9.-]*$/.test(definition.name))
    throw new Error(`queue name ${definition.name}: lower-case letters, digits, dots, dashes`)
  return definition
}

/** The sending end. Jobs are checked before they are sent. */
export function createProducer<Job>(queue: QueueDefinition<Job>, redisUrl: string): Producer<Job> {
  const connection = openRedis(redisUrl, { name: `baton-${queue.name}-producer`, whileAway: 'fail' })
  const bull = new Queue(queue.name, { connection, prefix: PREFIX, skipVersionCheck: true })
  bull.on('error', () => {})
  const describe = (job: Job, options: AddOptions = {}) => ({
    name: queue.name,
    data: queue.schema.parse(job),
    opts: {
      jobId: jobIdOf(queue, job),
      removeOnComplete: true,
      removeOnFail: true,
      attempts: queue.attempts ?? ATTEMPTS,
      backoff: BACKOFF,
      ...(options.delayMs ? { delay: options.delayMs } : {}),
      ...(options.priority ? { priority: options.priority } : {}),
    },
  })
  return {
    async add(job, options) {
      const { name, data, opts } = describe(job, options)
      await bull.add(name, data, opts)
      added.inc({ queue: queue.name })
    },
    async addMany(jobs, options) {
      if (jobs.length === 0) return
      await bull.addBulk(jobs.map((job) => describe(job, options)))
      added.inc({ queue: queue.name }, jobs.length)
    },
    depth: () => bull.getJobCountByTypes('waiting', 'active', 'delayed', 'prioritized'),
    levels: () => readLevels(bull),
    async close() {
      await bull.close()
      connection.disconnect()
    },
  }
}

async function readLevels(bull: Queue): Promise<JobLevels> {
  const [counts, [first]] = await Promise.all([
    bull.getJobCounts('waiting', 'prioritized', 'active', 'delayed'),
    bull.getJobs(['waiting', 'prioritized'], 0, 0, true),
  ])
  const { waiting = 0, prioritized = 0, active = 0, delayed = 0 } = counts
  return { jobs: { waiting: waiting + prioritized, active, delayed }, oldestMs: first ? Math.max(0, Date.now() - first.timestamp) : 0 }
}

function jobIdOf<Job>(queue: QueueDefinition<Job>, job: Job): string {
  const id = queue.id(job)
  if (id === '' || id.includes(':') || /^\d+$/.test(id))
    throw new Error(`job id ${id} of ${queue.name}: no colons, not a number, not empty`)
  return id
}

/** The receiving end. Handlers are idempotent: a job whose worker died comes again. */
export function consume<Job>(
  queue: QueueDefinition<Job>,
  options: ConsumeOptions,
  handler: (job: Job, context: JobContext) => Promise<void>,
): Consumer {
  const deliveriesMax = options.deliveriesMax ?? 3
  const aborting = new AbortController()
  const connection = openRedis(options.redisUrl, { name: `baton-${queue.name}-consumer`, blocking: true })
  const worker = new Worker(
    queue.name,
    async (bullJob) => {
      const endTimer = seconds.startTimer({ queue: queue.name })
      const job = queue.schema.parse(bullJob.data)
      const log = options.log.child({ queue: queue.name, job: bullJob.id, ...originOf(job as { trace?: string; requestId?: string }) })
      await handler(job, { log, signal: aborting.signal, delivery: bullJob.attemptsStarted })
      endTimer()
    },
    {
      connection,
      prefix: PREFIX,
      concurrency: options.concurrency,
      lockDuration: 15_000,
      stalledInterval: 5_000,
      maxStalledCount: deliveriesMax - 1,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      skipVersionCheck: true,
    },
  )
  worker.on('error', (error) => options.log.warn({ err: error, queue: queue.name }, 'queue connection failed'))
  worker.on('completed', () => finished.inc({ queue: queue.name, outcome: 'succeeded' }))
  worker.on('failed', (job, error) => {
    const last = !job || job.attemptsMade >= (job.opts.attempts ?? 1)
    finished.inc({ queue: queue.name, outcome: last ? 'failed' : 'retried' })
    options.log[last ? 'error' : 'warn'](
      { err: error, queue: queue.name, job: job?.id },
      last ? 'job given up' : 'job failed, will be tried again',
    )
    if (last && job) Promise.resolve(options.onGivenUp?.(job.data, error)).catch((err) => options.log.error({ err }, 'giving up failed'))
  })
  return { close: (graceMs) => closeWorker(worker, connection, aborting, graceMs ?? 20_000) }
}

/** What closing may take beyond the grace of the jobs. */
const LEAVE_MS = 2_000

async function closeWorker(worker: Worker, connection: { disconnect(): void }, aborting: AbortController, graceMs: number): Promise<void> {
  const timer = setTimeout(() => aborting.abort(new Error('the service is stopping')), graceMs)
  // BullMQ waits for a Redis that goes away meanwhile without end; a job that was held is then found stalled, and comes again.
  const late = Promise.withResolvers<void>()
  const giveUp = setTimeout(late.resolve, graceMs + LEAVE_MS)
  const closed = worker.close().finally(() => {
    clearTimeout(timer)
    clearTimeout(giveUp)
    connection.disconnect()
  })
  await Promise.race([closed, late.promise])
}
