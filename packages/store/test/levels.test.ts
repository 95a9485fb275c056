import { testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import { addToInbox, commitBatch, connect, countOpenRuns, createRuns, readBacklog, readPendingApprovals, type Sql } from '../src/index.ts'
import { commitOf, newRun, opening } from './fixtures/runs.ts'

async function setup(t: Parameters<typeof testDatabase>[0]) {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  return { url, sql }
}

/** Rows of `runs` without a history, as many as it takes. */
async function fill(sql: Sql, namespace: string, status: string, count: number): Promise<void> {
  await sql`
    insert into runs (id, namespace, workflow, version, checksum, status, input, started_by, created_at, updated_at, ended_at)
    select gen_random_uuid(), ${namespace}, 'w', 1, 'c', ${status}, '{}', 'key:a', now(), now(),
           case when ${status} in ('succeeded', 'failed') then now() end
      from generate_series(1, ${count}::int)`
}

test('open runs are counted by status, over all namespaces', async (t) => {
  const { sql } = await setup(t)
  t.strictSame(await countOpenRuns(sql), { queued: 0, running: 0, waiting: 0, paused: 0 }, 'also when there are none')
  await fill(sql, 'a', 'queued', 2)
  await fill(sql, 'b', 'queued', 3)
  await fill(sql, 'b', 'waiting', 4)
  await fill(sql, 'c', 'paused', 1)
  await fill(sql, 'c', 'succeeded', 50)
  t.strictSame(await countOpenRuns(sql), { queued: 5, running: 0, waiting: 4, paused: 1 })
})

test('what waits in Postgres is counted, and the oldest of it is found', async (t) => {
  const { sql } = await setup(t)
  t.match(await readBacklog(sql), { inboxFacts: 0, inboxOldestMs: 0, timers: 0, timersOverdueMs: 0, databaseBytes: Number })
  const runs = [newRun({ timeoutMs: 3_600_000 }), newRun({ timeoutMs: 7_200_000 })]
  await createRuns(sql, runs)
  t.match(await readBacklog(sql), { timers: 2, timersOverdueMs: 0 }, 'what is not due is not overdue')
  await addToInbox(sql, 'default', runs[0]!.id, { kind: 'pause', by: 'a' })
  await addToInbox(sql, 'default', runs[1]!.id, { kind: 'pause', by: 'a' })
  await sql`update inbox set created_at = now() - interval '90 seconds' where run_id = ${runs[0]!.id}`
  await sql`update timers set due_at = now() - interval '40 seconds' where run_id = ${runs[1]!.id}`
  const backlog = await readBacklog(sql)
  t.equal(backlog.inboxFacts, 2)
  t.ok(backlog.inboxOldestMs >= 90_000 && backlog.inboxOldestMs < 120_000, `inbox ${backlog.inboxOldestMs}`)
  t.ok(backlog.timersOverdueMs >= 40_000 && backlog.timersOverdueMs < 60_000, `timers ${backlog.timersOverdueMs}`)
  t.ok(backlog.databaseBytes > 1_000_000)
})

test('pending approvals are counted by whom they wait for, without names', async (t) => {
  const { sql } = await setup(t)
  t.same(await readPendingApprovals(sql), { byAssignee: [], oldestMs: 0 })
  const open = async (...assignees: string[]) => {
    const run = newRun()
    await createRuns(sql, [run])
    await commitBatch(sql, [commitOf(run.id, 1, 2, { decision: { approvalsOpened: [opening({ assignees })] } })])
    return run.id
  }
  const old = await open('user:ann', 'user:bob', 'role:operator')
  await open('user:cid')
  await open('role:operator', 'group:finance')
  await open('role:chief', 'nobody')
  await open('role:admin')
  const decided = await open('role:admin')
  await sql`update approvals set created_at = now() - interval '1 hour' where run_id = ${old}`
  await sql`update approvals set status = 'decided', closed_at = now() where run_id = ${decided}`
  const { byAssignee, oldestMs } = await readPendingApprovals(sql)
  t.strictSame(Object.fromEntries(byAssignee.map(({ assignee, count }) => [assignee, count])), {
    group: 1,
    other: 1,
    'role:admin': 1,
    'role:operator': 2,
    user: 2,
  })
  t.ok(oldestMs >= 3_600_000 && oldestMs < 3_700_000, `oldest ${oldestMs}`)
})

test('no level is read by a scan of a whole table, whatever the statistics say', async (t) => {
  const { url, sql } = await setup(t)
  await fill(sql, 'a', 'succeeded', 5_000)
  await fill(sql, 'a', 'waiting', 5_000)
  await sql.unsafe('analyze')
  const scans = async () => {
    const [row] = await sql<{ whole: number; byStatus: number }[]>`
      select (select sum(seq_scan)::int from pg_stat_user_tables where relname in ('runs', 'inbox', 'timers', 'approvals')) as whole,
             (select sum(idx_scan)::int from pg_stat_user_indexes
               where indexrelname in ('runs_by_status', 'runs_of_workflow_by_status')) as by_status`
    return row!
  }
  const before = await scans()
  const asking = connect(url, { max: 1 })
  await countOpenRuns(asking)
  await readBacklog(asking)
  await readPendingApprovals(asking)
  await asking.end({ timeout: 1 }) // its statistics come with its end
  await until(async () => (await scans()).byStatus > before.byStatus, { what: 'the statistics of the questions' })
  t.equal((await scans()).whole - before.whole, 0)
})
