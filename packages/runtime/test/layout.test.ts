import { testRedis, until } from '@baton/testing'
import t from 'tap'
import { createReaderSource } from '../src/layout.ts'
import { connectRedis } from '../src/redis.ts'

t.test('a source of readers that was closed opens none again, and leaves none open', async (t) => {
  const server = await testRedis(t)
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const readers = () => redis.client('LIST').then((list) => String(list).split('name=read ').length - 1)
  const source = createReaderSource(redis, 'read')
  await source.open(['a']).reading.ping()
  t.equal(await readers(), 1)
  source.close()
  t.throws(() => source.open(['a']))
  await until(async () => (await readers()) === 0)
})
