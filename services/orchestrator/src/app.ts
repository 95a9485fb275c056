/** Composition root: what is opened here is closed here. */
import { keys } from '@baton/contracts'
import {
  type CallbackTokens,
  checkPostgres,
  checkRedis,
  createCallbackTokens,
  createLogger,
  createService,
  directUrlOf,
  type FactSender,
  type Logger,
  type ProblemException,
  type Redis,
  type RunnableService,
  startTracing,
  type Tracing,
  VERSION,
} from '@baton/runtime'
import { countOpenRuns, createSecretBox, readBacklog, readOpenTasks, type SecretBox, type Sql, waitForSchema } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { guardRoutes } from './access.ts'
import type { Settings } from './config.ts'
import { type Connections, openConnections } from './connections.ts'
import { createFindEnded } from './find-ended.ts'
import { createKeyCache, type KeyCache } from './find-key.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { migrateDatabase } from './migrate-database.ts'
import { openTriggers, type Triggers } from './open-triggers.ts'
import { documentApi } from './openapi.ts'
import { createPlanCache, type GetPlan } from './plan-cache.ts'
import { readQueues, readRedisMemory, readStreams } from './read-levels.ts'
import { apiKeyRevokeRoutes, apiKeyRoutes } from './routes/api-keys.ts'
import { approvalRoutes, decisionRoutes } from './routes/approvals.ts'
import { auditRoutes } from './routes/audit.ts'
import { callbackRoutes } from './routes/callbacks.ts'
import { customEventRoutes } from './routes/custom-events.ts'
import { definitionRoutes } from './routes/definitions.ts'
import { forkRoutes } from './routes/fork-runs.ts'
import { hookRoutes } from './routes/hooks.ts'
import { patchRoutes } from './routes/patch-runs.ts'
import { reopenRoutes } from './routes/reopen-runs.ts'
import { eventRoutes, stepRoutes, viewRoutes, whyRoutes } from './routes/run-history.ts'
import { controlRoutes, runRoutes } from './routes/runs.ts'
import { scheduleChangeRoutes, scheduleRoutes } from './routes/schedules.ts'
import { secretChangeRoutes, secretRoutes } from './routes/secrets.ts'
import { batchRoutes, startRoutes } from './routes/start-runs.ts'
import { statusRoutes } from './routes/status.ts'
import { claimRoutes, taskRoutes, workRoutes } from './routes/tasks.ts'
import { triggerChangeRoutes, triggerRoutes } from './routes/triggers.ts'
import { varChangeRoutes, varRoutes } from './routes/vars.ts'
import { tagRoutes, versionRoutes, workflowRoutes } from './routes/workflows.ts'
import { createRunStates, type FoldRun } from './run-states.ts'
import { createRunWaiters, type RunWaiters } from './run-waiters.ts'
import { createShowRun, type ShowRun } from './show-run.ts'
import { createRunStarter, type RunStarter } from './start-runs.ts'
import { createLoadWhole, type LoadWhole } from './whole-runs.ts'

const WAITERS_CHECK_MS = 1_000
const SCHEMA_MS_MAX = 120_000

/** What routes are given. */
export interface Deps extends Triggers {
  settings: Settings
  tracing: Tracing
  sql: Sql
  redis: Redis
  facts: FactSender
  metrics: Metrics
  keyCache: KeyCache
  secretBox: SecretBox
  callbackTokens: CallbackTokens
  getPlan: GetPlan
  foldRun: FoldRun
  loadWhole: LoadWhole
  starter: RunStarter
  waiters: RunWaiters
  showRun: ShowRun
  queues: Connections['queues']
}

const ROUTES: readonly ((app: FastifyInstance, deps: Deps) => void)[] = [
  statusRoutes,
  definitionRoutes,
  workflowRoutes,
  versionRoutes,
  tagRoutes,
  startRoutes,
  batchRoutes,
  runRoutes,
  controlRoutes,
  reopenRoutes,
  forkRoutes,
  patchRoutes,
  eventRoutes,
  viewRoutes,
  whyRoutes,
  stepRoutes,
  approvalRoutes,
  decisionRoutes,
  taskRoutes,
  claimRoutes,
  workRoutes,
  apiKeyRoutes,
  apiKeyRevokeRoutes,
  secretRoutes,
  secretChangeRoutes,
  varRoutes,
  varChangeRoutes,
  customEventRoutes,
  scheduleRoutes,
  scheduleChangeRoutes,
  triggerRoutes,
  triggerChangeRoutes,
  hookRoutes,
  callbackRoutes,
  auditRoutes,
]

