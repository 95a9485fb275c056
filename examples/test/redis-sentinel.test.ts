/** The stack on the master that sentinels name, over its death. */
import { hasRedisServer, redisSentinels, until } from '@baton/testing'
import { test } from 'tap'
import { openScene, refunds, tenStepRuns } from './drive-redis.ts'
import { startStackOn } from './start-stack.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'

test('a stack behind sentinels loses nothing when the master is killed in the middle of a load', { timeout: 120_000, skip }, async (t) => {
  const sentinels = await redisSentinels(t, { password: 'not-to-be-guessed' })
  const { client, shop } = await openScene(t, await startStackOn(t, sentinels.url))
  await refunds(t, client, shop)
  await tenStepRuns(t, client, shop, {
    runs: 100,
    delayMs: 20,
    async meanwhile() {
      await sentinels.master.kill()
      const promoted = async () => (await sentinels.masterPort()) === sentinels.replica.port
      await until(promoted, { timeoutMs: 20_000, what: 'the replica to be promoted' })
    },
  })
  await refunds(t, client, shop)
})
