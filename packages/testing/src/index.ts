/**
 * Real Postgres and Redis for tests, stubs of the services that workflows call, and waiting on conditions. Dev only. Nothing here outlives
 * the test process: servers are ended at teardown, and by a guard when the process was killed.
 */
export { chooseMode, findFreePort } from '@baton/embedded'
export { type DurablePostgres, durablePostgres } from './durable-postgres.ts'
export { type DurableRedis, durableRedis } from './durable-redis.ts'
export { endProcess, guardProcess } from './guard-process.ts'
export { hasRedisServer, type RedisNode } from './launch-redis.ts'
export { type RedisCluster, redisCluster } from './redis-cluster.ts'
export { type RedisSentinels, redisSentinels } from './redis-sentinel.ts'
export { type TlsRedis, tlsRedis } from './redis-tls.ts'
export { serviceProgram } from './service-program.ts'
export { type SmallDisk, smallDisk } from './small-disk.ts'
export { type PostgresServer, startPostgres } from './start-postgres.ts'
export { type Proxy, startProxy } from './start-proxy.ts'
export { type StubAnswer, type StubRequest, type StubServer, stubServer } from './stub-server.ts'
export { emptyDatabase, type Teardown, type TestDatabase, testDatabase } from './test-database.ts'
export { findPgbouncer, type TestPgbouncer, testPgbouncer } from './test-pgbouncer.ts'
export { type TestRedis, testRedis } from './test-redis.ts'
export { type TlsPostgres, tlsPostgres } from './tls-postgres.ts'
export { until } from './until.ts'
