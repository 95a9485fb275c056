/** Facts and consumer groups: nothing is lost by a flush, a restart or a bad entry, and nothing polls. */
import { ENTRY_FIELD, type Fact, keys, partitionOf } from '@baton/contracts'
import { type Teardown, testRedis, until } from '@baton/testing'
import t from 'tap'
import { z } from 'zod'
import {
  ackEntries,
  claimFrom,
  claimStale,
  connectRedis,
  createFactSender,
  createLogger,
  ensureGroup,
  forgetConsumers,
  readGroup,
  type StreamEntry,
} from '../src/index.ts'

const log = createLogger({ name: 'test', level: 'silent' })
const schema = z.object({ n: z.number() })
type Value = z.infer<typeof schema>

async function start(t: Teardown) {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const add = (stream: string, value: unknown) => redis.xadd(stream, '*', ENTRY_FIELD, JSON.stringify(value))
  return { server, redis, add }
}

/** Reads in the background; `stop` ends it. */
function reading(redis: ReturnType<typeof connectRedis>, streams: string[], more: { onLost?: () => void; count?: number } = {}) {
  const stopping = new AbortController()
  const seen: StreamEntry<Value>[] = []
  const done = (async () => {
    const options = { redis, streams, group: 'g', consumer: 'c', count: more.count ?? 10, signal: stopping.signal, schema, log }
    for await (const batch of readGroup<Value>({ ...options, ...(more.onLost ? { onLost: more.onLost } : {}) })) seen.push(...batch)
  })()
  return {
    seen,
    async stop() {
      stopping.abort()
      await done
    },
  }
}

t.test('entries of all streams are read in order, bad ones are dropped, and the end is quick', async (t) => {
  const { redis, add } = await start(t)
  await add('a', { n: 1 })
  const reader = reading(redis, ['a', 'b'])
  await until(() => reader.seen.length === 1)
  await add('a', { n: 2 })
  await redis.xadd('a', '*', ENTRY_FIELD, 'not json')
  await add('a', { n: 'x' })
  await add('b', { n: 3 })
  await until(() => reader.seen.length === 3)
  t.same(
    reader.seen.filter(({ stream }) => stream === 'a').map(({ value }) => value.n),
    [1, 2],
  )
  await until(async () => ((await redis.xpending('a', 'g')) as [number])[0] === 2)
  t.equal(await redis.xlen('a'), 2, 'what cannot be read is gone')
  const startedAt = Date.now()
  await reader.stop()
  t.ok(Date.now() - startedAt < 1_000, 'a blocked read is ended from the outside')
  await add('a', { n: 4 })
  t.equal(reader.seen.length, 3)
})

t.test('FLUSHALL and a Redis without its data: groups are made again, told, and reading goes on', async (t) => {
  const { server, redis, add } = await start(t)
  let lost = 0
  const reader = reading(redis, ['a', 'b'], { onLost: () => void lost++ })
  await add('a', { n: 1 })
  await until(() => reader.seen.length === 1)
  await server.flushAll()
  await until(() => lost === 1)
  await add('a', { n: 2 })
  await until(() => reader.seen.length === 2)
  await server.restart()
  await until(() => lost === 2, { what: 'the loss to be told' })
  await add('b', { n: 3 })
  await until(() => reader.seen.length === 3)
  await reader.stop()
})

t.test('reading ends soon when Redis is gone or hangs', async (t) => {
  const { server, redis, add } = await start(t)
  for (const away of [() => server.pause(), () => server.kill()]) {
    const reader = reading(redis, ['a'])
    await add('a', { n: 1 })
    await until(() => reader.seen.length === 1)
    await away()
    const startedAt = Date.now()
    await reader.stop()
    t.ok(Date.now() - startedAt < 3_000)
    server.resume()
  }
})

