/** The parts of fanout, put together. */
import { CLOSE_CODES, isTerminal } from '@baton/contracts'
import {
  checkPostgres,
  checkRedis,
  connectRedis,
  createService,
  databaseUrlOf,
  type Logger,
  type RunnableService,
  startTracing,
} from '@baton/runtime'
import { connect, findApiKey, getRun, lastSeqs, listEvents, type Sql, waitForSchema } from '@baton/store'
import { createAuthenticator } from './authenticate.ts'
import { type Clients, createClients } from './clients.ts'
import type { Settings } from './config.ts'
import type { ConnectionOptions } from './connection.ts'
import type { History } from './history.ts'
import { createHub } from './hub.ts'
import { createLiveSource } from './live-source.ts'
import { createFanoutMetrics } from './metrics.ts'
import { sseRoutes } from './routes/sse.ts'
import { wsRoutes } from './routes/ws.ts'
import { watchKeys } from './watch-keys.ts'

const SCHEMA_MS_MAX = 120_000
/** Clients get this long to answer the close frame. */
const GOODBYE_MS = 3_000

/** Builds the service; it serves clients from the moment it listens. */
export async function buildApp(settings: Settings, log: Logger): Promise<RunnableService> {
  const sql = connect(databaseUrlOf(settings), { max: settings.FANOUT_DATABASE_CONNECTIONS_MAX, applicationName: 'fanout' })
  const redis = connectRedis(settings.REDIS_URL, { name: 'fanout', whileAway: 'fail' })
  await waitForSchema(sql, { timeoutMs: SCHEMA_MS_MAX, onWait: (why) => log.warn(why) })
  const tracing = await startTracing(settings, 'fanout', log)
  const app = createService({ name: 'fanout', tracing, logger: log, checks: [checkPostgres(sql), checkRedis(redis)] })
  let subscriptions = 0
  const metrics = createFanoutMetrics({
    websockets: () => clients.count('websocket'),
    streams: () => clients.count('sse'),
    subscriptions: () => subscriptions,
    runs: () => hub.runs,
  })
  const onReadFailed = reportOnce(log, metrics.readFailed)
  const hub = createHub({ history: historyOf(sql), lingerMs: settings.FANOUT_BATCH_MS, onReadFailed, onFetched: metrics.fetched })
  const source = createLiveSource({
    connect: () => connectRedis(settings.REDIS_URL, { name: 'fanout-events', blocking: true }),
    onEvents: hub.dispatch,
    onBegun: () => void hub.compare().catch(onReadFailed),
    onLag: metrics.lag,
    onFailed: onReadFailed,
  })
  const compare = repeat(settings.FANOUT_COMPARE_MS, hub.compare, onReadFailed)
  const clients = createClients({
    max: settings.FANOUT_CLIENTS_MAX,
    onFirst() {
      source.start()
      compare.start()
    },
    onLast() {
      source.stop()
      compare.stop()
    },
  })
  const findKey = (hash: string) => findApiKey(sql, Buffer.from(hash, 'hex'))
  const authenticator = createAuthenticator({ adminKey: settings.BATON_ADMIN_KEY, findKey })
  const keyWatch = watchKeys({
    redisUrl: settings.REDIS_URL,
    everyMs: settings.FANOUT_KEY_CHECK_MS,
    clients,
    authenticator,
    onFailed: onReadFailed,
  })
  const shared: Pick<ConnectionOptions, 'clients' | 'bufferBytesMax' | 'onDelivered'> = {
    clients,
    bufferBytesMax: settings.FANOUT_BUFFER_BYTES_MAX,
    onDelivered: metrics.delivered,
  }
  await wsRoutes(app, {
    ...shared,
    hub,
    authenticator,
    liveReady: source.ready,
    frameBytesMax: settings.FANOUT_FRAME_BYTES_MAX,
    subscriptionsMax: settings.FANOUT_SUBSCRIPTIONS_MAX,
    heartbeatMs: settings.FANOUT_HEARTBEAT_MS,
    onClosed: metrics.closed,
    onSubscriptions: (change) => {
      subscriptions += change
    },
    onFailed: onReadFailed,
  })
  sseRoutes(app, { ...shared, hub, authenticator, commentMs: settings.FANOUT_COMMENT_MS, onClosed: metrics.sseClosed })
  app.addHook('preClose', () => sayGoodbye(clients))
  app.addHook('onClose', async () => {
    compare.stop()
    keyWatch.stop()
    source.stop()
    redis.disconnect()
    await sql.end({ timeout: 5 })
  })
  return { app, host: settings.HOST, port: settings.PORT, redis, clients: () => clients.count('websocket') }
}

function historyOf(sql: Sql): History {
  return {
    async findRun(namespace, runId) {
      const run = await getRun(sql, namespace, runId)
      return run && { lastSeq: run.seq, ended: isTerminal(run.status) }
    },
    lastSeqs: (runIds) => lastSeqs(sql, runIds),
    listEvents: (runId, after, limit) => listEvents(sql, runId, after, limit),
  }
}

/** Closes everybody with 1012 and waits until they have gone, or are cut. */
async function sayGoodbye(clients: Clients): Promise<void> {
  clients.refuse()
  clients.closeAll(CLOSE_CODES.shutdown, 'the service restarts')
  const timer = setTimeout(clients.cutAll, GOODBYE_MS)
  await clients.gone()
  clearTimeout(timer)
}

/** From each start to the next stop: calls `action` each `everyMs`, never twice at once. */
function repeat(everyMs: number, action: () => Promise<void>, onFailed: (err: unknown) => void): { start(): void; stop(): void } {
  let busy = false
  let timer: NodeJS.Timeout | undefined
  const act = async () => {
    if (busy) return
    busy = true
    await action().catch(onFailed)
    busy = false
  }
  const stop = () => clearInterval(timer)
  return {
    start() {
      stop()
      timer = setInterval(act, everyMs)
    },
    stop,
  }
}

/** While a dependency is away the same thing fails over and over: it is counted each time and logged at most every ten seconds. */
function reportOnce(log: Logger, count: () => void): (err: unknown) => void {
  let quietUntil = 0
  return (err) => {
    count()
    if (Date.now() < quietUntil) return
    quietUntil = Date.now() + 10_000
    log.warn({ err }, 'read failed, trying again')
  }
}
