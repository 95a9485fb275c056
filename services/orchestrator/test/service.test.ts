import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseSettings } from '@baton/runtime'
import { emptyDatabase, endProcess, serviceProgram, startPostgres, type Teardown, testRedis, until } from '@baton/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { Settings } from '../src/config.ts'
import { ADMIN_KEY, startOrchestrator, TINY } from './start-orchestrator.ts'

const headers = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }

async function readJson<T>(url: string): Promise<T> {
  return (await (await fetch(url, { headers })).json()) as T
}

function startProcess(t: Teardown, env: Record<string, string>) {
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, serviceProgram('orchestrator'), { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => endProcess(child, 'SIGKILL'))
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  child.stderr.on('data', (chunk) => {
    text += chunk
  })
  const exited = once(child, 'exit') as Promise<[number | null]>
  const listening = () =>
    until(() => /"url":"([^"]+)"[^\n]*service listening/.exec(text)?.[1], { timeoutMs: 30_000, what: 'the service to listen' })
  return { child, exited, output: () => text, listening }
}

t.test('it brings an empty database up to date, serves, and exits 0 on SIGTERM with nothing lost', async (t) => {
  const [database, redis] = await Promise.all([emptyDatabase(t), testRedis(t)])
  const env = {
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    BATON_ADMIN_KEY: ADMIN_KEY,
    BATON_MASTER_KEY: '0'.repeat(64),
    PORT: '0',
    HOST: '127.0.0.1',
  }
  const first = startProcess(t, env)
  const url = await first.listening()
  for (const probe of ['healthz', 'ready', 'health', 'metrics']) t.equal((await fetch(`${url}/${probe}`)).status, 200, probe)
  await fetch(`${url}/api/v1/workflows/tiny`, { method: 'PUT', headers, body: JSON.stringify(TINY) })
  const status = await until(async () => {
    const answer = await readJson<{ services: object[] }>(`${url}/status`)
    return answer.services.length > 0 && answer
  })
  t.match(status, {
    services: [{ name: 'orchestrator', replicas: [{ url, version: String, seenMsAgo: Number }] }],
    queues: { facts: 0, calls: 0, 'agent-turns': 0, notifications: 0 },
  })

  const start = () => fetch(`${url}/api/v1/workflows/tiny/runs`, { method: 'POST', headers, body: '{}' })
  const waiting = fetch(`${url}/api/v1/workflows/tiny/runs?wait=60s`, { method: 'POST', headers, body: '{}' })
  await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes('baton_run_waiters 1'))
  const load = Promise.all(Array.from({ length: 100 }, start))
  await until(async () => (await readJson<{ count: number }>(`${url}/api/v1/runs/count`)).count > 20)
  // those that did not get to connect before it stopped listening are refused: then nothing is known of how many were accepted
  const accepted = load.then(
    (answers) => answers.filter((answer) => answer.status === 202).length,
    () => undefined,
  )
  first.child.kill('SIGTERM')
  t.equal((await waiting).status, 202, 'who waited is answered')
  const count = await accepted
  t.same(await first.exited, [0, null])

  const second = startProcess(t, env)
  const again = await second.listening()
  const kept = (await readJson<{ count: number }>(`${again}/api/v1/runs/count`)).count
  if (count !== undefined) t.ok(kept >= count + 1, `${count + 1} were accepted, ${kept} are there`)
  t.notMatch(first.output() + second.output(), new RegExp(ADMIN_KEY), 'no key stands in the log')
})

t.test('settings that are missing are told all at once', async (t) => {
  const { exited, output } = startProcess(t, { PORT: 'x' })
  t.same(await exited, [1, null])
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'BATON_ADMIN_KEY', 'BATON_MASTER_KEY', 'PORT']) t.match(output(), new RegExp(name))
})

t.test('while Postgres is away requests get 503, and the process stays alive', async (t) => {
  const [server, redis] = await Promise.all([startPostgres(), testRedis(t)])
  let stopped = false
  const stop = async () => {
    if (!stopped) await server.stop()
    stopped = true
  }
  t.teardown(stop)
  const { app } = await buildApp(
    parseSettings(Settings, {
      DATABASE_URL: server.url,
      REDIS_URL: redis.url,
      LOG_LEVEL: 'silent',
      BATON_ADMIN_KEY: ADMIN_KEY,
      BATON_MASTER_KEY: '0'.repeat(64),
    }),
  )
  t.teardown(() => app.close())
  await app.inject({ method: 'PUT', url: '/api/v1/workflows/tiny', headers, payload: TINY })
  await stop()
  for (const [method, url] of [
    ['GET', '/api/v1/runs'],
    ['POST', '/api/v1/workflows/tiny/runs'],
    ['PUT', '/api/v1/workflows/tiny'],
  ] as const) {
    const answer = await app.inject({ method, url, headers, payload: method === 'GET' ? undefined : TINY })
    t.equal(answer.statusCode, 503, `${method} ${url}: ${answer.payload}`)
    t.match(answer.json(), { code: 'BTN_UNAVAILABLE' })
    t.ok(answer.headers['retry-after'])
  }
  t.equal((await app.inject({ url: '/ready' })).statusCode, 503)
  t.equal((await app.inject({ url: '/healthz' })).statusCode, 200)
})

t.test('it goes on when Redis was restarted', async (t) => {
  const { post, get, save, redis } = await startOrchestrator(t)
  await save(TINY, 'tiny')
  await redis.restart()
  await until(async () => (await get('/ready', { key: null })).status === 200)
  t.equal((await post('/api/v1/workflows/tiny/runs')).status, 202)
  await until(async () => (await get('/status')).body?.queues.facts > 0)
})
