import { keys, type LiveEvent, newUuid } from '@baton/contracts'
import { connectRedis } from '@baton/runtime'
import { testRedis } from '@baton/testing'
import t from 'tap'
import { boundEvents } from '../src/bound-events.ts'
import { createSender } from '../src/send-commands.ts'

t.test('as many entries are kept as fit, and some at least', async (t) => {
  const kept = boundEvents(1_000)
  let count = 0
  for (let n = 0; n < 400; n++) count = kept(5)
  t.equal(count, 200, 'small entries')
  for (let n = 0; n < 50; n++) count = kept(19)
  t.ok(count >= 100 && count < 200, 'fewer when they grow')
  for (let n = 0; n < 3_000; n++) count = kept(5_000)
  t.equal(count, 100, 'readers may still be at the newest')
})

t.test('the stream of live events stays within its bytes, however large its entries are', async (t) => {
  const { url } = await testRedis(t)
  const redis = connectRedis(url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const queue = { addMany: async () => {} }
  const eventsBytesMax = 1024 * 1024
  const send = createSender({ redis, sending: redis, lane: 3, workers: () => 1, agentTurns: queue, notifications: queue, eventsBytesMax })
  const runId = newUuid()
  const named = { runId, namespace: 'default', workflow: 'w', type: 'step.succeeded', path: 's', at: 0 } as const
  for (let seq = 1; seq <= 400; seq++) {
    const event: LiveEvent = { ...named, seq, data: { output: 'x'.repeat(10_000) } }
    await send({ calls: [], turns: [], notifications: [], events: [event], ending: [], ended: [], woken: [], started: [] })
  }
  const bytes = Number(await redis.memory('USAGE', keys.events(3), 'SAMPLES', 0))
  t.ok(bytes < 2 * eventsBytesMax, `${bytes} bytes after 4 MB of events`)
  t.ok((await redis.xlen(keys.events(3))) >= 90)
})
