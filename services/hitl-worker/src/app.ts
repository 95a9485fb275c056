/** The parts of the hitl-worker, put together. */
import { type Approval, idOf } from '@baton/contracts'
import {
  AddressRefused,
  type Consumer,
  checkPostgres,
  checkRedis,
  connectRedis,
  consume,
  createFactSender,
  createOutbound,
  createProducer,
  createService,
  type Logger,
  notifications,
  type Redis,
  type RunnableService,
} from '@baton/runtime'
import {
  type ApprovalRow,
  connect,
  createSecretBox,
  findApproval,
  findOverdue,
  findUnnotified,
  markNotified,
  waitForSchema,
} from '@baton/store'
import type { Settings } from './config.ts'
import { repeat, requeueUnnotified, type WatchDeps, wakeOverdue } from './keep-watch.ts'
import { createNotifyMetrics } from './metrics.ts'
import { type NotifyDeps, notifyApproval, type Progress, Refused, type Unnotified } from './notify-approval.ts'
import type { Message } from './render-message.ts'

const SCHEMA_MS_MAX = 120_000
const GRACE_MS = 15_000
const ANSWER_BYTES_MAX = 1024 * 1024
const OVERDUE_EVERY_MS = 5_000
const PROGRESS_SECONDS = 7 * 24 * 3_600

/** Builds the service; it takes notifications from the moment it listens. */
export async function buildApp(settings: Settings, log: Logger): Promise<RunnableService> {
  const sql = connect(settings.DATABASE_URL, { applicationName: 'hitl-worker', max: 5 })
  const redis = connectRedis(settings.REDIS_URL, { name: 'hitl-worker', whileAway: 'fail' })
  const facts = createFactSender(redis)
  const outbound = createOutbound({ allow: settings.BATON_HTTP_ALLOW })
  const producer = createProducer(notifications, settings.REDIS_URL)
  const box = createSecretBox(settings.BATON_MASTER_KEY)
  await waitForSchema(sql, { timeoutMs: SCHEMA_MS_MAX })
  const app = createService({ name: 'hitl-worker', logger: log, checks: [checkPostgres(sql), checkRedis(redis)] })
  const metrics = createNotifyMetrics()
  const deps: Omit<NotifyDeps, 'log' | 'signal'> = {
    find: async (approvalId) => unnotifiedOf(await findApproval(sql, approvalId)),
    secrets: (namespace, names) => box.readSecrets(sql, namespace, names),
    post: (message, signal) => post(outbound, message, settings.HITL_TIMEOUT_MS, signal),
    markNotified: async (approvalId) => void (await markNotified(sql, approvalId)),
    progress: createProgress(redis),
    publicUrl: settings.BATON_PUBLIC_URL,
    metrics,
  }
  const watch: WatchDeps = {
    unnotified: async (olderThanMs, limit) =>
      (await findUnnotified(sql, olderThanMs, limit)).map(({ trace, ...job }) => ({ ...job, ...(trace === null ? {} : { trace }) })),
    overdue: (byMs, limit) => findOverdue(sql, byMs, limit),
    enqueue: (jobs) => producer.addMany(jobs),
    send: (fact) => facts.send(fact),
    metrics,
    log,
  }
  let consumer: Consumer | undefined
  const rounds: { stop(): Promise<void> }[] = []
  const onListening = () => {
    consumer = consume(notifications, { redisUrl: settings.REDIS_URL, concurrency: settings.HITL_CONCURRENCY, log }, (job, context) =>
      notifyApproval(job, { ...deps, log: context.log, signal: context.signal }),
    )
    rounds.push(repeat(() => requeueUnnotified(watch, settings.HITL_RENOTIFY_MS), settings.HITL_RENOTIFY_MS, log))
    rounds.push(
      repeat(
        () => wakeOverdue(watch, settings.HITL_OVERDUE_MS),
        Math.min(OVERDUE_EVERY_MS, settings.HITL_OVERDUE_MS || OVERDUE_EVERY_MS),
        log,
      ),
    )
  }
  app.addHook('preClose', async () => {
    await Promise.all([consumer?.close(GRACE_MS), ...rounds.map((round) => round.stop())])
  })
  app.addHook('onClose', async () => {
    await Promise.all([facts.close(), producer.close(), outbound.close()])
    await sql.end({ timeout: 5 })
    redis.disconnect()
  })
  return { app, host: settings.HOST, port: settings.PORT, redis, onListening }
}

/** The row in the shape that people see, if somebody is still to be told of it. */
function unnotifiedOf(row: ApprovalRow | undefined): Unnotified | undefined {
  if (row?.status !== 'pending' || row.notifiedAt !== null || row.notify === null) return undefined
  const { title, description, data, form, options, assignees, quorum, decision } = row
  const approval: Approval = {
    id: idOf('approval', row.id),
    run: idOf('run', row.runId),
    step: row.path,
    status: row.status,
    ...{ title, description, data, form, options, assignees, quorum, decision },
    decisions: [],
    createdAt: new Date(row.createdAt).toISOString(),
    deadline: row.deadline === null ? null : new Date(row.deadline).toISOString(),
  }
  return { approval, notify: row.notify, notifySecrets: row.notifySecrets }
}

async function post(
  outbound: ReturnType<typeof createOutbound>,
  message: Message,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<number> {
  const { url, headers, body } = message
  try {
    const request = { method: 'POST', headers, body: JSON.stringify(body), timeoutMs, signal, bytesMax: ANSWER_BYTES_MAX }
    // A redirect is an answer that is no success: where people are told is written in the definition.
    return (await outbound.request(url, { ...request, redirect: 'manual' })).status
  } catch (error) {
    // Its message names the host, which may be part of a secret.
    if (error instanceof AddressRefused) throw new Refused(`the address may not be called: ${error.reason}`)
    throw error
  }
}

/** Progress in Redis, forgotten with it: then a channel is told again under the same Idempotency-Key. */
function createProgress(redis: Redis): Progress {
  const keyOf = (approvalId: string) => `notified:${approvalId}`
  return {
    done: async (approvalId) => new Set((await redis.smembers(keyOf(approvalId))).map(Number)),
    async add(approvalId, channel) {
      await redis.multi().sadd(keyOf(approvalId), channel).expire(keyOf(approvalId), PROGRESS_SECONDS).exec()
    },
  }
}
