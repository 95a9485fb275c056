/** Composition root: what is opened here is closed here. */
import { keys } from '@baton/contracts'
import {
  agentTurns,
  checkPostgres,
  checkRedis,
  connectRedis,
  createFactSender,
  createLogger,
  createProducer,
  createService,
  type FactSender,
  notifications,
  type Producer,
  type Redis,
  type RunnableService,
  VERSION,
} from '@baton/runtime'
import { connect, createSecretBox, getRunsByIds, migrate, type SecretBox, type Sql } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { guardRoutes } from './access.ts'
import type { Settings } from './config.ts'
import { createKeyCache, type KeyCache } from './find-key.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { documentApi } from './openapi.ts'
import { createPlanCache, type GetPlan } from './plan-cache.ts'
import { apiKeyRoutes } from './routes/api-keys.ts'
import { approvalRoutes, decisionRoutes } from './routes/approvals.ts'
import { definitionRoutes } from './routes/definitions.ts'
import { eventRoutes, stepRoutes, viewRoutes } from './routes/run-history.ts'
import { controlRoutes, runRoutes } from './routes/runs.ts'
import { secretRoutes } from './routes/secrets.ts'
import { startRoutes } from './routes/start-runs.ts'
import { statusRoutes } from './routes/status.ts'
import { varRoutes } from './routes/vars.ts'
import { workflowRoutes } from './routes/workflows.ts'
import { createRunStates, type FoldRun } from './run-states.ts'
import { createRunWaiters, type RunWaiters } from './run-waiters.ts'
import { createShowRun, type ShowRun } from './show-run.ts'
import { createRunStarter, type RunStarter } from './start-runs.ts'

const WAITERS_CHECK_MS = 1_000

/** What routes are given. */
export interface Deps {
  settings: Settings
  sql: Sql
  redis: Redis
  facts: FactSender
  metrics: Metrics
  keyCache: KeyCache
  secretBox: SecretBox
  getPlan: GetPlan
  foldRun: FoldRun
  starter: RunStarter
  waiters: RunWaiters
  showRun: ShowRun
  queues: Record<string, Pick<Producer<unknown>, 'depth'>>
}

/** Migrates, connects, and declares every route. The caller listens and closes. */
export async function buildApp(settings: Settings): Promise<RunnableService> {
  const logger = createLogger({ name: 'orchestrator', level: settings.LOG_LEVEL })
  const { applied } = await migrate(settings.DATABASE_URL)
  if (applied.length > 0) logger.info({ applied }, 'migrations applied')

  const sql = connect(settings.DATABASE_URL, { max: settings.BATON_POSTGRES_CONNECTIONS_MAX, applicationName: 'orchestrator' })
  const redis = connectRedis(settings.REDIS_URL, { name: 'orchestrator', whileAway: 'fail' })
  const subscriber = connectRedis(settings.REDIS_URL, { name: 'orchestrator-subscriber', blocking: true })
  const queues = {
    'agent-turns': createProducer(agentTurns, settings.REDIS_URL),
    notifications: createProducer(notifications, settings.REDIS_URL),
  }
  const facts = createFactSender(redis)
  const app = createService({
    name: 'orchestrator',
    logger,
    checks: [checkPostgres(sql), checkRedis(redis)],
    bodyLimit: settings.BATON_BODY_BYTES_MAX,
    onProblem: (error, request) => {
      const name = request.routeOptions?.config?.limitName ?? 'BATON_BODY_BYTES_MAX'
      if (error.code === 'BTN_TOO_LARGE' && error.cause) error.message = `the body is larger than this route takes (${name})`
    },
  })
  // Bodies and queries are judged by addRoute, after 404, 403 and 409.
  app.setValidatorCompiler(() => (value) => ({ value }))

  const waiters = createRunWaiters({
    findEnded: async (ids) => (await getRunsByIds(sql, ids)).filter((run) => run.endedAt !== null).map((run) => run.id),
    waitersMax: settings.BATON_WAITERS_MAX,
    checkMs: WAITERS_CHECK_MS,
    onError: (err) => logger.warn({ err }, 'ended runs could not be looked for'),
  })
  const keyCache = createKeyCache({ sql, ttlMs: settings.BATON_KEY_CACHE_MS })
  await listen(subscriber, { [keys.ended]: (text) => waiters.tell(text.split(',')), [keys.revoked]: (text) => keyCache.forget(text) })

  app.addHook('preClose', async () => waiters.close())
  app.addHook('onClose', async () => {
    await facts.close()
    await Promise.all([sql.end({ timeout: 5 }), ...Object.values(queues).map((queue) => queue.close())])
    subscriber.disconnect()
    redis.disconnect()
  })

  const metrics = createMetrics({ waiters: waiters.size })
  const getPlan = createPlanCache({ sql, bytesMax: settings.BATON_PLAN_CACHE_BYTES_MAX })
  await declareRoutes(app, {
    settings,
    sql,
    redis,
    facts,
    metrics,
    keyCache,
    secretBox: createSecretBox(settings.BATON_MASTER_KEY),
    getPlan,
    foldRun: createRunStates({
      sql,
      getPlan,
      foldEventsMax: settings.BATON_FOLD_EVENTS_MAX,
      cacheEventsMax: settings.BATON_STATE_CACHE_EVENTS_MAX,
    }),
    starter: createRunStarter({
      sql,
      facts,
      metrics,
      groupRunsMax: settings.BATON_START_GROUP_RUNS_MAX,
      groupsMax: settings.BATON_START_GROUPS_MAX,
    }),
    waiters,
    showRun: createShowRun({ sql, waiters }),
    queues,
  })
  return { app, host: settings.HOST, port: settings.PORT, redis }
}

async function declareRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  guardRoutes(app, { adminKey: deps.settings.BATON_ADMIN_KEY, findKey: deps.keyCache.find })
  await documentApi(app, VERSION)
  statusRoutes(app, deps)
  definitionRoutes(app, deps)
  workflowRoutes(app, deps)
  startRoutes(app, deps)
  runRoutes(app, deps)
  controlRoutes(app, deps)
  eventRoutes(app, deps)
  viewRoutes(app, deps)
  stepRoutes(app, deps)
  approvalRoutes(app, deps)
  decisionRoutes(app, deps)
  apiKeyRoutes(app, deps)
  secretRoutes(app, deps)
  varRoutes(app, deps)
}

/** Hears pub/sub channels, also after Redis was away. What is said meanwhile is lost: nobody may rely on it. */
async function listen(subscriber: Redis, heard: Record<string, (text: string) => void>): Promise<void> {
  subscriber.on('message', (channel, text) => heard[channel]?.(text))
  // Waits in the queue of the connection while Redis is away: the service starts nevertheless.
  subscriber.subscribe(...Object.keys(heard)).catch(() => {})
}
