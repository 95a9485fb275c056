/** The parts of the agent-runner, put together. */
import {
  agentTurns,
  type Consumer,
  checkPostgres,
  checkRedis,
  connectRedis,
  consume,
  createFactSender,
  createService,
  databaseUrlOf,
  type Logger,
  REPLICA,
  type RunnableService,
  startTracing,
} from '@baton/runtime'
import { connect, waitForSchema } from '@baton/store'
import { askModel } from './ask-model.ts'
import { createClaims } from './claim-turn.ts'
import { pricesOf, providersOf, type Settings } from './config.ts'
import { createTurnMetrics } from './metrics.ts'
import { createModels } from './models.ts'
import { createTurnRecord } from './record-turn.ts'
import { takeTurn } from './take-turn.ts'

const SCHEMA_MS_MAX = 120_000
/** Of the 25 s that a service has to end: turns may finish, then what is left is handed back. */
const GRACE_MS = 15_000
const RECORD_GRACE_MS = 22_000

/** Builds the service; it takes turns from the moment it listens. */
export async function buildApp(settings: Settings, log: Logger): Promise<RunnableService> {
  const sql = connect(databaseUrlOf(settings), { applicationName: 'agent-runner', max: 5 })
  const redis = connectRedis(settings.REDIS_URL, { name: 'agent-runner', whileAway: 'fail' })
  const facts = createFactSender(redis)
  await waitForSchema(sql, { timeoutMs: SCHEMA_MS_MAX, onWait: (why) => log.warn(why) })
  const tracing = await startTracing(settings, 'agent-runner', log)
  const app = createService({ name: 'agent-runner', tracing, logger: log, checks: [checkPostgres(sql), checkRedis(redis)] })
  // The SDK would print its warnings beside the log.
  globalThis.AI_SDK_LOG_WARNINGS = false
  const models = createModels(providersOf(settings), pricesOf(settings))
  const metrics = createTurnMetrics()
  const leaving = new AbortController()
  const record = createTurnRecord({
    sql,
    facts,
    log,
    inlineBytesMax: settings.BATON_INLINE_PAYLOAD_BYTES_MAX,
    outputBytesMax: settings.BATON_STEP_OUTPUT_BYTES_MAX,
    signal: leaving.signal,
  })
  const claims = createClaims({ redis, replica: REPLICA, ttlMs: settings.AGENT_CLAIM_MS, log })
  let consumer: Consumer | undefined
  app.addHook('preClose', async () => {
    const timer = setTimeout(() => leaving.abort(new Error('the service is stopping')), RECORD_GRACE_MS)
    await consumer?.close(GRACE_MS)
    clearTimeout(timer)
  })
  app.addHook('onClose', async () => {
    await facts.close()
    await sql.end({ timeout: 5 })
    redis.disconnect()
  })
  const onListening = () => {
    consumer = consume(agentTurns, { redisUrl: settings.REDIS_URL, concurrency: settings.AGENT_CONCURRENCY, log }, (turn, context) =>
      takeTurn(turn, {
        record,
        claims,
        metrics,
        tracing,
        log: context.log,
        signal: context.signal,
        ask: (job, signal) => askModel(job, models, signal),
      }),
    )
    log.info({ providers: models.providers }, 'taking turns')
  }
  return { app, host: settings.HOST, port: settings.PORT, redis, onListening }
}
