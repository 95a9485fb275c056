import { keys, partitionOf } from '@baton/contracts'
import { connectRedis, createFactSender, createLogger, NO_TRACING } from '@baton/runtime'
import { loadInbox } from '@baton/store'
import { type Teardown, testDatabase, testRedis, until } from '@baton/testing'
import { test } from 'tap'
import type { TurnOutcome } from '../src/ask-model.ts'
import { createClaims } from '../src/claim-turn.ts'
import { createTurnMetrics } from '../src/metrics.ts'
import { createTurnRecord } from '../src/record-turn.ts'
import { type TakeTurnDeps, takeTurn } from '../src/take-turn.ts'
import { openRun, recordEvent } from './open-run.ts'

const succeeded = (text: string): TurnOutcome => ({
  status: 'succeeded',
  output: { text, data: null, usage: { inputTokens: 1, outputTokens: 1, usd: 0 }, turns: 1 },
})

async function setUp(t: Teardown) {
  const [{ sql }, server] = await Promise.all([testDatabase(t), testRedis(t)])
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const log = createLogger({ name: 'test', level: 'silent' })
  const signal = new AbortController().signal
  const facts = createFactSender(redis)
  const record = createTurnRecord({ sql, facts, log, inlineBytesMax: 1_000, outputBytesMax: 10_000, signal })
  const claims = (replica: string) => createClaims({ redis, replica, ttlMs: 1_000, log })
  const asked: string[] = []
  const deps: TakeTurnDeps = {
    record,
    claims: claims('one'),
    metrics: createTurnMetrics(),
    tracing: NO_TRACING,
    log,
    signal,
    ask: async (turn) => {
      asked.push(turn.path)
      return succeeded('hello')
    },
  }
  return { sql, server, redis, deps, claims, asked }
}

test('an answer stands in Postgres before the turn is acknowledged, and the runner is woken', async (t) => {
  const { sql, redis, deps } = await setUp(t)
  const turn = await openRun(sql)
  await takeTurn(turn, deps)
  const [row] = await loadInbox(sql, [turn.runId])
  t.match(row!.fact, { kind: 'turn', path: 'draft', generation: 0, attempt: 1, outcome: succeeded('hello') })
  const entries = await redis.xrange(keys.facts(partitionOf(turn.runId)), '-', '+')
  t.same(JSON.parse(entries[0]![1][1]!), [{ kind: 'inbox', runId: turn.runId }])
  t.equal(await redis.exists(keys.inflight(`${turn.runId}/draft/0/1`)), 0, 'the claim is given back')
})

test('a turn that comes again is not paid again', async (t) => {
  const { sql, deps, asked } = await setUp(t)
  const turn = await openRun(sql)
  await takeTurn(turn, deps)
  await takeTurn(turn, deps)
  t.equal(asked.length, 1, 'its answer waits in the inbox')
  const applied = await openRun(sql)
  await recordEvent(sql, applied.runId, 4, 'step.succeeded', { generation: 0, attempt: 1 })
  await takeTurn(applied, deps)
  t.equal(asked.length, 1, 'its answer is recorded')
  await takeTurn({ ...(await openRun(sql)), attempt: 2 }, deps)
  t.equal(asked.length, 1, 'nobody asked for that attempt')
})

test('a turn of a run that is ending is withdrawn, so that the run does not wait for it', async (t) => {
  const { sql, redis, deps, asked } = await setUp(t)
  const turn = await openRun(sql)
  await sql`update runs set ending = 'cancelled' where id = ${turn.runId}`
  await takeTurn(turn, deps)
  t.equal(asked.length, 0)
  const [entry] = await redis.xrange(keys.facts(partitionOf(turn.runId)), '-', '+')
  t.match(JSON.parse(entry![1][1]!), [{ kind: 'result', path: 'draft', outcome: { status: 'failed', error: { code: 'BTN_WITHDRAWN' } } }])
})

