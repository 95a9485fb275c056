/** Composition root: what is opened here is closed here. */
import { createHash } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import {
  checkPostgres,
  checkRedis,
  connectRedis,
  createCallbackTokens,
  createOutbound,
  createService,
  databaseUrlOf,
  LIFE,
  type Logger,
  REPLICA,
  type Redis,
  type RunnableService,
  startTracing,
} from '@baton/runtime'
import {
  clock,
  connect,
  createSecretBox,
  isCallWanted,
  isUnknownOutcome,
  putBlobs,
  SecretUnreadable,
  type Sql,
  waitForSchema,
} from '@baton/store'
import { createAnswerRoom } from './answer-room.ts'
import { createBreakers } from './breakers.ts'
import { type CallHttpOptions, callHttp } from './call-http.ts'
import { createCallbackAddresses } from './callback-addresses.ts'
import type { Settings } from './config.ts'
import { SecretUnknown } from './fill-secrets.ts'
import { hearEndings } from './hear-endings.ts'
import { createHostGate, type HostGate } from './host-gate.ts'
import { type KeepTryingOptions, keepTrying } from './keep-trying.ts'
import { observeAnswers, observeHeld, observeHosts } from './metrics.ts'
import { createTokenSource } from './oauth2-tokens.ts'
import { createRateBuckets } from './rate-buckets.ts'
import { createSecretsCache, type ReadSecrets } from './secrets-cache.ts'
import { type CallTaker, type TakeCallsOptions, takeCalls } from './take-calls.ts'
import { traceCalls } from './trace-call.ts'
import { createWaitingRoom } from './waiting-room.ts'

const SCHEMA_MS_MAX = 120_000
const CLOCK_EVERY_MS = 5_000
const CLOCK_ANSWER_MS_MAX = 250
/** The slots that calls of one host that fails may take after they have waited for it: one in so many. */
const OVERDUE_SHARE = 4

/** Builds the service; it takes calls from the moment it listens. */
export async function buildApp(settings: Settings, log: Logger): Promise<RunnableService> {
  const sql = connect(databaseUrlOf(settings), { applicationName: 'http-worker', max: settings.HTTP_WORKER_DATABASE_CONNECTIONS_MAX })
  await waitForSchema(sql, { timeoutMs: SCHEMA_MS_MAX, onWait: (why) => log.warn(why) })
  const redis = connectRedis(settings.REDIS_URL, { name: 'http-worker' })
  const endings = hearEndings(
    connectRedis(settings.REDIS_URL, { name: 'http-worker-endings', blocking: true }),
    settings.HTTP_WORKER_ASK_AFTER_MS,
  )
  const probing = connectRedis(settings.REDIS_URL, { name: 'http-worker-probe', whileAway: 'fail' })
  const outbound = createOutbound({ allow: settings.BATON_HTTP_ALLOW })
  const tracing = await startTracing(settings, 'http-worker', log)
  const app = createService({ name: 'http-worker', tracing, logger: log, checks: [checkPostgres(sql), checkRedis(probing)] })
  const time = await followClock(sql)
  let leaving = false
  // Reading and storing wait for Postgres: the call itself is made only once.
  const patience = { log, leaving: () => leaving, passes: isUnknownOutcome }
  const gate = openGate(settings, probing, log)
  const calling = { ...callOptions(settings, sql, outbound, patience), pace: gate.pace }
  let taker: CallTaker | undefined

  function onListening(): void {
    taker = takeCalls({
      redis,
      ...nameAmongWorkers(settings),
      log,
      concurrency: settings.HTTP_WORKER_CONCURRENCY,
      askAfterMs: settings.HTTP_WORKER_ASK_AFTER_MS,
      takeoverMs: settings.HTTP_WORKER_TAKEOVER_MS,
      crashesMax: settings.HTTP_WORKER_CRASHES_MAX,
      isWanted: ({ call }) => isCallWanted(sql, call),
      isEnding: endings.isEnding,
      now: time.now,
      gate,
      makeCall: traceCalls((call, mayBegin) => callHttp(call, { ...calling, mayBegin }), { tracing, log }),
    })
    observeHeld(taker)
  }

  app.addHook('preClose', async () => {
    await taker?.stop(settings.HTTP_WORKER_GRACE_MS)
    leaving = true
  })
  app.addHook('onClose', async () => {
    time.stop()
    await outbound.close()
    endings.stop()
    redis.disconnect()
    probing.disconnect()
    await sql.end({ timeout: 2 })
  })
  return { app, host: settings.HOST, port: settings.PORT, redis: probing, onListening }
}

