import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { commitBatch, connect, createRuns, createRunsTogether, deleteExpiredKeys, loadRuns, type Sql } from '../src/index.ts'
import { commitOf, newRun } from './fixtures/runs.ts'

const keyed = (key: string, bodyHash = 'h1', more = {}) => newRun({ idempotency: { key, bodyHash }, ...more })

test('runs are started with their first event and their timeout in one statement', async (t) => {
  const { sql } = await testDatabase(t)
  const runs = [
    newRun({ labels: { team: 'a' }, priority: 9, timeoutMs: 5_000 }),
    newRun({ input: null, version: 3, parent: { runId: newRun().id, path: 'child', generation: 0 } }),
  ]
  const { at, runs: created } = await createRuns(sql, runs)
  t.same(
    created,
    runs.map(({ id }) => ({ outcome: 'created', id })),
  )
  const loaded = await loadRuns(
    sql,
    runs.map((run) => run.id),
  )
  const [first, second] = runs.map((run) => loaded.get(run.id)!)
  t.match(first, { seq: 1, header: { createdAt: at, priority: 9 } })
  t.match(first!.events, [
    {
      seq: 1,
      type: 'run.created',
      path: '',
      at,
      data: { workflow: 'refund', version: 1, labels: { team: 'a' }, priority: 9, startedBy: 'key_1' },
    },
  ])
  t.match(second!.header, { version: 3, priority: 5, input: null, labels: {} })
  t.match(await sql`select * from timers`, [{ runId: runs[0]!.id, path: '', timer: 'run', dueAt: at + 5_000 }])
  t.match(await sql`select status, seq, parent_step from runs order by id`, [
    { status: 'queued', seq: 1, parentStep: null },
    { parentStep: 'child' },
  ])
})

test('a key that is known gives the first run, and tells another body', async (t) => {
  const { sql } = await testDatabase(t)
  const first = keyed('k')
  await createRuns(sql, [first])
  const plain = newRun()
  const { runs } = await createRuns(sql, [
    keyed('k'),
    plain,
    keyed('k', 'other'),
    keyed('k', 'h1', { workflow: 'other' }),
    keyed('k', 'h1', { namespace: 'other' }),
  ])
  t.match(runs, [
    { outcome: 'known', id: first.id },
    { outcome: 'created', id: plain.id },
    { outcome: 'mismatch', id: first.id },
    { outcome: 'created' },
    { outcome: 'created' },
  ])
  t.match(await sql`select count(*) as n from runs`, [{ n: 4 }])
})

test('one group with the same key twice starts one run', async (t) => {
  const { sql } = await testDatabase(t)
  const items = [keyed('k'), keyed('k'), keyed('k', 'other'), keyed('l')]
  const { runs } = await createRuns(sql, items)
  t.match(runs, [
    { outcome: 'created', id: items[0]!.id },
    { outcome: 'known', id: items[0]!.id },
    { outcome: 'mismatch', id: items[0]!.id },
    { outcome: 'created' },
  ])
})

test('of requests that race with one key one starts a run, and all are told that one', async (t) => {
  const { sql, url } = await testDatabase(t)
  const pools = Array.from({ length: 8 }, () => connect(url, { max: 1 }))
  t.teardown(() => Promise.all(pools.map((pool) => pool.end({ timeout: 1 }))))
  await Promise.all(pools.map((pool) => pool`select 1`))
  for (let round = 0; round < 10; round++) {
    const keys = ['a', 'b', 'c'].map((key) => `${key}${round}`)
    const groups = await Promise.all(
      pools.map((pool, n) =>
        createRuns(
          pool,
          (n % 2 ? keys.toReversed() : keys).map((key) => keyed(key)),
        ),
      ),
    )
    const byKey = (n: number, at: number) => groups[n]!.runs[n % 2 ? 2 - at : at]!
    for (const at of [0, 1, 2]) {
      t.equal(new Set(pools.map((_, n) => byKey(n, at).id)).size, 1)
      t.equal(pools.filter((_, n) => byKey(n, at).outcome === 'created').length, 1)
    }
  }
  t.match(await sql`select count(*) as n from runs`, [{ n: 30 }])
})

test('a key lives for a day and while its run is open, and is replaced after that', async (t) => {
  const { sql } = await testDatabase(t)
  const [open, ended, young] = [keyed('open'), keyed('ended'), keyed('young')]
  await createRuns(sql, [open, ended, young])
  await sql`update idempotency_keys set created_at = now() - interval '25 hours' where key <> 'young'`
  await endRuns(sql, [ended.id, young.id])
  const again = await createRuns(sql, [keyed('open'), keyed('ended', 'other'), keyed('young')])
  t.match(again.runs, [{ outcome: 'known', id: open.id }, { outcome: 'created' }, { outcome: 'known', id: young.id }])
  t.match((await createRuns(sql, [keyed('ended', 'other')])).runs, [{ outcome: 'known', id: again.runs[1]!.id }])
  await endRuns(sql, [again.runs[1]!.id])
  await sql`update idempotency_keys set created_at = now() - interval '25 hours'`
  t.equal(await deleteExpiredKeys(sql, 100), 2)
  t.match(await sql`select key from idempotency_keys`, [{ key: 'open' }])
})

async function endRuns(sql: Sql, ids: string[]) {
  const summary = { status: 'succeeded', ending: null, output: null, error: null, startedAt: Date.now(), endedAt: Date.now() } as const
  await commitBatch(
    sql,
    ids.map((id) => commitOf(id, 1, 2, { summary })),
  )
}

test('a batch with a key of another body starts nothing', async (t) => {
  const { sql } = await testDatabase(t)
  await createRuns(sql, [keyed('k')])
  const { runs } = await createRunsTogether(sql, [newRun(), keyed('k', 'other'), keyed('l')])
  t.match(runs, [{}, { outcome: 'mismatch' }, {}])
  t.match(await sql`select count(*) as n from runs`, [{ n: 1 }])
  t.match(await sql`select count(*) as n from idempotency_keys`, [{ n: 1 }])
  t.match((await createRunsTogether(sql, [newRun(), keyed('k'), keyed('l')])).runs, [
    { outcome: 'created' },
    { outcome: 'known' },
    { outcome: 'created' },
  ])
})

test('a thousand runs start at once', async (t) => {
  const { sql } = await testDatabase(t)
  const items = Array.from({ length: 1_000 }, (_, n) => newRun({ idempotency: { key: `k${n}`, bodyHash: 'h' }, timeoutMs: 1_000 }))
  const { runs } = await createRuns(sql, items)
  t.ok(runs.every((run, n) => run.outcome === 'created' && run.id === items[n]!.id))
  t.match(
    await sql`select (select count(*) from runs) as runs, (select count(*) from run_events) as events, (select count(*) from timers) as timers`,
    [{ runs: 1_000, events: 1_000, timers: 1_000 }],
  )
})
