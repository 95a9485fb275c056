import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ENTRY_FIELD, keys } from '@baton/contracts'
import { startPostgres } from '@baton/embedded'
import { connect, migrate } from '@baton/store'
import { endProcess, findFreePort, serviceProgram, testRedis, until } from '@baton/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Finding } from '../src/doctor/finding.ts'
import { runCli } from '../src/run-cli.ts'

const ADMIN_KEY = '3b6f0c9a5d7e4218b0f6a4c2e8d19375'
const MASTER_KEY = '0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978a1b2c3d4e5f60718'
const OTHERS = ['workflow-runner', 'http-worker', 'hitl-worker', 'fanout', 'agent-runner']
const SAFE = { BATON_ADMIN_KEY: ADMIN_KEY, BATON_MASTER_KEY: MASTER_KEY }

type Answer = { code: number; out: string; healthy: boolean; findings: Finding[]; find(check: string): Finding[] }

/** Runs `baton doctor --json`, or without it when told so. */
async function doctor(t: Test, env: NodeJS.ProcessEnv, args = ['--json']): Promise<Answer> {
  let out = ''
  const code = await runCli(['doctor', ...args], {
    env: { HOME: t.testdir(), BATON_URL: 'http://127.0.0.1:1', BATON_KEY: ADMIN_KEY, ...env },
    cwd: tmpdir(),
    isTty: false,
    columns: 120,
    stdin: Readable.from([]),
    out: (text) => (out += text),
    err: (text) => (out += text),
    signal: new AbortController().signal,
  })
  const { healthy = code === 0, findings = [] } = args.includes('--json') ? JSON.parse(out) : {}
  return { code, out, healthy, findings, find: (check) => (findings as Finding[]).filter((finding) => finding.check === check) }
}

/** A PostgreSQL that loses nothing, with a migrated database. */
async function safePostgres(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'baton-doctor-'))
  chmodSync(folder, 0o755)
  const password = 'a-password-of-9-words'
  const server = await startPostgres({
    dataDir: join(folder, 'data'),
    password,
    settings: { max_connections: '30', shared_buffers: '16MB' },
  })
  t.teardown(async () => {
    await server.stop({ remove: true })
    rmSync(folder, { recursive: true, force: true })
  })
  await migrate(server.url)
  const sql = connect(server.url, { max: 2 })
  t.teardown(() => sql.end({ timeout: 1 }))
  return { url: server.url, sql }
}

async function openRedis(t: Test) {
  const { url } = await testRedis(t)
  const redis = new Redis(url)
  t.teardown(() => redis.disconnect())
  await redis.config('SET', 'appendonly', 'yes')
  return { url, redis }
}

/** Says of a service that it lives, with a clock that is so far ahead. */
function beat(t: Test, redis: Redis, service: string, aheadMs = 0): void {
  const say = () => {
    const entry = { service, replica: `${service}-1`, at: Date.now() + aheadMs, url: 'http://127.0.0.1:1', version: '0.1.0' }
    void redis.hset(keys.replicas, `${service}:${service}-1`, JSON.stringify(entry)).catch(() => {})
  }
  say()
  const timer = setInterval(say, 300)
  t.teardown(() => clearInterval(timer))
}

