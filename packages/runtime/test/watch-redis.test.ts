/** When silence in Redis means something. */
import { once } from 'node:events'
import { keys } from '@baton/contracts'
import { testRedis, until } from '@baton/testing'
import t from 'tap'
import { connectRedis, REPEATED_AFTER_MS, watchRedis } from '../src/index.ts'

async function open(t: { teardown(action: () => unknown): void }) {
  const { url } = await testRedis(t)
  const connect = () => {
    const redis = connectRedis(url, { name: 'test' })
    t.teardown(() => redis.disconnect())
    return redis
  }
  const redis = connect()
  // As long ago as if this Redis had had its data for a while.
  await redis.set(keys.sentinel, Date.now() - 60_000)
  const clock = { ms: 0 }
  const watch = watchRedis(redis, () => clock.ms)
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 1_000) {
      clock.ms += 1_000
      await watch.look()
    }
  }
  return { redis, other: connect(), clock, watch, pass }
}

t.test('a Redis that has answered for a while is settled', async (t) => {
  const { watch, pass } = await open(t)
  t.notOk(await watch.isSettled(), 'nothing is known before the first look')
  t.notOk(await watch.look(), 'nothing was lost')
  await pass(REPEATED_AFTER_MS)
  t.ok(await watch.isSettled())
})

t.test('one that was emptied is not until everybody has had the time to repeat what they hold, whoever saw it first', async (t) => {
  const { redis, other, watch, pass } = await open(t)
  await watch.look()
  await pass(REPEATED_AFTER_MS)
  await other.flushall()
  t.notOk(await watch.isSettled(), 'also before it was noticed')
  await watchRedis(other).look()
  t.ok(await watch.look(), 'somebody else has noticed before us')
  t.notOk(await watch.look(), 'told once')
  t.notOk(await watch.isSettled())
  await redis.set(keys.sentinel, Date.now() - REPEATED_AFTER_MS)
  t.ok(await watch.isSettled())
})

t.test('a sentinel from a clock that was ahead is set right, and everybody gets the time again', async (t) => {
  const { redis, watch, pass } = await open(t)
  await watch.look()
  await pass(REPEATED_AFTER_MS)
  for (const wrong of [String(Date.now() + 7_200_000), 'no time']) {
    await redis.set(keys.sentinel, wrong)
    t.ok(await watch.look(), 'taken for a loss')
    t.notOk(await watch.isSettled())
    t.ok(Math.abs(Number(await redis.get(keys.sentinel)) - Date.now()) < 1_000)
  }
  t.ok(Math.abs(watch.now(keys.calls(0)) - Date.now()) < 500, 'the time of Redis is known')
})

t.test('after a pause of answers, or a connection that broke, the time begins anew', async (t) => {
  const { redis, clock, watch, pass } = await open(t)
  await watch.look()
  await pass(REPEATED_AFTER_MS)
  clock.ms += 2_600
  t.notOk(await watch.isSettled(), 'nothing was heard for a while')
  t.notOk(await watch.look())
  t.notOk(await watch.isSettled())
  await pass(REPEATED_AFTER_MS)
  t.ok(await watch.isSettled())

  const closed = once(redis, 'close')
  redis.disconnect(true)
  await closed
  await until(() => redis.status === 'ready')
  t.notOk(await watch.isSettled())
  t.notOk(await watch.look(), 'the same life of Redis: nothing was lost')
  t.notOk(await watch.isSettled())
  await pass(REPEATED_AFTER_MS)
  t.ok(await watch.isSettled())
})
