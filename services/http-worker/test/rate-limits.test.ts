/** A host is not called more often than its limit says, by all workers together; calls wait for their turn, in the order in which they came. */
import { createServer } from 'node:net'
import { connectRedis, createLogger } from '@baton/runtime'
import { type StubAnswer, stubServer, until } from '@baton/testing'
import t from 'tap'
import { createRateBuckets } from '../src/rate-buckets.ts'
import { limitOf, parseRateLimits } from '../src/rate-limits.ts'
import { caller, callOf } from './calls.ts'
import { openGate } from './gates.ts'
import { startHarness } from './harness.ts'

const log = createLogger({ name: 'test', level: 'silent' })

/** The most that came in any second. */
function mostInASecond(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length))
}

t.test('limits are read from one setting, and a host has its own or that of the nearest domain', async (t) => {
  const limits = parseRateLimits('API.example.com=10/s, *.slow.example=60/m,*.example=1/h,127.0.0.1=500/s')
  t.same(limitOf(limits, 'api.example.com'), { intervalUs: 100_000, burst: 1 })
  t.same(limitOf(limits, 'a.b.slow.example'), { intervalUs: 1_000_000, burst: 1 })
  t.same(limitOf(limits, 'x.example'), { intervalUs: 3_600_000_000, burst: 1 })
  t.same(limitOf(limits, '127.0.0.1'), { intervalUs: 2_000, burst: 50 })
  t.equal(limitOf(limits, 'slow.example')?.intervalUs, 3_600_000_000, 'a domain is not below itself')
  t.equal(limitOf(limits, 'example.com'), undefined)
  t.equal(parseRateLimits(' ').size, 0)
  for (const wrong of ['x', 'x=10', 'x=0/s', 'x=1/d', 'http://x=1/s', 'x:80=1/s']) t.throws(() => parseRateLimits(`a=1/s,${wrong}`), wrong)
})

t.test('two workers keep one limit together, and their calls of other hosts do not wait', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t)
  const free = await stubServer(t)
  const { make } = caller(t)
  const url = stub.url.replace('127.0.0.1', 'localhost')
  const { make: makeLocal } = caller(t, {}, {}, undefined, { allow: ['localhost', '127.0.0.1'] })
  const makeCall: typeof make = (call) => (call.request.url.startsWith(url) ? makeLocal(call) : make(call))
  const gates = await Promise.all([1, 2].map(() => openGate(t, h.server.url, { limits: 'localhost=20/s' })))
  const workers = gates.map((gate) => h.worker({ makeCall, concurrency: 2, gate }))
  const limited = Array.from({ length: 50 }, (_, n) => callOf({ url: `${url}/${n}` }, { timeoutMs: 500 }))
  for (let at = 0; at < 50; at += 10) await h.send(limited.slice(at, at + 10), at / 10)
  await h.send(Array.from({ length: 10 }, () => callOf({ url: free.url })))
  await until(() => free.requests.length === 10)
  t.ok(stub.requests.length < 20)
  t.ok(workers.every((worker) => worker.running() <= 2))
  const results = await h.resultsOf(60)
  t.ok(results.every(({ outcome }) => outcome.status === 'succeeded'))
  const times = stub.requests.map(({ at }) => at)
  const tookMs = times.at(-1)! - times[0]!
  // 22, and what a busy machine bunches; two that each keep the limit alone make more than 40.
  t.ok(mostInASecond(times) <= 30, `${mostInASecond(times)} in a second`)
  // 2 400 from the first turn to the last, less what the first request was slower to arrive; 1 200 when each keeps it alone.
  t.ok(tookMs >= 1_900 && tookMs < 6_000, `50 calls in ${tookMs} ms`)
})

t.test('calls of one host are made in the order in which they came', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t)
  const { make } = caller(t)
  h.worker({ makeCall: make, concurrency: 1, gate: await openGate(t, h.server.url, { limits: '127.0.0.1=50/s' }) })
  const limited = Array.from({ length: 30 }, (_, n) => callOf({ url: `${stub.url}/${n}` }))
  for (const call of limited) await h.send([call])
  await h.resultsOf(30)
  t.same(
    stub.requests.map(({ path }) => path),
    limited.map(({ request }) => new URL(request.url).pathname),
  )
})

t.test('each page of a list takes its turn, and the wait is not taken from the time of the step', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t, ({ path }): StubAnswer => {
    const n = Number(path.slice(1))
    return { headers: n < 19 ? { link: `</${n + 1}>; rel="next"` } : {}, body: [n] }
  })
  const gate = await openGate(t, h.server.url, { limits: '127.0.0.1=10/s' })
  const { make } = caller(t, {}, {}, undefined, { pace: gate.pace })
  h.worker({ makeCall: make, gate })
  await h.send([callOf({ url: `${stub.url}/0`, paginate: { link: true, max: 100, onMax: 'fail' } }, { timeoutMs: 1_000 })])
  const [result] = await h.resultsOf(1)
  t.match(result!.outcome, { status: 'succeeded', output: { pages: 20 } })
  const times = stub.requests.map(({ at }) => at)
  t.ok(times.at(-1)! - times[0]! >= 1_700)
})

t.test('without Redis a worker keeps the limit by itself, also when Redis only hangs', async (t) => {
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const { port } = silent.address() as { port: number }
  for (const url of [`redis://127.0.0.1:${port}`, 'redis://127.0.0.1:1']) {
    const redis = connectRedis(url, { name: 'test', whileAway: 'fail' })
    t.teardown(() => redis.disconnect())
    const buckets = createRateBuckets(redis, log)
    const limit = { intervalUs: 1_000_000, burst: 3 }
    t.match(await buckets.take('a', limit, 5), { granted: 3 })
    const { granted, waitMs } = await buckets.take('a', limit, 5)
    t.equal(granted, 0)
    t.ok(waitMs > 200 && waitMs <= 1_000, `${waitMs} ms`)
    t.match(await buckets.take('b', limit, 1), { granted: 1 })
  }
})

t.test('one bucket for all who ask, in one key that goes by itself', async (t) => {
  const h = await startHarness(t)
  const open = async () => {
    const redis = connectRedis(h.server.url, { name: 'test', whileAway: 'fail' })
    t.teardown(() => redis.disconnect())
    await until(() => redis.status === 'ready')
    return createRateBuckets(redis, log)
  }
  const [one, two] = [await open(), await open()]
  const limit = { intervalUs: 500_000, burst: 4 }
  t.match(await one.take('a', limit, 3), { granted: 3 })
  const second = await two.take('a', limit, 3)
  t.equal(second.granted, 1)
  t.ok(second.waitMs > 300 && second.waitMs <= 500, `${second.waitMs} ms`)
  t.ok((await h.redis.pttl('rate:{a}')) <= 4 * 500 + 1_000)
  // A clock that was ahead: nobody waits for longer than the burst takes.
  await h.redis.set('rate:{a}', '9999999999999999')
  t.ok((await one.take('a', limit, 1)).waitMs <= 500)
})
