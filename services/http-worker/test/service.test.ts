/** The whole service, as it is started: real Postgres, real Redis, settings from the environment, signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { keys } from '@baton/contracts'
import { createSecretBox, getBlobTexts } from '@baton/store'
import { endProcess, findFreePort, serviceProgram, stubServer, type Teardown, testDatabase, until } from '@baton/testing'
import t from 'tap'
import { callOf } from './calls.ts'
import { startHarness } from './harness.ts'

const MASTER_KEY = 'ab'.repeat(32)

async function startService(
  t: Teardown,
  env: Record<string, string>,
  at?: number,
): Promise<{ url: string; port: number; child: ChildProcess }> {
  const port = at ?? (await findFreePort())
  const settings = { HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'warn', BATON_MASTER_KEY: MASTER_KEY, BATON_HTTP_ALLOW: '127.0.0.1' }
  const child = spawn(process.execPath, serviceProgram('http-worker'), {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: process.env.PATH, ...settings, ...env },
  })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/ready`)).ok, { timeoutMs: 20_000 })
  return { url, port, child }
}

t.test('the service takes calls, reads secrets, stores large outputs, drops what nobody wants, and leaves on SIGTERM', async (t) => {
  const database = await testDatabase(t)
  const h = await startHarness(t)
  const stub = await stubServer(t, ({ path, headers }) => ({
    body: path === '/large' ? { text: 'x'.repeat(100_000) } : { token: headers.authorization },
  }))
  await createSecretBox(MASTER_KEY).putSecret(database.sql as never, 'default', 'TOKEN', 'very-secret')
  const { url, child } = await startService(t, { DATABASE_URL: database.url, REDIS_URL: h.server.url })

  const secrets = [{ pointer: '/auth/token', parts: [{ secret: 'TOKEN' }] }]
  const calls = [
    callOf({ url: stub.url, auth: { type: 'bearer', token: '' }, secrets }, { path: 'secret' }),
    callOf({ url: `${stub.url}/large` }, { path: 'large' }),
    callOf({ url: 'http://10.0.0.1/' }, { path: 'private' }),
    callOf({ url: `${stub.url}/late` }, { path: 'late', at: Date.now() - 60_000 }),
  ]
  await h.send(calls, 7)
  const results = await h.resultsOf(4)
  await until(async () => (await h.pending()) === 0)
  const of = (path: string) => results.find((result) => result.path === path)?.outcome
  t.match(of('secret'), { output: { body: { token: 'Bearer [redacted]' } } })
  t.equal(stub.requests.find(({ path }) => path === '/')?.headers.authorization, 'Bearer very-secret')
  t.match(of('late'), { error: { code: 'BTN_WITHDRAWN' } })
  t.match(of('private'), { error: { code: 'BTN_ADDRESS_REFUSED' } })
  const large = of('large') as unknown as { output: { $blob: string; bytes: number } }
  const texts = await getBlobTexts(database.sql as never, 'default', [large.output.$blob])
  t.equal(Buffer.byteLength(texts.get(large.output.$blob)!), large.output.bytes)
  t.notOk(
    stub.requests.some(({ path }) => path === '/late'),
    'a late call of an unknown run is not made',
  )

  t.match(await (await fetch(`${url}/health`)).json(), {
    status: 'ok',
    service: 'http-worker',
    checks: [
      { name: 'postgres', ok: true },
      { name: 'redis', ok: true },
    ],
  })
  t.match(await (await fetch(`${url}/metrics`)).text(), /baton_http_calls_total\{outcome="succeeded"\} 2/)
  const [beat] = await until(async () => Object.values(await h.redis.hgetall(keys.replicas)))
  t.match(JSON.parse(beat!), { service: 'http-worker', url })

  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])))
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
  t.same(await h.redis.hgetall(keys.replicas), {})
})

t.test('missing and wrong settings are all told at once', async (t) => {
  const child = spawn(process.execPath, serviceProgram('http-worker'), {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, BATON_MASTER_KEY: 'short', PORT: 'x' },
  })
  let text = ''
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  const code = await new Promise((resolve) => child.once('close', resolve))
  t.equal(code, 1)
  for (const name of ['DATABASE_URL is not set', 'REDIS_URL is not set', 'BATON_MASTER_KEY is wrong', 'PORT is wrong']) t.match(text, name)
})

t.test('killed in the middle of a call: the next one on its port takes it over at once', async (t) => {
  const database = await testDatabase(t)
  const h = await startHarness(t)
  const stub = await stubServer(t, () => new Promise(() => {}))
  const env = { DATABASE_URL: database.url, REDIS_URL: h.server.url, HTTP_WORKER_TAKEOVER_MS: '600000' }
  const { port, child } = await startService(t, env)
  await h.send([callOf({ url: stub.url }, { at: Date.now(), timeoutMs: 60_000 })])
  await until(() => stub.requests.length === 1)
  await endProcess(child, 'SIGKILL')
  await startService(t, env, port)
  // It was asked about, and this database knows no such run.
  const [result] = await h.resultsOf(1)
  t.match(result?.outcome, { error: { code: 'BTN_WITHDRAWN' } })
})
