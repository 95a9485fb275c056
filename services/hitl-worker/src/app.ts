/** The parts of the hitl-worker, put together. */
import {
  type Consumer,
  checkPostgres,
  checkRedis,
  connectRedis,
  consume,
  createFactSender,
  createOutbound,
  createProducer,
  createService,
  databaseUrlOf,
  type Logger,
  notifications,
  type RunnableService,
  startTracing,
} from '@baton/runtime'
import { connect, readPendingApprovals, waitForSchema } from '@baton/store'
import type { Settings } from './config.ts'
import { repeat, requeueUnnotified, wakeOverdue } from './keep-watch.ts'
import { createNotifyMetrics } from './metrics.ts'
import { notifyApproval } from './notify-approval.ts'
import { createNotifyDeps, createWatchDeps } from './notify-deps.ts'

const SCHEMA_MS_MAX = 120_000
/** Of the 25 s that a service has to end. */
const GRACE_MS = 15_000
const OVERDUE_EVERY_MS = 5_000

/** Builds the service; it takes notifications from the moment it listens. */
export async function buildApp(settings: Settings, log: Logger): Promise<RunnableService> {
  const sql = connect(databaseUrlOf(settings), { applicationName: 'hitl-worker', max: 5 })
  const redis = connectRedis(settings.REDIS_URL, { name: 'hitl-worker', whileAway: 'fail' })
  const facts = createFactSender(redis)
  const outbound = createOutbound({ allow: settings.BATON_HTTP_ALLOW })
  const producer = createProducer(notifications, settings.REDIS_URL)
  await waitForSchema(sql, { timeoutMs: SCHEMA_MS_MAX, onWait: (why) => log.warn(why) })
  const tracing = await startTracing(settings, 'hitl-worker', log)
  const app = createService({ name: 'hitl-worker', tracing, logger: log, checks: [checkPostgres(sql), checkRedis(redis)] })
  const metrics = createNotifyMetrics(() => readPendingApprovals(sql))
  const deps = createNotifyDeps({ sql, redis, outbound, settings, metrics, tracing })
  const watch = createWatchDeps({ sql, facts, producer, metrics, log })
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
