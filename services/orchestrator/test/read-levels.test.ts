import { ENTRY_FIELD, GROUPS, keys } from '@baton/contracts'
import { connectRedis, createProducer, ensureGroups, notifications } from '@baton/runtime'
import { durablePostgres, testRedis, until } from '@baton/testing'
import { test } from 'tap'
import { readQueues, readRedisMemory, readStreams } from '../src/read-levels.ts'
import { startOrchestrator } from './start-orchestrator.ts'

test('streams tell how many entries they hold and how old the oldest is, over all partitions', async (t) => {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  t.same(
    (await readStreams(redis)).map(({ stream, entries, oldestMs }) => [stream, entries, oldestMs]),
    [
      ['facts', 0, 0],
      ['calls', 0, 0],
      ['events', 0, 0],
    ],
    'a stream that is not there is empty',
  )
  await ensureGroups(redis, [keys.calls(3)], GROUPS.calls)
  const ageMs = 90_000
  await redis.xadd(keys.calls(3), `${Date.now() - ageMs}-0`, ENTRY_FIELD, '[]')
  await redis.xadd(keys.calls(3), '*', ENTRY_FIELD, '[]')
  await redis.xadd(keys.calls(7), '*', ENTRY_FIELD, '[]')
  const calls = (await readStreams(redis)).find(({ stream }) => stream === 'calls')!
  t.equal(calls.entries, 3)
  t.ok(calls.oldestMs >= ageMs && calls.oldestMs < ageMs + 10_000, `oldest ${calls.oldestMs}`)
  t.match(await readRedisMemory(redis), { usedBytes: Number, maxBytes: 0 })
  await redis.config('SET', 'maxmemory', '100mb')
  t.equal((await readRedisMemory(redis)).maxBytes, 104_857_600)
})

test('queues tell their jobs by state and the age of the one that waits longest', async (t) => {
  const server = await testRedis(t)
  const producer = createProducer(notifications, server.url)
  t.teardown(() => producer.close())
  await until(async () => (await producer.depth()) === 0, { what: 'the producer to be connected' })
  t.same(await readQueues({ notifications: producer }), [
    { queue: 'notifications', jobs: { waiting: 0, active: 0, delayed: 0 }, oldestMs: 0 },
  ])
  const add = (approvalId: string, options = {}) => producer.add({ approvalId, namespace: 'default' }, options)
  const startedAt = Date.now()
  await add('first')
  await until(() => Date.now() - startedAt >= 300)
  await add('second')
  await add('later', { delayMs: 60_000 })
  const [queue] = await readQueues({ notifications: producer })
  t.same(queue!.jobs, { waiting: 2, active: 0, delayed: 1 })
  t.ok(queue!.oldestMs >= 250, `the first one counts, and not the last: ${queue!.oldestMs}`)
})

test('/metrics answers in time while Redis hangs, without what only Redis knows', { timeout: 60_000 }, async (t) => {
  const { get, redis } = await startOrchestrator(t)
  await until(async () => (await get('/metrics')).text.includes('baton_stream_entries{stream="facts"} 0'))
  const full = (await get('/metrics')).text
  for (const line of ['baton_runs{status="waiting"} 0', 'baton_inbox_facts 0', 'baton_jobs{queue="agent-turns",state="waiting"} 0'])
    t.ok(full.includes(line), line)
  redis.pause()
  let without = ''
  let slowestMs = 0
  // What was asked for just now is kept for a second.
  const isAbsent = async () => {
    const startedAt = performance.now()
    without = (await get('/metrics')).text
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    return !/^baton_stream_entries\{/m.test(without) && /^baton_dependency_up\{dependency="redis"\} 0$/m.test(without)
  }
  await until(isAbsent, { what: 'the levels of Redis to be absent, and Redis to be told away' })
  redis.resume()
  t.ok(slowestMs < 5_000, `${slowestMs} ms`)
  t.match(without, /^baton_runs\{status="waiting"\} 0$/m, 'Postgres is asked for itself')
  await until(async () => (await get('/metrics')).text.includes('baton_stream_entries{stream="facts"} 0'), {
    what: 'the levels to come back',
  })
})

test('/metrics answers in time while Postgres is away, and has everything again when it is back', { timeout: 90_000 }, async (t) => {
  const postgres = await durablePostgres(t)
  const { get } = await startOrchestrator(t, { DATABASE_URL: postgres.url })
  const has = (text: string, metric: string) => new RegExp(`^${metric}\\b`, 'm').test(text)
  await until(async () => has((await get('/metrics')).text, 'baton_runs\\{'), { what: 'the levels' })
  const back = postgres.restart('immediate', 6_000)
  let without = ''
  let slowestMs = 0
  const isAbsent = async () => {
    const startedAt = performance.now()
    without = (await get('/metrics')).text
    slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    return !has(without, 'baton_runs\\{') && !has(without, 'baton_timers_overdue_seconds \\d')
  }
  await until(isAbsent, { what: 'the levels of Postgres to be absent' })
  t.ok(slowestMs < 5_000, `${slowestMs} ms`)
  t.match(without, /^baton_dependency_up\{dependency="postgres"\} 0$/m)
  t.match(without, /^baton_stream_entries\{stream="facts"\} 0$/m, 'Redis is asked for itself')
  await back
  await until(async () => has((await get('/metrics')).text, 'baton_runs\\{'), { timeoutMs: 20_000, what: 'the levels to come back' })
})
