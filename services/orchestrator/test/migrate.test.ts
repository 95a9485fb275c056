import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connect } from '@baton/store'
import { emptyDatabase, endProcess, startProxy, testDatabase, testRedis, until } from '@baton/testing'
import { type Test, test } from 'tap'

const service = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const FLAGS = ['--conditions=@baton/source', '--no-warnings']

/** A program with what it says, which ends with the test. */
function start(t: Test, args: string[], env: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, [...FLAGS, ...args], {
    cwd: service('orchestrator'), // a program given as text finds its packages from here
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += chunk))
  t.teardown(() => endProcess(child, 'SIGTERM'))
  const ended = new Promise<{ code: number | null; said: string }>((resolve) => child.once('close', (code) => resolve({ code, said })))
  return { ended, said: () => said }
}

const migrateProgram = (t: Test, url: string, ...args: string[]) =>
  start(t, [service('orchestrator/src/migrate.ts'), ...args], { DATABASE_URL: url }).ended

/** What a database looks like after a later version has dropped something that this one uses. */
async function migrateAway(url: string): Promise<void> {
  const sql = connect(url, { max: 1 })
  await sql`insert into migrations (name, checksum, kind, needs, applied_by) values ('9002_drop', 'x', 'contract', 9001, '9.0.0')`
  await sql.end({ timeout: 1 })
}

test('the migrate program says what it applied, may run again, and tells a database that is too new or wrong use by its exit code', async (t) => {
  const { url } = await emptyDatabase(t)
  t.match(await migrateProgram(t, url, '--status'), { code: 75, said: /"missing":\["0001_baton".*database lacks migrations/ })
  t.match(await migrateProgram(t, url), { code: 0, said: /"migration":"0001_baton".*migration applied[\s\S]*database is up to date/ })
  t.match(await migrateProgram(t, url, '--expand'), { code: 0, said: /"applied":\[\],"left":\[\].*database is up to date/ })
  t.match(await migrateProgram(t, url, '--status'), { code: 0, said: /"missing":\[\].*database is up to date/ })
  t.match(await migrateProgram(t, url, '--contract'), { code: 2, said: /there is no --contract/ })
  await migrateAway(url)
  for (const args of [[], ['--status']]) {
    t.match(await migrateProgram(t, url, ...args), { code: 78, said: /Baton 9\.0\.0 has migrated the database \(9002_drop\)/ })
  }
})

test('the migrate program waits for a database that is away, and no longer than it may; one that refuses is not waited for', async (t) => {
  const { url } = await emptyDatabase(t)
  const proxy = await startProxy(t, url)
  proxy.refuse()
  const env = { DATABASE_URL: proxy.url, BATON_MIGRATE_AWAY_MS_MAX: '800' }
  t.match(await start(t, [service('orchestrator/src/migrate.ts')], env).ended, {
    code: 1,
    said: /"reason":".+does not answer, waiting for it[\s\S]*database could not be migrated/,
  })
  const waiting = start(t, [service('orchestrator/src/migrate.ts')], { DATABASE_URL: proxy.url })
  await until(() => waiting.said().includes('waiting for it'))
  proxy.accept()
  t.match(await waiting.ended, { code: 0, said: /database is up to date/ })

  const wrong = new URL(url)
  wrong.pathname = '/nowhere'
  t.match(await migrateProgram(t, wrong.href), { code: 1, said: /could not be migrated/ })
})

test('each service refuses a database that newer code has migrated away, in one sentence and with a code of its own', async (t) => {
  const [{ url }, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  await migrateAway(url)
  const env = {
    DATABASE_URL: url,
    REDIS_URL: redis.url,
    HOST: '127.0.0.1',
    PORT: '0',
    BATON_ADMIN_KEY: 'k'.repeat(16),
    BATON_MASTER_KEY: '0'.repeat(64),
  }
  for (const name of ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'fanout', 'agent-runner']) {
    const { code, said } = await start(t, [service(`${name}/src/main.ts`)], env).ended
    t.equal(code, 78, name)
    t.match(
      said.trim(),
      /^Baton 9\.0\.0 has migrated the database \(9002_drop\) for code that knows migration 9001 or a later one[^\n]*$/,
      name,
    )
  }
})

test('an orchestrator that may not migrate waits for the job that does', async (t) => {
  const [{ url }, redis] = await Promise.all([emptyDatabase(t), testRedis(t)])
  const env = {
    DATABASE_URL: url,
    REDIS_URL: redis.url,
    HOST: '127.0.0.1',
    PORT: '0',
    BATON_ADMIN_KEY: 'k'.repeat(16),
    BATON_MASTER_KEY: '0'.repeat(64),
  }
  const waiting = start(t, [service('orchestrator/src/main.ts')], { ...env, BATON_MIGRATE_AT_START: 'false' })
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  await until(() => /waiting: the database lacks 0001_baton, .*: migrate it with .{1,3}make migrate/.test(waiting.said()), {
    timeoutMs: 20_000,
  })
  t.same(await sql`select to_regclass('runs') as found`, [{ found: null }])
  t.match(await migrateProgram(t, url), { code: 0 })
  await until(() => waiting.said().includes('service listening'), { timeoutMs: 20_000 })
})

test('a service that runs when newer code migrates the database away stops in order, with that code', async (t) => {
  const { url } = await testDatabase(t)
  const program = `
    import { createLogger, createService, runService } from '@baton/runtime'
    import { connect, waitForSchema } from '@baton/store'
    await runService('patient', async () => {
      const sql = connect(process.env.DATABASE_URL, { max: 1 })
      await waitForSchema(sql, { timeoutMs: 10_000, watchMs: 20 })
      const app = createService({ name: 'patient', logger: createLogger({ name: 'patient' }), checks: [] })
      app.addHook('onClose', () => sql.end({ timeout: 1 }))
      return { app, host: '127.0.0.1', port: 0 }
    })`
  const running = start(t, ['--input-type=module', '--eval', program], { DATABASE_URL: url })
  await until(() => running.said().includes('service listening'), { timeoutMs: 20_000 })
  await migrateAway(url)
  const { code, said } = await running.ended
  t.equal(code, 78)
  t.match(said, /"msg":"Baton 9\.0\.0 has migrated the database[\s\S]*service stopped/)
})