test('of two replicas that get the same turn one asks', async (t) => {
  const { sql, deps, claims, asked } = await setUp(t)
  const turn = await openRun(sql)
  const gate = Promise.withResolvers<void>()
  const first = takeTurn(turn, {
    ...deps,
    ask: async () => {
      asked.push('first')
      await gate.promise
      return succeeded('first')
    },
  })
  await until(() => asked.length === 1)
  await takeTurn(turn, { ...deps, claims: claims('two') })
  t.same(asked, ['first'])
  gate.resolve()
  await first
  t.equal((await loadInbox(sql, [turn.runId])).length, 1)
})

test('a large answer is stored beside the fact, a huge one fails the step', async (t) => {
  const { sql, deps } = await setUp(t)
  const large = await openRun(sql)
  await takeTurn(large, { ...deps, ask: async () => succeeded('x'.repeat(5_000)) })
  const [row] = await loadInbox(sql, [large.runId])
  const { output } = (row!.fact as unknown as { outcome: { output: { $blob: string; bytes: number } } }).outcome
  const [blob] = await sql<{ content: string }[]>`select content from blobs where sha256 = ${output.$blob}`
  t.equal(blob!.content.length, output.bytes)
  t.match(JSON.parse(blob!.content), { text: 'x'.repeat(5_000), turns: 1 })
  const huge = await openRun(sql)
  await takeTurn(huge, { ...deps, ask: async () => succeeded('x'.repeat(20_000)) })
  const [failed] = await loadInbox(sql, [huge.runId])
  t.match(failed!.fact, { outcome: { status: 'failed', error: { code: 'BTN_OUTPUT_TOO_LARGE' }, retryable: false } })
})

test('an answer that Postgres would refuse is mended, not lost', async (t) => {
  const { sql, deps } = await setUp(t)
  const turn = await openRun(sql)
  await takeTurn(turn, { ...deps, ask: async () => succeeded('a\u0000b\ud800') })
  const [row] = await loadInbox(sql, [turn.runId])
  t.match(row!.fact, { outcome: { output: { text: 'a\ufffdb\ufffd' } } })
})

test('a paid answer waits for Postgres to come back', async (t) => {
  const { sql, deps } = await setUp(t)
  const turn = await openRun(sql)
  const lines: string[] = []
  const told = Promise.withResolvers<void>()
  const write = (line: string) => {
    lines.push(line)
    if (line.includes('not recorded yet')) told.resolve()
  }
  const log = createLogger({ name: 'test' }, { write })
  const facts = createFactSender(redisThatIsAway(t))
  const record = createTurnRecord({ sql, facts, log, inlineBytesMax: 1_000, outputBytesMax: 10_000, signal: deps.signal })
  await sql`alter table inbox rename to inbox_away`
  const taking = takeTurn(turn, { ...deps, log, record: { ...record, stateOf: async () => 'open' as const } })
  await told.promise
  await sql`alter table inbox_away rename to inbox`
  await taking
  t.equal((await loadInbox(sql, [turn.runId])).length, 1)
  t.notMatch(lines.join(''), 'hello', 'answers are not logged')
})

test('Redis may be emptied while a model thinks', async (t) => {
  const { sql, server, redis, deps } = await setUp(t)
  const turn = await openRun(sql)
  const gate = Promise.withResolvers<void>()
  const asking = Promise.withResolvers<void>()
  const taking = takeTurn(turn, {
    ...deps,
    ask: async () => {
      asking.resolve()
      await gate.promise
      return succeeded('hello')
    },
  })
  await asking.promise
  await server.flushAll()
  await until(async () => (await redis.exists(keys.inflight(`${turn.runId}/draft/0/1`))) === 1)
  t.pass('the claim comes back, so that the runner does not send the turn again')
  gate.resolve()
  await taking
  t.equal((await loadInbox(sql, [turn.runId])).length, 1)
})

/** Sending a wake-up fails at once. */
function redisThatIsAway(t: Teardown) {
  const redis = connectRedis('redis://127.0.0.1:1', { name: 'test', whileAway: 'fail' })
  t.teardown(() => redis.disconnect())
  return redis
}
