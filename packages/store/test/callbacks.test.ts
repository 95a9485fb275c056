/** One callback counts for a generation of a step, or none: whoever comes first, an orchestrator that takes it or a runner that ends the step. */
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { type Beyond, commitBatch, findCallback, loadInbox, type RunCommit, type Sql, takeCallback } from '../src/index.ts'
import { commitOf, startRun } from './fixtures/runs.ts'

const NOTHING: Beyond = { waitersSet: [], waitersCleared: [], callbacksClosed: [], emitted: [], children: [], told: [] }
const closing = (...closed: [path: string, generation: number][]): { beyond: Beyond } => ({
  beyond: { ...NOTHING, callbacksClosed: closed.map(([path, generation]) => ({ path, generation })) },
})
const factOf = (path = 'a', generation = 0) => {
  return { kind: 'callback', path, generation, receivedAt: 1_000, headers: {}, query: {}, body: { n: 1 } } as const
}
const outcomesIn = (sql: Sql) => sql`select path, generation, outcome from callbacks order by 1, 2`

test('a callback is in the inbox when it is taken, and a second one is not', async (t) => {
  const { sql } = await testDatabase(t)
  const runId = await startRun(sql)
  t.match(await findCallback(sql, { runId, path: 'a', generation: 0 }), { namespace: 'default', ended: false, outcome: null })
  const all = await Promise.all(Array.from({ length: 20 }, () => takeCallback(sql, runId, factOf())))
  t.equal(all.filter(Boolean).length, 1)
  t.same(
    (await loadInbox(sql, [runId])).map(({ fact }) => fact),
    [factOf()],
  )
  t.match(await findCallback(sql, { runId, path: 'a', generation: 0 }), { outcome: 'received', at: Number })
  t.equal(await takeCallback(sql, runId, factOf('a', 1)), true, 'of the next generation')
  t.equal(await takeCallback(sql, runId, factOf('b')), true, 'of another step')
})

test('no callback is taken for a run that has ended or is not there', async (t) => {
  const { sql } = await testDatabase(t)
  const runId = await startRun(sql)
  await sql`update runs set status = 'failed', ended_at = now() where id = ${runId}`
  t.equal(await takeCallback(sql, runId, factOf()), false)
  t.match(await findCallback(sql, { runId, path: 'a', generation: 0 }), { ended: true, status: 'failed', outcome: null })
  const nobody = '01920000-0000-7000-8000-000000000000'
  t.equal(await takeCallback(sql, nobody, factOf()), false)
  t.equal(await findCallback(sql, { runId: nobody, path: 'a', generation: 0 }), undefined)
  t.same(await sql`select from inbox`, [])
})

test('the end of a step and its callback never both count', async (t) => {
  const { sql } = await testDatabase(t)
  const runs: string[] = []
  for (let i = 0; i < 200; i++) runs.push(await startRun(sql))
  const outcomes = await Promise.all(
    runs.map(async (runId, i) => {
      const take = () => takeCallback(sql, runId, factOf())
      const end = async () => (await commitBatch(sql, [commitOf(runId, 1, 2, closing(['a', 0]))])).won.has(runId)
      if (i % 4 === 0) return [await take(), await end()]
      if (i % 4 === 1) return [await end(), await take()].reverse()
      return Promise.all([take(), end()])
    }),
  )
  for (const [i, [taken, ended]] of outcomes.entries()) t.equal(taken !== ended, true, `run ${i}: taken ${taken}, ended ${ended}`)
  const rows = await sql<{ seq: number; inbox: number; outcome: string }[]>`
    select r.seq, c.outcome, (select count(*)::int from inbox i where i.run_id = r.id) as inbox from runs r join callbacks c on c.run_id = r.id`
  t.equal(rows.length, 200)
  for (const row of rows) t.same([row.seq, row.inbox], row.outcome === 'received' ? [1, 1] : [2, 0])
})

test('an abort closes the callbacks of its run, holds although one came before, and takes nothing back that stood there', async (t) => {
  const { sql } = await testDatabase(t)
  const [runId, stale] = [await startRun(sql), await startRun(sql)]
  await takeCallback(sql, runId, factOf('b'))
  const beyond: Beyond = { ...NOTHING, callbacksGivenUp: ['a', 'b'].map((path) => ({ path, generation: 0 })) }
  t.same([...(await commitBatch(sql, [commitOf(runId, 1, 2, { beyond }), commitOf(stale, 7, 8, { beyond })])).won], [runId])
  t.same(await outcomesIn(sql), [
    { path: 'a', generation: 0, outcome: 'closed' },
    { path: 'b', generation: 0, outcome: 'received' },
  ])
  t.equal(await takeCallback(sql, runId, factOf('a')), false, 'the run is open again, say: the address of then is worth nothing')
  t.equal(await takeCallback(sql, runId, factOf('a', 1)), true, 'and that of now is')
})

test('what was decided without a callback that came meanwhile is void, and the rest of the batch is not', async (t) => {
  const { sql } = await testDatabase(t)
  const [called, quiet, stale] = [await startRun(sql), await startRun(sql), await startRun(sql)]
  await takeCallback(sql, called, factOf('b'))
  const batch: RunCommit[] = [
    commitOf(called, 1, 2, closing(['a', 0], ['b', 0])),
    commitOf(quiet, 1, 2, closing(['a', 0])),
    commitOf(stale, 7, 8, closing(['c', 3])),
  ]
  t.same([...(await commitBatch(sql, batch)).won], [quiet])
  t.same(
    await outcomesIn(sql),
    [
      { path: 'a', generation: 0, outcome: 'closed' },
      { path: 'b', generation: 0, outcome: 'received' },
    ],
    'what was not committed is not closed',
  )
  t.equal(await takeCallback(sql, called, factOf('a')), true)
  t.equal(await takeCallback(sql, stale, factOf('c', 3)), true)
  t.equal(await takeCallback(sql, quiet, factOf('a')), false)
  t.same([...(await commitBatch(sql, [batch[0]!])).won], [], 'alone in its batch too')
})

test('an end that was committed is not taken back by a runner that comes second', async (t) => {
  const { sql } = await testDatabase(t)
  const runId = await startRun(sql)
  const commit = commitOf(runId, 1, 2, closing(['a', 0]))
  t.same([...(await commitBatch(sql, [commit])).won], [runId])
  t.same([...(await commitBatch(sql, [commit])).won], [])
  t.same(await outcomesIn(sql), [{ path: 'a', generation: 0, outcome: 'closed' }])
})
