/** Connections to Redis: one server, the master that sentinels name, or a cluster. */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { parseRedisUrl, type RedisPlace, type RedisTls } from '@baton/contracts'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { followTrouble } from './redis-trouble.ts'
import { spreadPipelines } from './spread-pipelines.ts'

export type { Redis }

export interface RedisConnectOptions {
  /** Shown by CLIENT LIST. */
  name: string
  /**
   * What a command does while Redis is away: `wait` (default) until it is back and is then sent (again), which workers want;
   * `fail` rejects at once, which an API wants that has to answer.
   */
  whileAway?: 'wait' | 'fail'
  /** For a connection that blocks in XREADGROUP or listens by SUBSCRIBE: silence on it is no sign of a Redis that hangs. */
  blocking?: boolean
}

/** How often a command that a cluster has refused (not executed) is sent again where it must not wait. */
const REDIRECTIONS_MAX = 5
const FAILOVER_POLL_MS = 100

/** 50 ms, 100 ms … at most 1 s */
const retryStrategy = (times: number) => Math.min(50 * 2 ** Math.min(times - 1, 5), 1_000)

/**
 * Opens a connection that comes back for ever. Never auto-pipelining (it makes an idle step slower). Errors are for `redis.on('error')`.
 * To a cluster it is used as to a server, but for what layout.ts knows: what one read is, and which servers there are.
 */
export function connectRedis(url: string, options: RedisConnectOptions): Redis {
  const redis = openRedis(url, options)
  return redis instanceof Cluster ? spreadPipelines(redis, options.whileAway ?? 'wait') : redis
}

/** The client as it is, for libraries that know of clusters themselves. */
export function openRedis(url: string, options: RedisConnectOptions): Redis | Cluster {
  const place = parseRedisUrl(url)
  const redis = place.kind === 'cluster' ? openCluster(place, options) : new Redis(serverOptions(place, options))
  // Without a listener ioredis prints each failed attempt; probes and the commands themselves tell of it.
  followTrouble(redis as Redis)
  return redis
}

/** Of one connection, whatever it leads to. */
function connectionOptions(place: RedisPlace, options: RedisConnectOptions): RedisOptions {
  const { username, password, family } = place
  return {
    connectionName: options.name,
    enableAutoPipelining: false,
    connectTimeout: 5_000,
    // Commands are answered in milliseconds; a Redis that says nothing for this long hangs, and the socket is given up.
    ...(options.blocking ? {} : { socketTimeout: 10_000 }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(family === undefined ? {} : { family }),
    ...(place.tls ? { tls: readTls(place.tls) } : {}),
  }
}

function serverOptions(place: RedisPlace, options: RedisConnectOptions): RedisOptions {
  const failing = options.whileAway === 'fail'
  return {
    ...connectionOptions(place, options),
    ...(place.kind === 'sentinel' ? sentinelOptions(place) : place.hosts[0]),
    db: place.db,
    retryStrategy,
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    maxRetriesPerRequest: failing ? 0 : null,
    enableOfflineQueue: !failing,
  }
}

function sentinelOptions({ hosts, master, sentinelLogin, tls }: RedisPlace): RedisOptions {
  const { username, password } = sentinelLogin ?? {}
  return {
    sentinels: hosts,
    name: master!,
    sentinelRetryStrategy: retryStrategy,
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(tls ? { enableTLSForSentinelMode: true, sentinelTLS: readTls(tls) } : {}),
  }
}

/**
 * A node that is lost is not waited for: the others know who takes its place. What was sent to it and not answered is sent again by a connection
 * that waits, and fails on one that fails. What a node refused without executing it (MOVED, CLUSTERDOWN …) is sent again in any case.
 */
function openCluster(place: RedisPlace, options: RedisConnectOptions): Cluster {
  const failing = options.whileAway === 'fail'
  const cluster = new Cluster(place.hosts, {
    clusterRetryStrategy: retryStrategy,
    enableOfflineQueue: !failing,
    maxRedirections: failing ? REDIRECTIONS_MAX : Number.POSITIVE_INFINITY,
    retryDelayOnFailover: failing ? 0 : FAILOVER_POLL_MS,
    retryDelayOnClusterDown: FAILOVER_POLL_MS,
    retryDelayOnTryAgain: FAILOVER_POLL_MS,
    slotsRefreshTimeout: 2_000,
    slotsRefreshInterval: 5_000,
    // A certificate is for the name that the cluster gives, not for the address behind it.
    ...(place.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
    redisOptions: { ...connectionOptions(place, options), maxRetriesPerRequest: null },
  })
  // At once, not with the first command: a connection that must not wait would refuse those that follow until it stands.
  cluster.on('+node', (node: Redis) => {
    if (!node.options.readOnly) node.connect().catch(() => {})
  })
  return cluster
}

/** The options of a TLS socket. Throws when a file cannot be read. */
export function readTls({ ca, cert, key, servername }: RedisTls): ConnectionOptions {
  return {
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
    ...(key === undefined ? {} : { key: readFileSync(key) }),
    ...(servername === undefined ? {} : { servername }),
  }
}
