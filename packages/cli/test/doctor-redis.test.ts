/** The doctor looks at whatever REDIS_URL names. */
import { hasRedisServer, redisCluster, redisSentinels, tlsRedis } from '@baton/testing'
import t from 'tap'
import { lookAtRedis } from '../src/doctor/look-at-redis.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'

t.test('each master of a cluster is looked at, and what is wrong with one is told with its place', { skip }, async (t) => {
  const cluster = await redisCluster(t)
  const findings = await lookAtRedis(cluster.url)
  t.match(findings[0], { check: 'redis cluster', status: 'ok' })
  t.equal(findings.filter(({ check, status }) => check.startsWith('redis eviction (') && status === 'ok').length, 3)
  t.ok(findings.some(({ check, status }) => check === 'facts' && status === 'ok'))
  const [node] = cluster.nodes
  await node!.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  const bad = (await lookAtRedis(cluster.url)).filter(({ status }) => status === 'problem')
  t.match(bad, [{ check: `redis eviction (127.0.0.1:${node!.port})` }])
})

t.test('the master behind sentinels, over TLS, and a URL that cannot be read', { skip }, async (t) => {
  const { url } = await redisSentinels(t)
  t.ok((await lookAtRedis(url)).every(({ status }) => status !== 'problem'))
  const { address, password, ca } = await tlsRedis(t)
  t.ok((await lookAtRedis(`rediss://:${password}@${address}?ca=${ca}`)).every(({ status }) => status !== 'problem'))
  const [untrusted] = await lookAtRedis(`rediss://:${password}@${address}`)
  t.match(untrusted, { status: 'problem', found: /^rediss:\/\/127\.0\.0\.1:\d+ cannot be used: .*certificate/ })
  t.match(await lookAtRedis('redis+sentinel://a:1'), [{ status: 'problem', fix: /name of the master/ }])
})
