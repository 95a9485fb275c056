/** The stack on a Redis that speaks TLS alone, asks for a password and for certificates. */
import { hasRedisServer, tlsRedis } from '@baton/testing'
import { test } from 'tap'
import { openScene, refunds, tenStepRuns } from './drive-redis.ts'
import { startStackOn } from './start-stack.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'

test('a stack on a Redis with TLS, a password and certificates of clients runs the refund example', {
  timeout: 90_000,
  skip,
}, async (t) => {
  const { address, password, ca, cert, key } = await tlsRedis(t, { clientCertificates: true })
  const stack = await startStackOn(t, `rediss://:${password}@${address}?ca=${ca}&cert=${cert}&key=${key}`)
  const { client, shop } = await openScene(t, stack)
  await refunds(t, client, shop)
  await tenStepRuns(t, client, shop, { runs: 10 })
})
