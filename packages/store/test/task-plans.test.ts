/**
 * Tasks are looked for by index, whatever else there is: many that have ended, many that are held, many of other capabilities,
 * many of other namespaces.
 */
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { claimNext, connect, expireLeases, listOpenTasks, listTasks, moveTask, readOpenTasks } from '../src/index.ts'
import { caller, offer, offered } from './fixtures/tasks.ts'

test('no question about tasks reads the table whole, and the next one is the first of its index', async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  const many = (count: number, capabilities: string[]) =>
    Array.from({ length: count }, (_, i) => offer({ path: `${capabilities[0]}[${i}]`, capabilities, priority: i % 10 }))
  const ended = many(3_000, ['ocr'])
  await offered(sql, ended)
  await sql`update tasks set status = 'cancelled', closed_at = now()`
  await offered(sql, many(3_000, ['other']))
  await offered(sql, many(500, ['ocr']), 'elsewhere')
  const runId = await offered(sql, many(50, ['ocr']))
  await offered(sql, many(3_000, ['busy']))
  await sql`
    update tasks set status = 'claimed', holder = 'key_busy', holder_name = 'busy', claims = 1, claimed_at = now(),
           lease_until = now() + interval '1 hour'
     where capabilities[1] = 'busy'`
  await sql.unsafe('analyze')
  const reads = async () => {
    await sql`select pg_stat_force_next_flush()`
    const [row] = await sql<{ whole: number; fetched: number }[]>`
      select seq_scan::int as whole, idx_tup_fetch::int as fetched from pg_stat_user_tables where relname = 'tasks'`
    return row!
  }
  const ann = caller('ann')
  const questions: Record<string, [most: number, ask: () => Promise<unknown>]> = {
    'the next one': [80, () => claimNext(sql, 'default', ann, ['ocr', 'pdf'])],
    'the newest of a status': [60, () => listTasks(sql, 'default', { statuses: ['open'] }, { limit: 50 })],
    // By id, passing over the few of other namespaces: cheaper here than the index of the namespace.
    'the newest': [600, () => listTasks(sql, 'default', {}, { limit: 50 })],
    'the open ones of a run': [60, () => listOpenTasks(sql, runId)],
    'one of them': [10, () => moveTask(sql, { namespace: 'default', id: ended[0]!.id, caller: ann, asked: { call: 'claim' } })],
    'leases that ran out': [
      10,
      () =>
        expireLeases(
          sql,
          Array.from({ length: 16 }, (_, i) => i),
          100,
        ),
    ],
    'how many there are': [60, () => readOpenTasks(sql)],
  }
  for (const [what, [most, ask]] of Object.entries(questions)) {
    const before = await reads()
    await ask()
    const after = await reads()
    t.equal(after.whole - before.whole, 0, `${what}: not by a scan`)
    t.ok(after.fetched - before.fetched <= most, `${what}: ${after.fetched - before.fetched} rows were read`)
  }
})
