/** Structured logs. What is secret by its name never reaches them. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import { counter } from './metrics.ts'

export type { Logger }

const SECRET_NAMES = [
  'authorization',
  'cookie',
  'set-cookie',
  'token',
  'secret',
  'password',
  'apikey',
  'apiKey',
  'api_key',
  'x-api-key',
  'accessToken',
  'refreshToken',
  'masterKey',
  'adminKey',
]
const DEPTH = 4

/** Pino redacts by path; each name stands at every depth down to four. */
const REDACTED = SECRET_NAMES.flatMap((name) =>
  Array.from({ length: DEPTH + 1 }, (_, depth) => `${'*.'.repeat(depth)}["${name}"]`.replace('.[', '[')),
)

const STDOUT = 1
/** Lines that wait for room on a full disk; later ones are dropped. */
const BACKLOG_BYTES_MAX = 1024 * 1024

const lost = counter('baton_log_lines_lost_total', 'Log lines that were dropped, because the disk is full or whoever reads them is gone')
const failed = counter('baton_log_write_errors_total', 'Writes of the log that failed')

/** Where logs go. A log that cannot be written is no reason to stop: what fits waits, the rest is dropped and counted. */
export function createLogDestination(fd: number = STDOUT): DestinationStream {
  const destination = pino.destination({ fd, sync: true, maxLength: BACKLOG_BYTES_MAX })
  destination.on('error', () => failed.inc())
  destination.on('drop', () => lost.inc())
  return destination
}

let stdout: DestinationStream | undefined

/** JSON lines on stdout (or `destination`), each with `service`, an ISO time and a lower-case message. */
export function createLogger(options: { name: string; level?: string }, destination?: DestinationStream): Logger {
  stdout ??= createLogDestination()
  return pino(
    {
      base: { service: options.name },
      level: options.level ?? 'info',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
      serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
    },
    destination ?? stdout,
  )
}

/** A URL for logs: its path and query, with the values of credentials in the query hidden. */
export function urlForLog(url: string): string {
  const query = url.indexOf('?')
  if (query < 0) return url
  return (
    url.slice(0, query) + url.slice(query).replace(/([?&](?:[^=&]*(?:token|secret|password|key|signature)[^=&]*)=)[^&]*/gi, '$1[redacted]')
  )
}
