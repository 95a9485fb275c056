/** The life of a service: build, listen, beat, and on SIGTERM hand back what it holds and exit 0. */

import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { collectWhenIdle } from './collect-when-idle.ts'
import { startHeartbeat } from './heartbeat.ts'
import { createLogger, type Logger } from './logger.ts'
import type { Redis } from './redis.ts'
import { tellTrouble } from './redis-trouble.ts'
import { SettingsError } from './settings.ts'

/** What `build` gives: an app that listens where told. Everything it opened is closed by its hooks (`preClose` stops work, `onClose` closes). */
export interface RunnableService {
  app: FastifyInstance
  host: string
  port: number
  /** Absent: no heartbeat. Closed by the app. */
  redis?: Redis
  /** Sockets held, shown in the heartbeat. */
  clients?(): number
  /** Called when the service listens: the moment to begin to take work. */
  onListening?(url: string): void | Promise<void>
}

/** Promise 7: within 25 s of SIGTERM a service is gone. */
const GRACE_MS = 25_000
/** Ours, not those of close-with-grace, which exits 1 at the second one. */
const SIGNALS: ('SIGTERM' | 'SIGINT')[] = ['SIGTERM', 'SIGINT']
const CONNECTION_LOST = /^(57P0[1-5]|CONNECTION_(CLOSED|DESTROYED|ENDED|TIMEOUT)|CONNECT_TIMEOUT|ECONNRESET|ECONNREFUSED|EPIPE)$/

/** Runs until a signal. An error at the start, or one that nobody caught, is logged and ends the process with its `exitCode`, else with 1. */
export async function runService(name: string, build: () => Promise<RunnableService>): Promise<void> {
  let service: RunnableService
  const fallback = createLogger({ name })
  const early = (signal: NodeJS.Signals) => process.exit(signal === 'SIGTERM' || signal === 'SIGINT' ? 0 : 1)
  process.once('SIGTERM', early).once('SIGINT', early)
  let starting = true
  outliveLostConnections(fallback, (error) => {
    if (starting) giveUp(error, fallback)
    throw error
  })
  try {
    service = await build()
    await service.app.listen({ host: service.host, port: service.port })
  } catch (error) {
    giveUp(error, fallback)
  }
  starting = false
  const { app } = service
  if (service.redis) tellTrouble(service.redis, fallback)
  process.removeListener('SIGTERM', early).removeListener('SIGINT', early)
  const url = urlOf(app, service.host)
  const heartbeat =
    service.redis &&
    startHeartbeat({ service: name, url, redis: service.redis, log: fallback, ...(service.clients ? { clients: service.clients } : {}) })
  const collecting = collectWhenIdle()
  const grace = closeWithGrace(
    { delay: GRACE_MS, logger: false, skip: [...SIGNALS, 'unhandledRejection'], ...reports(app) },
    async ({ err }) => {
      const startedAt = performance.now()
      const exitCode = exitCodeOf(err)
      if (exitCode !== undefined) process.once('exit', () => (process.exitCode = exitCode)) // close-with-grace knows 1 alone
      if (exitCode !== undefined) app.log.fatal((err as Error).message)
      else if (err) app.log.fatal({ err }, 'uncaught error, service stopping')
      else app.log.info('service stopping')
      collecting.stop()
      await heartbeat?.stop()
      await app.close()
      app.log.info({ durationMs: Math.round(performance.now() - startedAt) }, 'service stopped')
    },
  )
  stopOnSignal(grace.close)
  app.log.info({ url }, 'service listening')
  await service.onListening?.(url)
}

/** The start has failed. */
function giveUp(error: unknown, log: Logger): never {
  const exitCode = exitCodeOf(error)
  if (error instanceof SettingsError || exitCode !== undefined) process.stderr.write(`${(error as Error).message}\n`)
  else log.fatal({ err: error }, 'service could not start')
  process.exit(exitCode ?? 1)
}

/** A second signal (Ctrl-C reaches a supervisor and its children, who then hear it again from the supervisor) does not cut the grace short. */
function stopOnSignal(close: () => void): void {
  let stopping = false
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (!stopping) close()
      stopping = true
    })
  }
}

/**
 * postgres.js asks each new connection for its array types in a promise that it gives to nobody. When the connection is ended just then, whoever
 * wanted it is served by the next one, and the process has no reason to end, at its start neither. Any other rejection that nobody caught is an uncaught error.
 */
function outliveLostConnections(log: Logger, onOther: (error: unknown) => void): void {
  process.on('unhandledRejection', (err: { code?: unknown } | null) => {
    if (!CONNECTION_LOST.test(String(err?.code))) return onOther(err)
    log.warn({ err }, 'a connection was lost while it was made')
  })
}

/** An error that brings an exit code of its own (a database of another version) explains itself in one sentence. */
function exitCodeOf(error: unknown): number | undefined {
  const { exitCode } = (error ?? {}) as { exitCode?: unknown }
  return typeof exitCode === 'number' ? exitCode : undefined
}

function reports(app: FastifyInstance) {
  return {
    onTimeout: () => app.log.error('the grace is over, work is left to others'),
    onSecondError: (err: unknown) => app.log.fatal({ err }, 'another uncaught error while stopping'),
  }
}

function urlOf(app: FastifyInstance, host: string): string {
  const address = app.server.address() as AddressInfo
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${name.includes(':') ? `[${name}]` : name}:${address.port}`
}
