/** Why Redis cannot be used, in words that say what to do: errors of sockets, of TLS and of Redis itself. */
import type { Redis } from 'ioredis'
import type { Logger } from './logger.ts'

const troubles = new WeakMap<Redis, Error>()

const SAY_AGAIN_MS = 60_000
const REASONS_MAX = 100

const REMEDIES: readonly [pattern: RegExp, remedy: string][] = [
  [/WRONGPASS|NOAUTH|invalid (username-)?password|AUTH.*called without/i, 'correct the user and password in REDIS_URL'],
  [/NOPERM/, 'give the user of REDIS_URL the rights to all keys, channels and commands'],
  [
    /self.signed|unable to (verify|get)|UNABLE_TO|DEPTH_ZERO|certificate has expired/i,
    'name the certificate of the CA that has signed the one of Redis in REDIS_URL: rediss://…?ca=/path/ca.crt',
  ],
  [/ERR_TLS_CERT_ALTNAME|altnames/i, 'name the host that the certificate is for in REDIS_URL: rediss://…?servername=redis.example'],
  [
    /wrong version number|packet length too long/i,
    'REDIS_URL asks for TLS and the server does not speak it: redis:// instead of rediss://',
  ],
  [/certificate required|handshake failure/i, 'the server wants a certificate: rediss://…?cert=/path/client.crt&key=/path/client.key'],
  [/sentinel.*unreachable/i, 'REDIS_URL names sentinels and their master: redis+sentinel://host:26379,host:26379/mymaster'],
  [/cluster support disabled/i, 'the server is no cluster: redis:// instead of redis+cluster://'],
  [/^MOVED /, 'the server is part of a cluster: redis+cluster:// instead of redis://'],
]

/** Remembers why the connection fails for as long as it does. */
export function followTrouble(redis: Redis): void {
  const remember = (error: Error & { lastNodeError?: Error }) => troubles.set(redis, error.lastNodeError ?? error)
  redis.on('error', remember)
  ;(redis as unknown as { on(event: string, heard: (error: Error) => void): void }).on('node error', remember)
  redis.on('ready', () => troubles.delete(redis))
}

/** Throws why there is no connection, where that is known. */
export function throwTrouble(redis: Redis): void {
  const trouble = troubles.get(redis)
  if (trouble) throw trouble
}

/** The error of a command, or the better reason that its connection has; and what to do where that is known. */
export function explainRedis(redis: Redis, error: Error): Error {
  const cause = isEmptyWord(error) ? (troubles.get(redis) ?? error) : error
  const text = `${(cause as { code?: string }).code ?? ''} ${cause.message}`
  const remedy = REMEDIES.find(([pattern]) => pattern.test(text.trim()))?.[1]
  const message = cause.message || text.trim() || cause.name
  return remedy || cause !== error ? new Error(remedy ? `${message}: ${remedy}` : message, { cause: error }) : error
}

/** What ioredis says of any command while there is no connection. */
function isEmptyWord({ message }: Error): boolean {
  return /Stream isn't writeable|Connection is closed|max retries per request|isn't ready|not reached|None of startup nodes|no answer within/i.test(
    message,
  )
}

/** Tells the log why Redis, or a node of it, cannot be used: once, when the reason is another one, and every minute. */
export function tellTrouble(redis: Redis, log: Logger): void {
  const toldAt = new Map<string, number>()
  const tell = (what: string) => (error: Error) => {
    const reason = explainRedis(redis, error).message
    const now = performance.now()
    if (now - (toldAt.get(reason) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return
    if (toldAt.size >= REASONS_MAX) toldAt.clear()
    toldAt.set(reason, now)
    log.warn({ reason }, what)
  }
  redis.on('error', tell('redis cannot be used'))
  const node = tell('a node of the redis cluster cannot be used')
  ;(redis as unknown as { on(event: string, heard: (error: Error) => void): void }).on('node error', node)
  redis.on('ready', () => {
    if (toldAt.size > 0) log.info('redis can be used again')
    toldAt.clear()
  })
}
