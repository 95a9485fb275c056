import { connectRedis, createFactSender } from '@baton/runtime'
import type { Sql } from '@baton/store'
import { testDatabase, testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { command, saveWorkflow, startRuns } from './advance-harness.ts'
import { answerCalls, startRunner } from './stack-harness.ts'

const SEQUENCE = { steps: Array.from({ length: 10 }, (_, i) => ({ id: `s${i}`, http: { url: 'http://x.example/' } })) }

async function setup(t: Test) {
  const [{ sql, url }, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  const client = connectRedis(redis.url, { name: 'test' })
  t.teardown(() => client.disconnect())
  const sender = createFactSender(client)
  const wake = (ids: string[]) => Promise.all(ids.map((runId) => sender.send({ kind: 'start', runId })))
  return { sql: sql as unknown as Sql, urls: { database: url, redis: redis.url }, redis, client, sender, wake }
}

async function countOf(sql: Sql, status: string): Promise<number> {
  const [row] = await sql<{ n: number }[]>`select count(*)::int as n from runs where status = ${status}`
  return row!.n
}

async function assertWhole(t: Test, sql: Sql) {
  const doubled = await sql`select run_id, path from run_events where type like 'step.succeeded' group by run_id, path having count(*) > 1`
  t.equal(doubled.length, 0, 'one outcome for each step')
  const gaps = await sql`select run_id from run_events group by run_id having max(seq) <> count(*) or min(seq) <> 1`
  t.equal(gaps.length, 0, 'seq has no gap')
}

t.test('SIGKILL of the runner in the middle: the next one on its port goes on at once', async (t) => {
  const { sql, urls, wake } = await setup(t)
  const worker = answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'seq', SEQUENCE)
  const first = await startRunner(t, urls)
  const ids = await startRuns(sql, 'seq', SEQUENCE, 150)
  await wake(ids)
  await until(() => worker.calls.length > 500, { timeoutMs: 10_000 })
  await first.kill('SIGKILL')
  const startedAt = Date.now()
  await startRunner(t, urls, first.port)
  await until(async () => (await countOf(sql, 'succeeded')) === 150, { timeoutMs: 15_000 })
  t.comment(`drained ${Date.now() - startedAt} ms after the restart began`)
  await assertWhole(t, sql)
})

t.test('two runners share the work; when one is killed the other takes over', async (t) => {
  const { sql, urls, wake } = await setup(t)
  answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'seq', SEQUENCE)
  const one = await startRunner(t, urls)
  await startRunner(t, urls)
  const ids = await startRuns(sql, 'seq', SEQUENCE, 100)
  await wake(ids)
  await until(async () => (await countOf(sql, 'succeeded')) > 10, { timeoutMs: 10_000 })
  await one.kill('SIGKILL')
  await until(async () => (await countOf(sql, 'succeeded')) === 100, { timeoutMs: 20_000 })
  await assertWhole(t, sql)
})

t.test('FLUSHALL in the middle: every open run goes on within 30 s', async (t) => {
  const { sql, urls, client, wake } = await setup(t)
  const worker = answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'seq', SEQUENCE)
  await startRunner(t, urls)
  await wake(await startRuns(sql, 'seq', SEQUENCE, 150))
  await until(() => worker.calls.length > 400, { timeoutMs: 10_000 })
  const flushedAt = Date.now()
  await client.flushall()
  await until(async () => (await countOf(sql, 'succeeded')) === 150, { timeoutMs: 30_000 })
  t.comment(`all ended ${Date.now() - flushedAt} ms after the flush`)
  await assertWhole(t, sql)
})

t.test('runs that nobody was woken for are found, timers fire, commands of the inbox are applied', async (t) => {
  const { sql, urls } = await setup(t)
  answerCalls(t, urls.redis)
  const waits = {
    steps: [
      { id: 'w', wait: { for: '300ms' } },
      { id: 'a', http: { url: 'http://x.example/' } },
    ],
  }
  await saveWorkflow(sql, 'waits', waits)
  const forever = { timeout: '1h', steps: { w: { wait: { for: '1h' } } } }
  await saveWorkflow(sql, 'forever', forever)
  await startRunner(t, urls, undefined, { RUNNER_SWEEP_MS: '200' })
  const [long] = await startRuns(sql, 'forever', forever, 1)
  await startRuns(sql, 'waits', waits, 5)
  await until(async () => (await countOf(sql, 'succeeded')) === 5, { timeoutMs: 15_000 })
  await until(async () => (await countOf(sql, 'waiting')) === 1, { timeoutMs: 5_000 })
  await command(sql, long!, 'cancel')
  await until(async () => (await countOf(sql, 'cancelled')) === 1, { timeoutMs: 10_000 })
  t.equal((await sql`select * from timers`).length, 0, 'no timer is left behind')
})

t.test('SIGTERM under load: exit 0 within 25 s, and nothing is lost', async (t) => {
  const { sql, urls, wake } = await setup(t)
  const worker = answerCalls(t, urls.redis)
  await saveWorkflow(sql, 'seq', SEQUENCE)
  const first = await startRunner(t, urls)
  await wake(await startRuns(sql, 'seq', SEQUENCE, 150))
  await until(() => worker.calls.length > 300, { timeoutMs: 10_000 })
  const startedAt = Date.now()
  const { code } = await first.kill('SIGTERM')
  t.equal(code, 0)
  t.ok(Date.now() - startedAt < 25_000)
  await startRunner(t, urls)
  await until(async () => (await countOf(sql, 'succeeded')) === 150, { timeoutMs: 15_000 })
  await assertWhole(t, sql)
})