t.test('an entry added before the group was made again is not missed', async (t) => {
  const { server, redis, add } = await start(t)
  const reader = reading(redis, ['a'])
  await add('a', { n: 1 })
  await until(() => reader.seen.length === 1)
  const [outcome] = await Promise.all([redis.multi().flushall().xadd('a', '*', ENTRY_FIELD, '{"n":2}').exec(), server])
  t.equal(outcome?.length, 2)
  await until(() => reader.seen.length === 2)
  await reader.stop()
})

t.test('stale entries are taken over by one, who learns who held them and how often', async (t) => {
  const { redis, add } = await start(t)
  await ensureGroup(redis, 's', 'g')
  await add('s', { n: 1 })
  await add('s', { n: 2 })
  await redis.xreadgroup('GROUP', 'g', 'dead', 'COUNT', 10, 'STREAMS', 's', '>')
  const options = { redis, group: 'g', streams: ['s', 'unknown'], count: 10, schema, log }
  t.same(await claimStale({ ...options, consumer: 'x', minIdleMs: 60_000 }), [])
  await until(async () => ((await redis.xpending('s', 'g', 'IDLE', 20, '-', '+', 10)) as unknown[]).length === 2)
  const [x, y] = await Promise.all([
    claimStale({ ...options, consumer: 'x', minIdleMs: 20 }),
    claimStale({ ...options, consumer: 'y', minIdleMs: 20 }),
  ])
  t.same([...x, ...y].map(({ value }) => value.n).sort(), [1, 2], 'each by one')
  for (const entry of [...x, ...y]) t.match(entry, { from: 'dead', deliveries: 1, stream: 's' })
  const pipeline = redis.pipeline()
  ackEntries(
    pipeline,
    's',
    'g',
    [...x, ...y].map(({ id }) => id),
  )
  await pipeline.exec()
  t.equal(await redis.xlen('s'), 0)
})

t.test('what a consumer that has ended held is taken over at once, and nothing of others', async (t) => {
  const { redis, add } = await start(t)
  await ensureGroup(redis, 's', 'g')
  for (let n = 1; n <= 5; n++) await add('s', { n })
  const read = (consumer: string, count: number) => redis.xreadgroup('GROUP', 'g', consumer, 'COUNT', count, 'STREAMS', 's', '>')
  await read('dead', 3)
  await read('alive', 2)
  const unsure: string[] = []
  const options = {
    redis,
    group: 'g',
    streams: ['s', 'unknown'],
    count: () => 2,
    schema,
    log,
    from: (consumer: string) => consumer === 'dead',
  }
  const claim = async (consumer: string) => {
    const all: { value: { n: number } }[] = []
    for await (const entries of claimFrom({ ...options, consumer, onUnsure: (name) => void unsure.push(name) })) all.push(...entries)
    return all
  }
  const claims = () => Promise.all(['x', 'y'].map(claim))
  const taken = [...(await claims()), ...(await claims())].flat()
  t.same(taken.map(({ value }) => value.n).sort(), [1, 2, 3], 'each by one')
  for (const entry of taken) t.match(entry, { from: 'dead', deliveries: 1, stream: 's' })
  t.same(await claim('x'), [])
  t.ok(unsure.every((name) => name === 'dead'))
  const [, , , left] = (await redis.xpending('s', 'g')) as [number, string, string, [consumer: string, count: string][]]
  t.equal(left.find(([consumer]) => consumer === 'alive')?.[1], '2')
})

