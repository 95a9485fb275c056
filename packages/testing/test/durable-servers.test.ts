/** The servers that chaos takes away keep what they promise to keep. */
import { Redis } from 'ioredis'
import postgres from 'postgres'
import { test } from 'tap'
import { durablePostgres, durableRedis } from '../src/index.ts'

test('what PostgreSQL has committed is there after a fast and after an immediate restart', async (t) => {
  const server = await durablePostgres(t)
  const sql = postgres(server.url, { max: 2, onnotice: () => {} })
  t.teardown(() => sql.end({ timeout: 1 }))
  await sql`create table kept (n int)`
  for (const [n, how] of (['fast', 'immediate'] as const).entries()) {
    await sql`insert into kept values (${n})`
    await server.restart(how)
    t.equal((await sql`select * from kept`).length, n + 1, how)
  }
  t.ok((await server.terminateBackends()) >= 1, 'backends can be ended')
  t.equal((await sql`select * from kept`.catch(() => sql`select * from kept`)).length, 2)
})

test('Redis finds its keys again after SIGKILL, and none when it was emptied', async (t) => {
  const server = await durableRedis(t)
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  await redis.set('kept', '1')
  await server.kill()
  await server.start()
  t.equal(await redis.get('kept'), '1')
  await server.kill()
  await server.start({ emptied: true })
  t.equal(await redis.get('kept'), null)
})

test('Redis with a full disk refuses writes until there is room again', async (t) => {
  const server = await durableRedis(t)
  const { disk } = server
  if ('missing' in disk) return t.comment(disk.missing)
  const redis = new Redis(server.url)
  t.teardown(() => redis.disconnect())
  await redis.set('before', '1')
  disk.fill()
  await t.rejects(
    (async () => {
      for (let n = 0; n < 1_000; n++) await redis.set(`n${n}`, 'x'.repeat(1_000))
    })(),
    /MISCONF/,
  )
  disk.free()
  for (let tries = 0; ; tries++) {
    const done = await redis.set('after', '1').catch((error: Error) => (tries > 100 ? Promise.reject(error) : undefined))
    if (done === 'OK') break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.equal(await redis.get('before'), '1')
})