async function startOrchestrator(t: Test, env: Record<string, string>): Promise<string> {
  const port = await findFreePort()
  const child: ChildProcess = spawn(process.execPath, serviceProgram('orchestrator'), {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'warn', ...SAFE, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  t.teardown(() => endProcess(child, 'SIGTERM'))
  const url = `http://127.0.0.1:${port}`
  await until(async () => (await fetch(`${url}/ready`)).ok, { timeoutMs: 60_000, what: 'the orchestrator to be ready' })
  return url
}

t.test('a deployment that is well, then one thing after the other is not', { timeout: 110_000 }, async (t) => {
  const [postgres, { url: redisUrl, redis }] = await Promise.all([safePostgres(t), openRedis(t)])
  const stores = { DATABASE_URL: postgres.url, REDIS_URL: redisUrl }
  const api = await startOrchestrator(t, stores)
  const env = { BATON_URL: api, ...SAFE, ...stores }

  const alone = await doctor(t, env)
  t.equal(alone.code, 1)
  t.match(
    alone
      .find('services')
      .filter(({ status }) => status === 'problem')
      .map(({ found }) => found),
    [/no workflow-runner/, /no http-worker/, /no hitl-worker/],
    'services that do not run are named',
  )
  for (const service of OTHERS) beat(t, redis, service)
  const well = await doctor(t, env)
  t.equal(well.code, 0, well.out)
  t.same(
    well.findings.filter(({ status }) => status === 'problem' || status === 'skipped'),
    [],
  )
  t.match(well.find('clocks'), [{ status: 'ok', found: /6 replicas are within/ }])
  t.match(well.find('versions'), [{ status: 'ok', found: /^0\.1\.0 \(/ }])
  t.notMatch(well.out, ADMIN_KEY, 'no key is shown')

  await t.test('a Redis that evicts and does not write down', async (t) => {
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await redis.config('SET', 'appendonly', 'no')
    const { code, find } = await doctor(t, env)
    t.equal(code, 1)
    t.match(find('redis eviction'), [{ status: 'problem', found: /allkeys-lru/, fix: /noeviction/ }])
    t.match(find('redis persistence'), [{ status: 'warning', fix: /appendonly yes/ }])
    t.match(find('ready'), [{ status: 'problem', found: /redis/ }], 'as the service sees it')
    await redis.config('SET', 'maxmemory-policy', 'noeviction')
    await redis.config('SET', 'appendonly', 'yes')
  })
  await t.test('a Postgres that answers before it has written', async (t) => {
    await postgres.sql`alter role baton set synchronous_commit = off`
    t.match((await doctor(t, env)).find('postgres durability'), [
      { status: 'problem', found: /synchronous_commit off/, fix: /alter system/ },
    ])
    await postgres.sql`alter role baton reset synchronous_commit`
  })
  await t.test('connections that are nearly used up', async (t) => {
    const crowd = connect(postgres.url, { max: 40 })
    const [{ left }] = (await postgres.sql`
      select 27 - count(*)::int as left from pg_stat_activity where backend_type = 'client backend'`) as unknown as [{ left: number }]
    const held = await Promise.all(Array.from({ length: left - 2 }, () => crowd.reserve()))
    t.match((await doctor(t, env)).find('postgres connections'), [
      { status: /warning|problem/, found: /of 27 connections/, fix: /max_connections/ },
    ])
    for (const connection of held) connection.release()
    await crowd.end({ timeout: 1 })
  })
  await t.test('a worker whose clock is wrong', async (t) => {
    beat(t, redis, 'http-worker-2', -20_000)
    t.match((await doctor(t, env)).find('clocks'), [
      { status: 'problem', found: /^http-worker-2:.* 20\.\d s behind Postgres/, fix: /keep time/ },
    ])
  })
  await redis.hdel(keys.replicas, 'http-worker-2:http-worker-2-1')
  await t.test('work that nobody takes', async (t) => {
    await redis.xadd(keys.calls(3), `${Date.now() - 90_000}-0`, ENTRY_FIELD, '{}')
    await redis.xadd(keys.facts(5), `${Date.now() - 20_000}-0`, ENTRY_FIELD, '{}')
    const { find } = await doctor(t, env)
    t.match(find('calls'), [{ status: 'problem', found: /has waited to be taken for 9\d\.\d s/, fix: /make scale/ }])
    t.match(find('facts'), [{ status: 'warning', found: /for 2\d\.\d s/ }])
    await redis.del(keys.calls(3), keys.facts(5))
  })
  await t.test('a key that the API does not know', async (t) => {
    const { code, find } = await doctor(t, { ...env, BATON_KEY: 'another' })
    t.equal(code, 1)
    t.match(find('api key'), [{ status: 'problem', found: /401/ }])
  })
  await t.test('a schema that newer code has changed', async (t) => {
    await postgres.sql`insert into migrations (name, checksum, kind, needs) values ('0900_drop', 'x', 'contract', 900)`
    t.match((await doctor(t, env)).find('schema'), [{ status: 'problem', found: /0900_drop/ }])
    await postgres.sql`delete from migrations where name = '0900_drop'`
  })
  const text = await doctor(t, env, [])
  t.equal(text.code, 0, text.out)
  t.match(text.out, /^ok +api +http[\s\S]*0 problems, 0 not looked at\n$/)
})

t.test('an empty database, and nobody at home', async (t) => {
  const { url } = await openRedis(t)
  const server = await safePostgres(t)
  await server.sql`create database bare`
  const bare = server.url.replace(/\/postgres$/, '/bare')
  const { code, find } = await doctor(t, { DATABASE_URL: bare, REDIS_URL: url })
  t.equal(code, 1)
  t.match(find('api'), [{ status: 'problem', found: /does not answer/, fix: /make up/ }])
  t.match(find('schema'), [{ status: 'problem', found: /lacks 0001_baton/, fix: /make migrate.*node app\/migrate\.js/ }])
  t.match(find('clocks'), [{ status: 'skipped', found: 'no replica beats' }])
  t.match(find('admin key'), [{ status: 'skipped' }])
  const wrong = await doctor(t, { DATABASE_URL: bare.replace('a-password', 'no-password'), REDIS_URL: 'redis://127.0.0.1:1' })
  t.match(wrong.find('postgres'), [{ status: 'problem', found: /password/, fix: /DATABASE_URL/ }])
  t.match(wrong.find('redis'), [{ status: 'problem', found: /127\.0\.0\.1:1 cannot be used/ }])
  const nothing = await doctor(t, {})
  t.same([nothing.find('postgres')[0]?.status, nothing.find('redis')[0]?.status], ['skipped', 'skipped'])
})

t.test('keys and passwords that can be guessed', async (t) => {
  const judge = async (env: NodeJS.ProcessEnv) => (await doctor(t, env)).findings.filter(({ check }) => /key|password/.test(check))
  const far = { DATABASE_URL: 'postgres://baton:baton@db.invalid/baton', REDIS_URL: 'redis://cache.invalid:6379' }
  t.match(await judge({ BATON_ADMIN_KEY: 'changeme', BATON_MASTER_KEY: '0'.repeat(64), ...far }), [
    { check: 'admin key', status: 'problem', fix: /openssl rand -hex 32/ },
    { check: 'master key', status: 'problem', found: /guessed/ },
    { check: 'postgres password', status: 'problem', found: 'it can be guessed (db.invalid)' },
    { check: 'redis password', status: 'problem', found: 'there is none in the URL (cache.invalid)' },
  ])
  t.match(await judge({ BATON_ADMIN_KEY: 'fj3-Kd9_slQ02mvX', BATON_MASTER_KEY: 'short' }), [
    { status: 'warning' },
    { status: 'problem', found: /not 32 bytes/ },
  ])
  t.match(await judge({ BATON_ADMIN_KEY: MASTER_KEY, BATON_MASTER_KEY: MASTER_KEY }), [
    { status: 'ok' },
    { status: 'ok' },
    { status: 'problem', found: /admin key too/ },
  ])
  t.match(await judge({ BATON_ADMIN_KEY: 'abcdabcdabcdabcdabcdabcdabcdabcd' }), [{ status: 'problem' }])
  t.match(await judge(SAFE), [{ status: 'ok' }, { status: 'ok' }])
})
