/** Structured logs. What is secret by its name never reaches them. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'

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

/** JSON lines on stdout (or `destination`), each with `service`, an ISO time and a lower-case message. */
export function createLogger(options: { name: string; level?: string }, destination?: DestinationStream): Logger {
  return pino(
    {
      base: { service: options.name },
      level: options.level ?? 'info',
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
      serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
    },
    ...(destination ? [destination] : []),
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