/**
 * Who has the port has succeeded everybody who had it before: those have ended. A port is one's own within a network namespace of a kernel; where
 * that has no name, nobody is succeeded.
 */
function nameAmongWorkers({ HOST, PORT }: Settings): Pick<TakeCallsOptions, 'consumer' | 'isEarlierLife'> {
  const network = networkName()
  if (PORT === 0 || network === undefined) return { consumer: REPLICA }
  const place = `${hostname()}-${network}-${HOST}-${PORT}-`
  const consumer = place + LIFE
  return { consumer, isEarlierLife: (other) => other.startsWith(place) && other !== consumer }
}

/** The same for all processes that share their ports, until the machine is started again; only Linux tells. */
function networkName(): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
    const namespace = readlinkSync('/proc/self/ns/net')
    return createHash('sha256').update(`${boot} ${namespace}`).digest('hex').slice(0, 12)
  } catch {
    return undefined
  }
}

/** `redis` fails while Redis is away. */
function openGate(settings: Settings, redis: Redis, log: Logger): HostGate {
  const room = createWaitingRoom({ calls: settings.HTTP_WORKER_WAITING_MAX, bytes: settings.HTTP_WORKER_WAITING_BYTES_MAX })
  const failures = settings.HTTP_WORKER_BREAKER_FAILURES
  const breakers =
    failures === 0
      ? undefined
      : createBreakers({
          room,
          log,
          failures,
          waitMs: settings.HTTP_WORKER_BREAKER_WAIT_MS,
          overdueMax: Math.ceil(settings.HTTP_WORKER_CONCURRENCY / OVERDUE_SHARE),
        })
  const gate = createHostGate({ room, breakers, limits: settings.HTTP_WORKER_RATE_LIMITS, buckets: createRateBuckets(redis, log) })
  observeHosts(breakers, gate.waitingForRate)
  return gate
}

function callOptions(settings: Settings, sql: Sql, outbound: CallHttpOptions['outbound'], patience: KeepTryingOptions): CallHttpOptions {
  const room = createAnswerRoom(settings.HTTP_WORKER_ANSWER_BYTES_MAX)
  observeAnswers(room)
  const box = createSecretBox(settings.BATON_MASTER_KEY)
  const read: ReadSecrets = (namespace, names) =>
    keepTrying(() => box.readSecrets(sql, namespace, names), patience).catch((error: unknown) => {
      throw error instanceof SecretUnreadable ? new SecretUnknown(error.secret, 'cannot be opened with this master key') : error
    })
  return {
    outbound,
    tokens: createTokenSource(outbound),
    room,
    readSecrets: createSecretsCache(read, settings.HTTP_WORKER_SECRETS_CACHE_MS),
    callbackOf: createCallbackAddresses(settings.BATON_PUBLIC_URL, createCallbackTokens(settings.BATON_MASTER_KEY)),
    putBlob: (namespace, id, json) => keepTrying(() => putBlobs(sql, namespace, new Map([[id, json]])), patience),
    limits: {
      pagesMax: settings.HTTP_WORKER_PAGES_MAX,
      responseBytesMax: settings.HTTP_WORKER_RESPONSE_BYTES_MAX,
      inlineBytesMax: settings.BATON_INLINE_PAYLOAD_BYTES_MAX,
      outputBytesMax: settings.BATON_STEP_OUTPUT_BYTES_MAX,
    },
  }
}

/** A call says when it was committed by the clock of Postgres; ours may differ, so the difference is measured. An answer that took long says little. */
async function followClock(sql: Sql): Promise<{ now(): number; stop(): void }> {
  const local = () => performance.timeOrigin + performance.now() // nobody sets it
  let offsetMs: number | undefined
  const measure = async () => {
    const before = local()
    const theirs = await clock(sql)
    const after = local()
    if (offsetMs === undefined || after - before < CLOCK_ANSWER_MS_MAX) offsetMs = theirs - (before + after) / 2
  }
  await measure()
  const timer = setInterval(() => measure().catch(() => {}), CLOCK_EVERY_MS)
  timer.unref()
  return { now: () => local() + (offsetMs ?? 0), stop: () => clearInterval(timer) }
}
