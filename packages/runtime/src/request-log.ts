import type { IncomingMessage } from 'node:http'
import { traceIdOf } from '@baton/contracts'
import type { FastifyBaseLogger } from 'fastify'
import type { Logger } from './logger.ts'
import type { RequestTraces } from './request-traces.ts'

type Log = (...args: unknown[]) => void

/**
 * The log of one request, made when something is logged, which most requests do not: pino goes through all that is to be redacted for each child
 * (a tenth of the CPU of a request that starts a run).
 */
class RequestLog {
  readonly #parent: FastifyBaseLogger
  readonly #bindings: Record<string, unknown>
  readonly #trace: () => string
  #made: FastifyBaseLogger | undefined

  constructor(parent: FastifyBaseLogger, bindings: Record<string, unknown>, trace: () => string) {
    this.#parent = parent
    this.#bindings = bindings
    this.#trace = trace
  }

  get #log(): Record<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent', Log> & Pick<FastifyBaseLogger, 'child'> {
    this.#made ??= this.#parent.child({ ...this.#bindings, traceId: traceIdOf(this.#trace()) })
    return this.#made as never
  }

  #isOn(level: string): boolean {
    return (this.#parent as Logger).isLevelEnabled(level)
  }

  get level(): string {
    return this.#parent.level
  }

  fatal(...args: unknown[]): void {
    this.#log.fatal(...args)
  }

  error(...args: unknown[]): void {
    this.#log.error(...args)
  }

  warn(...args: unknown[]): void {
    if (this.#isOn('warn')) this.#log.warn(...args)
  }

  info(...args: unknown[]): void {
    if (this.#isOn('info')) this.#log.info(...args)
  }

  debug(...args: unknown[]): void {
    if (this.#isOn('debug')) this.#log.debug(...args)
  }

  trace(...args: unknown[]): void {
    if (this.#isOn('trace')) this.#log.trace(...args)
  }

  silent(): void {}

  child(...args: Parameters<FastifyBaseLogger['child']>): FastifyBaseLogger {
    return this.#log.child(...args)
  }
}

/** The log of a request, for fastify: with its id, and that of its trace. */
export function requestLog(
  parent: FastifyBaseLogger,
  bindings: { requestId?: string },
  traces: RequestTraces,
  raw: IncomingMessage,
): FastifyBaseLogger {
  const trace = () => traces.of(raw, bindings.requestId ?? '').trace
  return new RequestLog(parent, bindings, trace) as unknown as FastifyBaseLogger
}
