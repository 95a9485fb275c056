import { GROUPS, keys, PARTITION_COUNT } from '@baton/contracts'
import { Redis } from 'ioredis'
import { byLevel, type Finding, ok, problem, reasonOf, skipped, warning } from './finding.ts'

const VERSION_MIN = [6, 2] as const
const PARTITIONS = Array.from({ length: PARTITION_COUNT }, (_, number) => number)

/** Opens a connection that gives up soon, does the work, and closes it. */
export async function withRedis<T>(url: string, action: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 5_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    enableOfflineQueue: false,
  })
  let lastError: Error | undefined
  redis.on('error', (error: Error) => (lastError = error))
  try {
    await redis.connect()
    return await action(redis)
  } catch (error) {
    throw lastError ?? error
  } finally {
    redis.disconnect()
  }
}

/** The settings of Redis, its memory, and how old the work in it is. */
export async function lookAtRedis(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [skipped('redis', 'give REDIS_URL (or --redis-url) to look at it')]
  try {
    return await withRedis(url, async (redis) => [...judge(await redis.info()), ...(await lookAtStreams(redis))])
  } catch (error) {
    const host = URL.canParse(url) ? new URL(url).host : 'REDIS_URL'
    return [
      problem('redis', `${host} cannot be used: ${reasonOf(error)}`, 'Start it, or correct REDIS_URL (password, host, rediss: for TLS).'),
    ]
  }
}

function judge(info: string): Finding[] {
  const read = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
  const version = read('redis_version')
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isOld = major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1])
  const policy = read('maxmemory_policy')
  const [used, max] = [Number(read('used_memory')), Number(read('maxmemory'))]
  const memory = `${mebibytes(used)} used${max > 0 ? ` of ${mebibytes(max)}` : ', no bound'}`
  const findings = [
    isOld
      ? problem('redis version', version, `Upgrade Redis: ${VERSION_MIN.join('.')} is the oldest that works.`)
      : ok('redis version', version),
    policy === 'noeviction'
      ? ok('redis eviction', policy)
      : problem(
          'redis eviction',
          `maxmemory-policy is ${policy}: work would be evicted`,
          'CONFIG SET maxmemory-policy noeviction, and in redis.conf.',
        ),
    read('aof_enabled') === '1'
      ? ok('redis persistence', 'append-only file on')
      : warning(
          'redis persistence',
          'appendonly is off: after a restart of Redis calls in flight are made again',
          'CONFIG SET appendonly yes, and in redis.conf.',
        ),
    byLevel(
      'redis memory',
      max > 0 ? used / max : 0,
      { warnFrom: 0.75, failFrom: 0.9 },
      memory,
      'Raise maxmemory, or find out why work piles up (calls, facts below).',
    ),
  ]
  if (read('role') === 'slave')
    findings.push(problem('redis role', 'it is a replica and takes no writes', 'Let REDIS_URL name the master.'))
  return findings
}

async function lookAtStreams(redis: Redis): Promise<Finding[]> {
  const [seconds = '0', micros = '0'] = (await redis.time()).map(String)
  const now = Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  const facts = await oldestWaiting(redis, keys.facts, GROUPS.facts, now)
  const calls = await oldestWaiting(redis, keys.calls, GROUPS.calls, now)
  const bounds = { warnFrom: 10_000, failFrom: 60_000 }
  return [
    byLevel(
      'facts',
      facts,
      bounds,
      sentence('fact', facts),
      'See that a workflow-runner runs and keeps up: its log, its CPU, the time of commits in Postgres.',
    ),
    byLevel(
      'calls',
      calls,
      bounds,
      sentence('call', calls),
      'Run more http-workers: make scale S=http-worker N=5, or --scale http-worker=5.',
    ),
  ]
}

const sentence = (what: string, ageMs: number) =>
  ageMs === 0 ? `no ${what} waits to be taken` : `the oldest ${what} has waited to be taken for ${(ageMs / 1_000).toFixed(1)} s`

/** How long the oldest entry that no consumer has taken has waited; 0 when there is none. */
async function oldestWaiting(redis: Redis, keyOf: (partition: number) => string, group: string, now: number): Promise<number> {
  const ages = await Promise.all(
    PARTITIONS.map(async (partition) => {
      const key = keyOf(partition)
      const groups = ((await redis.xinfo('GROUPS', key).catch(() => [])) as unknown[][]).map(toRecord)
      const last = groups.find(({ name }) => name === group)?.['last-delivered-id'] ?? '0-0'
      const [entry] = await redis.xrange(key, `(${String(last)}`, '+', 'COUNT', 1)
      return entry ? Math.max(1, now - Number(entry[0].split('-')[0])) : 0
    }),
  )
  return Math.max(0, ...ages)
}

function toRecord(flat: unknown[]): Record<string, unknown> {
  return Object.fromEntries(flat.flatMap((name, index) => (index % 2 === 0 ? [[String(name), flat[index + 1]]] : [])))
}

const mebibytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(0)} MiB`
