import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { GROUPS, keys, PARTITION_COUNT, parseRedisUrl, type RedisTls, RedisUrlError, redisUrlForLog } from '@baton/contracts'
import { Cluster, Redis } from 'ioredis'
import { byLevel, type Finding, ok, problem, reasonOf, skipped, warning } from './finding.ts'

const VERSION_MIN = [6, 2] as const
const PARTITIONS = Array.from({ length: PARTITION_COUNT }, (_, number) => number)

/** Opens a connection that gives up soon, does the work, and closes it. */
export async function withRedis<T>(url: string, action: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = openRedis(url) as Redis
  let lastError: Error | undefined
  redis.on('error', (error: Error & { lastNodeError?: Error }) => (lastError = error.lastNodeError ?? error))
  try {
    await redis.connect()
    return await action(redis)
  } catch (error) {
    throw lastError ?? error
  } finally {
    redis.disconnect()
  }
}

function readTls({ ca, cert, key, servername }: RedisTls): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
    ...(key === undefined ? {} : { key: readFileSync(key) }),
    ...(servername === undefined ? {} : { servername }),
  }
}

function openRedis(url: string): Redis | Cluster {
  const place = parseRedisUrl(url)
  const { username, password, family, hosts } = place
  const tls = place.tls && readTls(place.tls)
  const shared = {
    lazyConnect: true,
    connectTimeout: 5_000,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(family === undefined ? {} : { family }),
    ...(tls ? { tls } : {}),
  }
  if (place.kind === 'cluster')
    return new Cluster(hosts, {
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      ...(tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
      redisOptions: shared,
    })
  const { master, sentinelLogin, db } = place
  const behindSentinels = {
    sentinels: hosts,
    sentinelRetryStrategy: () => null,
    ...(master === undefined ? {} : { name: master }),
    ...(sentinelLogin?.username === undefined ? {} : { sentinelUsername: sentinelLogin.username }),
    ...(sentinelLogin?.password === undefined ? {} : { sentinelPassword: sentinelLogin.password }),
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls } : {}),
  }
  return new Redis({
    ...shared,
    ...(place.kind === 'sentinel' ? behindSentinels : hosts[0]),
    db,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    enableOfflineQueue: false,
  })
}

/** The settings of Redis (of a cluster, of each master), its memory, and how old the work in it is. */
export async function lookAtRedis(url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return [skipped('redis', 'give REDIS_URL (or --redis-url) to look at it')]
  try {
    return await withRedis(url, async (redis) => [...(await lookAtServers(redis)), ...(await lookAtStreams(redis))])
  } catch (error) {
    if (error instanceof RedisUrlError) return [problem('redis', 'REDIS_URL cannot be read', `Give ${error.message}.`)]
    return [
      problem(
        'redis',
        `${redisUrlForLog(url)} cannot be used: ${reasonOf(error)}`,
        'Start it, or correct REDIS_URL (password, host, rediss: for TLS, redis+cluster: or redis+sentinel: for several servers).',
      ),
    ]
  }
}

async function lookAtServers(redis: Redis | Cluster): Promise<Finding[]> {
  if (!(redis instanceof Cluster)) return judge(await redis.info())
  const state = /cluster_state:(\w+)/.exec(String(await redis.cluster('INFO')))?.[1]
  const masters = await Promise.all(
    redis.nodes('master').map(async (node) => {
      const place = `${node.options.host}:${node.options.port}`
      return judge(await node.info()).map((finding) => ({ ...finding, check: `${finding.check} (${place})` }))
    }),
  )
  return [
    state === 'ok'
      ? ok('redis cluster', `${masters.length} masters serve all slots`)
      : problem('redis cluster', `its state is ${state}`, 'CLUSTER NODES tells which master is missing.'),
    ...masters.flat(),
  ]
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