/** Migrates, connects, and declares every route. The caller listens and closes. */
export async function buildApp(settings: Settings): Promise<RunnableService> {
  const logger = createLogger({ name: 'orchestrator', level: settings.LOG_LEVEL })
  const awayMsMax = settings.BATON_MIGRATE_AWAY_MS_MAX
  if (settings.BATON_MIGRATE_AT_START) await migrateDatabase(directUrlOf(settings), { awayMsMax }, logger)
  const connections = openConnections(settings)
  await waitForSchema(connections.sql, { timeoutMs: SCHEMA_MS_MAX, onWait: (why) => logger.warn(why) })
  const tracing = await startTracing(settings, 'orchestrator', logger)
  const app = createService({
    name: 'orchestrator',
    logger,
    checks: [checkPostgres(connections.sql), checkRedis(connections.redis)],
    bodyLimit: settings.BATON_BODY_BYTES_MAX,
    onProblem: nameLimit,
    tracing,
  })
  // Bodies and queries are judged by addRoute, after 404, 403 and 409.
  app.setValidatorCompiler(() => (value) => ({ value }))
  const deps = createDeps(settings, connections, tracing, logger)
  connections.listen({
    [keys.ended]: (text) => deps.waiters.tell(text.split(',')),
    [keys.revoked]: (text) => deps.keyCache.forget(text),
  })
  letGoWhenClosing(app, deps.waiters)
  app.addHook('preClose', () => deps.timeKeeper.stop())
  app.addHook('onClose', () => connections.close())
  await declareRoutes(app, deps)
  await connections.settle()
  return { app, host: settings.HOST, port: settings.PORT, redis: connections.redis }
}

function createDeps(settings: Settings, { sql, redis, facts, queues }: Connections, tracing: Tracing, logger: Logger): Deps {
  const metrics = createMetrics({
    waiters: () => waiters.size(),
    openRuns: () => countOpenRuns(sql),
    openTasks: () => readOpenTasks(sql),
    backlog: () => readBacklog(sql),
    streams: () => readStreams(redis),
    queues: () => readQueues(queues),
    redisMemory: () => readRedisMemory(redis),
  })
  const waiters = createRunWaiters({
    findEnded: createFindEnded(sql),
    waitersMax: settings.BATON_WAITERS_MAX,
    checkMs: WAITERS_CHECK_MS,
    onRefused: () => metrics.waitersRefused.inc(),
    onError: (err) => logger.warn({ err }, 'ended runs could not be looked for'),
  })
  const getPlan = createPlanCache({ sql, bytesMax: settings.BATON_PLAN_CACHE_BYTES_MAX })
  const foldLimits = { foldEventsMax: settings.BATON_FOLD_EVENTS_MAX, cacheEventsMax: settings.BATON_STATE_CACHE_EVENTS_MAX }
  const startLimits = { groupRunsMax: settings.BATON_START_GROUP_RUNS_MAX, groupsMax: settings.BATON_START_GROUPS_MAX }
  const starter = createRunStarter({ sql, facts, metrics, ...startLimits })
  return {
    ...openTriggers({ settings, sql, facts, metrics, starter, getPlan, log: logger }),
    settings,
    tracing,
    sql,
    redis,
    facts,
    queues,
    metrics,
    waiters,
    getPlan,
    starter,
    keyCache: createKeyCache({ sql, ttlMs: settings.BATON_KEY_CACHE_MS }),
    secretBox: createSecretBox(settings.BATON_MASTER_KEY),
    callbackTokens: createCallbackTokens(settings.BATON_MASTER_KEY),
    loadWhole: createLoadWhole({ getPlan, foldEventsMax: settings.BATON_FOLD_EVENTS_MAX }),
    foldRun: createRunStates({ sql, getPlan, ...foldLimits }),
    showRun: createShowRun({ sql, waiters }),
  }
}

/** A body that is too large is told which setting says so. */
function nameLimit(error: ProblemException, request: FastifyRequest): void {
  if (error.code !== 'BTN_TOO_LARGE' || !error.cause) return
  const name = request.routeOptions?.config?.limitName ?? 'BATON_BODY_BYTES_MAX'
  error.message = `the body is larger than this route takes (${name})`
}

async function declareRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  guardRoutes(app, { adminKey: deps.settings.BATON_ADMIN_KEY, findKey: deps.keyCache.find })
  await documentApi(app, VERSION)
  for (const declare of ROUTES) declare(app, deps)
}

/** While it closes, who waits is answered. */
function letGoWhenClosing(app: FastifyInstance, waiters: RunWaiters): void {
  app.addHook('preClose', (done) => {
    waiters.close()
    done()
  })
}
