/** A Redis Cluster behind the face of a Redis. */
import { once } from 'node:events'
import { ENTRY_FIELD, keys, PARTITION_COUNT } from '@baton/contracts'
import { hasRedisServer, redisCluster, until } from '@baton/testing'
import t from 'tap'
import {
  connectRedis,
  consume,
  createFactSender,
  createLogger,
  createProducer,
  mastersOf,
  notifications,
  type Redis,
  readGroup,
  readsOf,
  watchRedis,
} from '../src/index.ts'

const skip = hasRedisServer() ? false : 'no redis-server on this machine'
const LANES = Array.from({ length: PARTITION_COUNT }, (_, lane) => lane)
const STREAMS = LANES.map(keys.facts)

t.test('on a cluster', { skip, timeout: 60_000 }, async (t) => {
  const cluster = await redisCluster(t, { password: 'not-to-be-guessed' })
  const open = (whileAway: 'wait' | 'fail') => {
    const redis = connectRedis(cluster.url, { name: 'test', whileAway })
    t.teardown(() => redis.disconnect())
    return redis
  }
  const redis = open('wait')
  const failing = open('fail')
  await once(failing, 'ready')

  for (const [name, connection] of Object.entries({ waits: redis, fails: failing })) {
    await t.test(`a pipeline over all slots is answered in the order of its commands (a connection that ${name})`, async (t) => {
      const pipeline = connection.pipeline()
      for (const lane of LANES) pipeline.set(`k{${lane}}`, lane)
      pipeline.publish('channel', 'hello')
      for (const lane of LANES) pipeline.get(`k{${lane}}`)
      pipeline.hget('k{0}', 'not a hash')
      pipeline.del(...LANES.map((lane) => `k{${lane}}`), 'unknown')
      t.equal(pipeline.length, 2 * PARTITION_COUNT + 3)
      const replies = (await pipeline.exec()) ?? []
      t.same(
        replies.slice(PARTITION_COUNT + 1, 2 * PARTITION_COUNT + 1).map(([error, value]) => error ?? value),
        LANES.map(String),
      )
      t.match(replies.at(-2)?.[0]?.message, /WRONGTYPE/, 'an error stands where its command does')
      t.same(replies.at(-1), [null, PARTITION_COUNT], 'a DEL of keys everywhere')
    })
  }

  await t.test('facts of all partitions arrive, each read by itself, and what is new wakes whoever waits', async (t) => {
    const reads = readsOf(redis, STREAMS)
    t.equal(reads.length, PARTITION_COUNT, 'each partition has a slot of its own')
    t.equal((await mastersOf(redis)).length, 3)
    const stopping = new AbortController()
    const seen: string[] = []
    const schema = { parse: (value: unknown) => value as { runId: string }[] }
    const readAll = reads.map(async (streams) => {
      const log = createLogger({ name: 'test', level: 'silent' })
      const options = { redis, group: 'test', consumer: 'one', schema, log, streams, count: 10, signal: stopping.signal }
      for await (const entries of readGroup(options)) seen.push(...entries.flatMap(({ value }) => value.map(({ runId }) => runId)))
    })
    const facts = createFactSender(failing)
    const ids = Array.from({ length: 100 }, (_, n) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`)
    await Promise.all(ids.map((runId) => facts.send({ kind: 'start', runId })))
    await until(() => seen.length === ids.length, { what: 'all facts' })
    t.same([...seen].sort(), ids)
    stopping.abort()
    await Promise.all(readAll)
  })

  await t.test('jobs go through BullMQ', async (t) => {
    const done = Promise.withResolvers<string>()
    const log = createLogger({ name: 'test', level: 'silent' })
    const consumer = consume(notifications, { redisUrl: cluster.url, concurrency: 1, log }, async ({ approvalId }) =>
      done.resolve(approvalId),
    )
    const producer = createProducer(notifications, cluster.url)
    t.teardown(async () => {
      await producer.close()
      await consumer.close(0)
    })
    await until(
      () =>
        producer.add({ approvalId: 'one', namespace: 'default' }).then(
          () => true,
          () => false,
        ),
      { what: 'a job that Redis has' },
    )
    t.equal(await done.promise, 'one')
    await until(async () => (await producer.depth()) === 0, { what: 'an empty queue' })
  })

  await t.test('a node that was emptied is told as a loss, once', async (t) => {
    const watch = watchRedis(redis)
    await watch.look()
    t.notOk(await watch.look())
    const id = await addEntry(redis)
    t.notOk(watch.isDoubtful(keys.calls(0), id))
    await (await cluster.masterOf(keys.calls(0))).ask('FLUSHALL')
    t.ok(await watch.look())
    t.notOk(await watch.look())
    t.notOk(await watch.isSettled(), 'everybody gets the time to say what they hold')
    t.ok(watch.isDoubtful(keys.calls(0), id), 'what came before it is asked about')
  })

  await t.test('a replica that was promoted is told as a loss, and commands that waited are answered', async (t) => {
    const watch = watchRedis(redis)
    await watch.look()
    const id = await addEntry(redis)
    const master = await cluster.masterOf(keys.calls(0))
    await master.kill()
    const refused = failing.get('k{0}').then(
      () => 'answered',
      () => 'refused',
    )
    t.equal(await refused, 'refused', 'a connection that must answer does not wait')
    const waiting = redis.pipeline()
    for (const lane of LANES) waiting.set(`k{${lane}}`, 'after')
    const replies = (await waiting.exec()) ?? []
    t.ok(
      replies.every(([error]) => error === null),
      'each is answered by the new master',
    )
    const promoted = async () => (await cluster.masterOf(keys.calls(0))) !== master
    await until(promoted, { what: 'all to know the new master' })
    t.ok(await watch.look())
    t.ok(watch.isDoubtful(keys.calls(0), id))
    await until(async () => (await failing.get('k{0}').catch(() => null)) === 'after', {
      what: 'the other connection to find the new master',
    })
  })
})

async function addEntry(redis: Redis): Promise<string> {
  return (await redis.xadd(keys.calls(0), '*', ENTRY_FIELD, '[]'))!
}
