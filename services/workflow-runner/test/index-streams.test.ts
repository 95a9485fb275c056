/** What is known of long streams without reading them over and over. */
import { ENTRY_FIELD } from '@baton/contracts'
import { ackEntries, connectRedis, ensureGroup } from '@baton/runtime'
import { testRedis } from '@baton/testing'
import t, { type Test } from 'tap'
import { indexStreams } from '../src/index-streams.ts'

const STREAMS = ['one', 'two']
const GROUP = 'workers'

async function setup(t: Test) {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  let read = 0
  const { xrange } = redis
  redis.xrange = (async (...args: Parameters<typeof xrange>) => {
    const entries = await xrange.apply(redis, args)
    read += entries.length
    return entries
  }) as typeof xrange
  for (const stream of STREAMS) await ensureGroup(redis, stream, GROUP)
  const index = indexStreams<string>({ redis, streams: STREAMS, group: GROUP, idOf: (item) => (item.startsWith('-') ? undefined : item) })
  const add = async (stream: string, packs: string[][]) => {
    const pipeline = redis.pipeline()
    for (const pack of packs) pipeline.xadd(stream, '*', ENTRY_FIELD, JSON.stringify(pack))
    await pipeline.exec()
  }
  const take = async (stream: string, count: number) => {
    const [[, entries]] = (await redis.xreadgroup('GROUP', GROUP, 'w', 'COUNT', count, 'STREAMS', stream, '>')) as unknown as [
      [string, [string][]],
    ]
    return entries.map(([id]) => id)
  }
  const finish = async (stream: string, ids: string[]) => {
    const pipeline = redis.pipeline()
    ackEntries(pipeline, stream, GROUP, ids)
    await pipeline.exec()
  }
  const standing = async (...ids: string[]) => [...(await index.standing(ids))].sort()
  return { server, redis, add, take, finish, standing, entriesRead: () => read }
}

t.test('what waits, and what somebody holds, stands; what is done does not', async (t) => {
  const { add, take, finish, standing } = await setup(t)
  await add('one', [['a', 'b'], ['c'], ['-']])
  await add('two', [['d'], ['a']])
  t.same(await standing('a', 'b', 'c', 'd', 'e', '-'), ['a', 'b', 'c', 'd'])
  const ids = await take('one', 2)
  t.same(await standing('a', 'b', 'c'), ['a', 'b', 'c'], 'held')
  await finish('one', ids)
  t.same(await standing('a', 'b', 'c', 'd'), ['a', 'd'], 'a stands once more, elsewhere')
  await finish('two', await take('two', 2))
  t.same(await standing('a', 'b', 'c', 'd'), [])
  await add('two', [['c']])
  t.same(await standing('c'), ['c'], 'sent again')
})

t.test('a backlog is read once, not each time it is asked for', async (t) => {
  const { add, take, finish, standing, entriesRead } = await setup(t)
  const packs = Array.from({ length: 5_000 }, (_, n) => [`call-${n}`])
  await add('one', packs)
  const all = packs.flat()
  t.equal((await standing(...all)).length, 5_000)
  const first = entriesRead()
  await add('two', [['new']])
  await finish('one', (await take('one', 10)).slice(0, 5))
  t.equal((await standing(...all, 'new')).length, 4_996)
  t.ok(entriesRead() - first <= 2, `${entriesRead() - first} entries read the second time`)
})

t.test('after Redis was emptied or restarted nothing stands that was there before', async (t) => {
  const { server, add, standing } = await setup(t)
  await add('one', [['a'], ['b']])
  t.same(await standing('a', 'b'), ['a', 'b'])
  await server.flushAll()
  t.same(await standing('a', 'b'), [])
  await add('one', [['b']])
  t.same(await standing('a', 'b'), ['b'], 'also where there is no group yet')
  await server.restart()
  t.same(await standing('a', 'b'), [])
})

t.test('whoever asks sees what was there when it asked', async (t) => {
  const { add, standing } = await setup(t)
  const answers: Promise<string[]>[] = []
  for (let n = 0; n < 20; n++) {
    await add(n % 2 ? 'one' : 'two', [[`c${n}`]])
    answers.push(standing(`c${n}`))
  }
  t.same((await Promise.all(answers)).flat().length, 20)
})
