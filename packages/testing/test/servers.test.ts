import { spawn } from 'node:child_process'
import { Redis } from 'ioredis'
import { test } from 'tap'
import { stubServer, testDatabase, testRedis, until } from '../src/index.ts'

test('every test gets a database of its own', async (t) => {
  const [a, b] = await Promise.all([testDatabase(t), testDatabase(t)])
  await a.sql`create table mine (n int)`
  t.equal((await b.sql`select from pg_tables where tablename = 'mine'`).length, 0)
  t.match((await b.sql`select current_database() as name`)[0], { name: b.name })
})

test('a redis comes back on its port after a kill, with its data when appendonly', async (t) => {
  const server = await testRedis(t, { appendonly: true })
  const redis = new Redis(server.url)
  redis.on('error', () => {})
  t.teardown(() => redis.disconnect())
  await redis.set('a', '1')
  await server.kill()
  await server.restart()
  t.equal(await redis.get('a'), '1')
  await server.flushAll()
  t.equal(await redis.get('a'), null)
  t.match(await redis.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
})

test('servers end with a test process that is killed', async (t) => {
  const code = `
    import { startPostgres, testRedis } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
    const postgres = await startPostgres()
    const redis = await testRedis({ teardown() {} })
    console.log(JSON.stringify([postgres.port, redis.port]))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--conditions=@baton/source', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  const ports = (await until(() => out.includes(']') && JSON.parse(out), { timeoutMs: 30_000 })) as number[]
  child.kill('SIGKILL')
  for (const port of ports)
    await until(() =>
      fetch(`http://127.0.0.1:${port}`).then(
        () => false,
        (error) => error.cause?.code === 'ECONNREFUSED',
      ),
    )
  t.pass('both ports are closed')
})

test('a stub records what it was asked and answers as told', async (t) => {
  const stub = await stubServer(t, (request) => (request.path === '/no' ? { status: 404, body: 'no' } : { body: { ok: true } }))
  const answer = await fetch(`${stub.url}/a?b=1`, { method: 'POST', body: '{"x":1}', headers: { 'content-type': 'application/json' } })
  t.same(await answer.json(), { ok: true })
  t.equal((await fetch(`${stub.url}/no`)).status, 404)
  t.match(stub.requests, [{ method: 'POST', path: '/a?b=1', body: { x: 1 } }, { method: 'GET' }])
})
