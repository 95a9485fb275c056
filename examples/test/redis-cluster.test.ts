/** The stack on a Redis Cluster of three masters and three replicas: as on one server, and over the death of a master. */
import { hasRedisServer, redisCluster, until } from '@baton/testing'
import { test } from 'tap'
import { openScene, refunds, tenStepRuns } from './drive-redis.ts'
import { startStackOn } from './start-stack.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'

test('a stack on a Redis Cluster', { timeout: 120_000, skip }, async (t) => {
  const cluster = await redisCluster(t)
  const stack = await startStackOn(t, cluster.url)
  const { client, shop } = await openScene(t, stack)

  await t.test('runs the refund example', (t) => refunds(t, client, shop))

  await t.test('spreads runs of ten steps over its masters', async (t) => {
    await tenStepRuns(t, client, shop, { runs: 20 })
    const commands = await Promise.all(cluster.nodes.slice(0, 3).map((node) => node.ask('INFO', 'commandstats')))
    for (const text of commands) t.match(String(text), /cmdstat_xreadgroup:calls=\d/, 'each master is read from')
  })

  await t.test('loses nothing when a master is killed in the middle of a load', async (t) => {
    await tenStepRuns(t, client, shop, {
      runs: 100,
      delayMs: 20,
      async meanwhile() {
        const master = await cluster.masterOf('facts:{0}')
        await master.kill()
        const promoted = async () => (await cluster.masterOf('facts:{0}')) !== master
        await until(promoted, { timeoutMs: 20_000, what: 'a replica to be promoted' })
      },
    })
    await refunds(t, client, shop)
  })
})
