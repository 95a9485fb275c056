import type { FastifyBaseLogger } from 'fastify'

type Log = (...args: unknown[]) => void

/**
 * The log of one request, made when something is logged, which most requests do not: pino goes through all that is to be redacted for each child
 * (a tenth of the CPU of a request that starts a run).
 */
class RequestLog {
  readonly #parent: FastifyBaseLogger
  readonly #bindings: Record<string, unknown>
  #made: FastifyBaseLogger | undefined

  constructor(parent: FastifyBaseLogger, bindings: Record<string, unknown>) {
    this.#parent = parent
    this.#bindings = bindings
  }

  get #log(): Record<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent', Log> & Pick<FastifyBaseLogger, 'child'> {
    this.#made ??= this.#parent.child(this.#bindings)
    return this.#made as never
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
    this.#log.warn(...args)
  }

  info(...args: unknown[]): void {
    this.#log.info(...args)
  }

  debug(...args: unknown[]): void {
    this.#log.debug(...args)
  }

  trace(...args: unknown[]): void {
    this.#log.trace(...args)
  }

  silent(): void {}

  child(...args: Parameters<FastifyBaseLogger['child']>): FastifyBaseLogger {
    return this.#log.child(...args)
  }
}

/** A factory of logs of requests, for fastify. */
export function requestLog(parent: FastifyBaseLogger, bindings: Record<string, unknown>): FastifyBaseLogger {
  return new RequestLog(parent, bindings) as unknown as FastifyBaseLogger
}
