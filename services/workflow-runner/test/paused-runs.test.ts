/** What is in flight when a run is paused ends and is recorded, also when Redis loses it meanwhile. */
import { callIdOf, type Fact, GROUPS, type HttpCall, keys, PARTITION_COUNT } from '@baton/contracts'
import { ackEntries, connectRedis, createFactSender, ensureGroups } from '@baton/runtime'
import type { Sql } from '@baton/store'
import { testDatabase, testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { command, saveWorkflow, startRuns } from './advance-harness.ts'
import { startRunner } from './stack-harness.ts'

const TWO = {
  steps: {
    a: { http: { url: 'http://x.example/' } },
    b: { http: { url: 'http://x.example/' } },
    c: { needs: ['a', 'b'], http: { url: 'http://x.example/' } },
  },
}
const CALLS = Array.from({ length: PARTITION_COUNT }, (_, lane) => keys.calls(lane))

async function setup(t: Test) {
  const [{ sql: pool, url }, server] = await Promise.all([testDatabase(t), testRedis(t)])
  const sql = pool as unknown as Sql
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const facts = createFactSender(redis)
  await saveWorkflow(sql, 'two', TWO)
  /** A worker by hand: takes what there is for it. */
  const take = async (): Promise<{ call: HttpCall; done(): Promise<unknown> }[]> => {
    await ensureGroups(redis, CALLS, GROUPS.calls)
    const replies = (await redis.xreadgroup('GROUP', GROUPS.calls, 'w', 'COUNT', 10, 'STREAMS', ...CALLS, ...CALLS.map(() => '>'))) as
      | [string, [string, string[]][]][]
      | null
    return (replies ?? []).flatMap(([stream, entries]) =>
      entries.flatMap(([id, fields]) => {
        const acknowledge = () => {
          const pipeline = redis.pipeline()
          ackEntries(pipeline, stream, GROUPS.calls, [id])
          return pipeline.exec()
        }
        return (JSON.parse(fields[1]!) as HttpCall[]).map((call) => ({ call, done: acknowledge }))
      }),
    )
  }
  const answer = ({ runId, path, generation, attempt }: HttpCall) => {
    const outcome = { status: 'succeeded', output: { ok: true } } as const
    return facts.send({ kind: 'result', runId, path, generation, attempt, startedAt: Date.now(), outcome } satisfies Fact)
  }
  const tell = async (runId: string, kind: 'pause' | 'resume', status: string) => {
    await facts.send((await command(sql, runId, kind)).fact as Fact)
    await until(async () => (await sql`select from runs where id = ${runId} and status = ${status}`).length === 1)
  }
  const steps = async (runId: string, type: string) => {
    const rows = await sql<{ path: string }[]>`select path from run_events where run_id = ${runId} and type = ${type} order by path`
    return rows.map(({ path }) => path)
  }
  return { sql, redis, server, facts, take, answer, tell, steps, urls: { database: url, redis: server.url } }
}

t.test('Redis is emptied in a pause: what a worker holds is recorded, what nobody holds is sent again, nothing new starts', async (t) => {
  const { sql, redis, server, facts, take, answer, tell, steps, urls } = await setup(t)
  const first = await startRunner(t, urls)
  const [id] = await startRuns(sql, 'two', TWO, 1)
  await facts.send({ kind: 'start', runId: id! })
  const calls: HttpCall[] = []
  await until(async () => calls.push(...(await take()).map(({ call }) => call)) >= 2)
  await tell(id!, 'pause', 'paused')
  await first.kill('SIGKILL') // whoever comes next has no memory of the run
  const [held, queued] = calls as [HttpCall, HttpCall]
  await server.flushAll()
  await redis.set(keys.inflight(callIdOf(held)), 'w', 'PX', 30_000)
  await startRunner(t, urls, first.port)
  const again: HttpCall[] = []
  await until(async () => again.push(...(await take()).map(({ call }) => call)) > 0)
  t.match(again, [{ path: queued.path, generation: 0, attempt: 1, resent: true }], 'under the same key')
  await Promise.all([answer(held), answer(again[0]!)])
  await until(async () => (await steps(id!, 'step.succeeded')).length === 2)
  t.same(await steps(id!, 'step.scheduled'), ['a', 'b'], 'a paused run starts nothing')
  await tell(id!, 'resume', 'running')
  await until(async () => again.push(...(await take()).map(({ call }) => call)) > 1)
  t.equal(again[1]!.path, 'c')
  await answer(again[1]!)
  await until(async () => (await sql`select from runs where status = 'succeeded'`).length === 1)
})

t.test('a call that is lost in a pause without anybody noticing is sent again at resume, and one that is held is not', async (t) => {
  const { sql, facts, take, tell, steps, urls, answer } = await setup(t)
  await startRunner(t, urls, undefined, { RUNNER_LOST_AFTER_MS: '600000' })
  const [id] = await startRuns(sql, 'two', TWO, 1)
  await facts.send({ kind: 'start', runId: id! })
  const taken: Awaited<ReturnType<typeof take>> = []
  await until(async () => taken.push(...(await take())) >= 2)
  const [lost, held] = taken as [(typeof taken)[0], (typeof taken)[0]]
  await tell(id!, 'pause', 'paused')
  await lost.done() // taken away and never answered
  await tell(id!, 'resume', 'running')
  const again: HttpCall[] = []
  await until(async () => again.push(...(await take()).map(({ call }) => call)) > 0)
  t.match(again, [{ path: lost.call.path, resent: true }])
  await Promise.all([answer(again[0]!), answer(held.call)])
  await until(async () => (await steps(id!, 'step.succeeded')).length === 2)
})