t.test('an acknowledgement that was cut in its middle leaves nothing that the next claim does not tidy away', async (t) => {
  const { redis, add } = await start(t)
  await ensureGroup(redis, 's', 'g')
  await add('s', { n: 1 })
  const read = (await redis.xreadgroup('GROUP', 'g', 'dead', 'COUNT', 1, 'STREAMS', 's', '>')) as [string, [string, string[]][]][]
  const commands: (() => Promise<unknown>)[] = []
  const record = (name: 'xack' | 'xdel') => (args: [string, string]) => void commands.push(() => redis.call(name, ...args))
  const pipeline = { xack: (...args: [string, string]) => record('xack')(args), xdel: (...args: [string, string]) => record('xdel')(args) }
  ackEntries(pipeline as unknown as ReturnType<typeof redis.pipeline>, 's', 'g', [read[0]![1][0]![0]])
  await commands[0]!()
  const pending = async () => (await redis.xpending('s', 'g', 'IDLE', 0, '-', '+', 10)) as unknown[]
  t.same([commands.length, await redis.xlen('s'), (await pending()).length], [2, 0, 1])
  t.same(await claimStale({ redis, group: 'g', streams: ['s'], count: 10, schema, log, consumer: 'x', minIdleMs: 0 }), [])
  t.equal((await pending()).length, 0)
})

t.test('consumers of processes that are gone are forgotten, unless they hold something', async (t) => {
  const { redis, add } = await start(t)
  await ensureGroup(redis, 's', 'g')
  await add('s', { n: 1 })
  await redis.xreadgroup('GROUP', 'g', 'holds', 'COUNT', 1, 'STREAMS', 's', '>')
  await redis.xgroup('CREATECONSUMER', 's', 'g', 'idle')
  t.equal(await forgetConsumers(redis, ['s', 'unknown'], 'g', 60_000), 0)
  await until(async () => (await forgetConsumers(redis, ['s', 'unknown'], 'g', 5)) === 1)
  const names = ((await redis.xinfo('CONSUMERS', 's', 'g')) as string[][]).map((row) => row[1])
  t.same(names, ['holds'])
})

const fact = (tail: string): Fact => ({ kind: 'inbox', runId: `0192f000-0000-7000-8000-00000000${tail}` })

t.test('the facts of one tick are one entry per partition; each send is answered', async (t) => {
  const { redis } = await start(t)
  const rides: string[] = []
  const sender = createFactSender(redis, {
    extend(pipeline) {
      rides.push('pipeline')
      pipeline.set('rode', '1')
    },
  })
  await Promise.all(['0001', '0011', '0002', '0021'].map((tail) => sender.send(fact(tail))))
  t.equal(sender.pending, 0)
  t.equal(rides.length, 1)
  t.equal(await redis.get('rode'), '1')
  const entries = await redis.xrange(keys.facts(1), '-', '+')
  t.equal(entries.length, 1)
  t.equal((JSON.parse(entries[0]![1][1]!) as Fact[]).length, 3)
  t.equal(await redis.xlen(keys.facts(partitionOf(fact('0002').runId))), 1)
  const last = sender.send(fact('0003'))
  await sender.close()
  await last
  await t.rejects(sender.send(fact('0004')), /closed/)
})

t.test('a fact that Redis does not take is a rejection, of that partition alone', async (t) => {
  const { redis } = await start(t)
  await redis.set(keys.facts(5), 'not a stream')
  const sender = createFactSender(redis)
  const [bad, good] = await Promise.allSettled([sender.send(fact('0005')), sender.send(fact('0006'))])
  t.match(bad, { status: 'rejected', reason: /WRONGTYPE/ })
  t.equal(good!.status, 'fulfilled')
})

t.test('while Redis is away, a waiting connection keeps facts and a failing one says so', async (t) => {
  const { server, redis } = await start(t)
  const failing = connectRedis(server.url, { name: 'api', whileAway: 'fail' })
  t.teardown(() => failing.disconnect())
  await until(() => failing.status === 'ready' && redis.status === 'ready')
  const waits = createFactSender(redis)
  const fails = createFactSender(failing)
  await server.kill()
  await until(() => failing.status !== 'ready' && redis.status !== 'ready')
  await t.rejects(fails.send(fact('0007')))
  const kept = waits.send(fact('0008'))
  await server.restart()
  await kept
  t.equal(await redis.xlen(keys.facts(8)), 1)
})
