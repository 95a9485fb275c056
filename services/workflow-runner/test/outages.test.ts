/** The runner as a process while what it depends on is away, and while it stands still itself. */
import { connectRedis, createFactSender } from '@baton/runtime'
import type { Sql } from '@baton/store'
import { testDatabase, testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { saveWorkflow, startRuns } from './advance-harness.ts'
import { answerCalls, startRunner } from './stack-harness.ts'

const SEQUENCE = { steps: Array.from({ length: 5 }, (_, i) => ({ id: `s${i}`, http: { url: 'http://x.example/' } })) }

async function setup(t: Test) {
  const [{ sql, url }, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const client = connectRedis(redis.url, { name: 'test' })
  t.teardown(() => client.disconnect())
  const sender = createFactSender(client)
  const wake = (ids: string[]) => Promise.all(ids.map((runId) => sender.send({ kind: 'start', runId })))
  await saveWorkflow(sql as unknown as Sql, 'seq', SEQUENCE)
  return { sql: sql as unknown as Sql, urls: { database: url, redis: redis.url }, redis, wake }
}

const ended = async (sql: Sql) => (await sql<{ n: number }[]>`select count(*)::int as n from runs where status = 'succeeded'`)[0]!.n

t.test('SIGTERM while Redis is away or hangs: exit 0 within 25 s', async (t) => {
  for (const how of ['away', 'hanging'] as const) {
    const { urls, redis } = await setup(t)
    const runner = await startRunner(t, urls)
    if (how === 'away') await redis.kill()
    else redis.pause()
    const startedAt = Date.now()
    const { code } = await runner.kill('SIGTERM')
    t.equal(code, 0, how)
    t.ok(Date.now() - startedAt < 25_000, `${how}: ${Date.now() - startedAt} ms`)
    if (how === 'hanging') redis.resume()
  }
})

t.test('a runner that stands still in the middle is replaced, and spoils nothing when it goes on', async (t) => {
  const { sql, urls, wake } = await setup(t)
  answerCalls(t, urls.redis)
  const runners = [await startRunner(t, urls), await startRunner(t, urls)]
  const ids = await startRuns(sql, 'seq', SEQUENCE, 100)
  await wake(ids)
  await until(async () => (await sql`select from run_events where type = 'step.succeeded' limit 100`).length >= 100, { timeoutMs: 20_000 })
  runners[0]!.child.kill('SIGSTOP')
  await until(async () => (await ended(sql)) === 100, { timeoutMs: 40_000 })
  runners[0]!.child.kill('SIGCONT')
  const more = await startRuns(sql, 'seq', SEQUENCE, 50)
  await wake(more)
  await until(async () => (await ended(sql)) === 150, { timeoutMs: 40_000 })
  const doubled = await sql`select from run_events where type = 'step.succeeded' group by run_id, path having count(*) > 1`
  const gaps = await sql`select from run_events group by run_id having max(seq) <> count(*)`
  t.strictSame([doubled.length, gaps.length], [0, 0])
})

t.test('servers of Postgres that hang stop a runner no longer than a statement may take', async (t) => {
  const { sql, urls, wake } = await setup(t)
  answerCalls(t, urls.redis)
  await startRunner(t, urls, undefined, { RUNNER_DATABASE_STATEMENT_MS_MAX: '1000' })
  await wake(await startRuns(sql, 'seq', SEQUENCE, 20))
  await until(async () => (await ended(sql)) === 20, { timeoutMs: 20_000 })
  const backends = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity where datname = current_database() and application_name = 'workflow-runner'`
  t.ok(backends.length > 0)
  for (const { pid } of backends) process.kill(pid, 'SIGSTOP')
  try {
    await wake(await startRuns(sql, 'seq', SEQUENCE, 20))
    await until(async () => (await ended(sql)) === 40, { timeoutMs: 40_000, what: 'the runs to end, on connections that are made anew' })
  } finally {
    for (const { pid } of backends) process.kill(pid, 'SIGCONT')
  }
})
