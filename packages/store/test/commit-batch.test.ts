import { randomUUIDv7 } from 'node:crypto'
import { startPostgres, testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import {
  addToInbox,
  commitBatch,
  commitBatchBisecting,
  connect,
  createRuns,
  dueTimers,
  isUnknownOutcome,
  loadInbox,
  loadRuns,
  migrate,
  nextDue,
} from '../src/index.ts'
import { commitOf, event, newRun, opening, startRun } from './fixtures/runs.ts'

test('a commit moves its run, appends its events and is loaded again as it was written', async (t) => {
  const { sql } = await testDatabase(t)
  const input = { zeta: 1, alpha: [1.5, null, { a_b: 'ü "q" \\ \u0000' }] }
  const id = await startRun(sql, { input, labels: { team: 'a' }, trace: '00-1' })
  const data = { output: { nested_key: '"\\{},', list: [] }, generation: 0 }
  const commit = commitOf(id, 1, 3, {
    decision: { events: [event(id, 2, { path: 'each[3].charge', data }), event(id, 3, { type: 'run.succeeded', path: '' })] },
  })
  commit.summary = {
    status: 'succeeded',
    ending: null,
    output: { b: 1, a: 2 },
    error: null,
    startedAt: 1_700_000_000_123,
    endedAt: 1_700_000_000_456,
  }
  const { won, at } = await commitBatch(sql, [commit])
  t.same([...won], [id])
  t.ok(Math.abs(at - Date.now()) < 60_000)
  const loaded = (await loadRuns(sql, [id, randomUUIDv7()])).get(id)!
  t.equal(loaded.seq, 3)
  t.equal(JSON.stringify(loaded.header.input), JSON.stringify(input), 'input keeps the order of its keys')
  t.match(loaded.header, { runId: id, labels: { team: 'a' }, priority: 5, startedBy: 'key_1', trace: '00-1', version: 1 })
  t.same(
    loaded.events.map((e) => [e.seq, e.type, e.path]),
    [
      [1, 'run.created', ''],
      [2, 'step.succeeded', 'each[3].charge'],
      [3, 'run.succeeded', ''],
    ],
  )
  t.same(loaded.events[1]!.data, data)
  t.equal(loaded.events[1]!.at, commit.decision.events[0]!.at)
  const [row] = await sql`select * from runs where id = ${id}`
  t.match(row, {
    status: 'succeeded',
    seq: 3,
    output: { b: 1, a: 2 },
    error: null,
    startedAt: 1_700_000_000_123,
    endedAt: 1_700_000_000_456,
  })
})

test('a commit from an old seq writes nothing and does not take its inbox rows', async (t) => {
  const { sql } = await testDatabase(t)
  const [stale, fresh] = [await startRun(sql), await startRun(sql)]
  await commitBatch(sql, [commitOf(stale, 1, 2)])
  const inboxId = await addToInbox(sql, 'default', stale, { kind: 'cancel', by: 'key_1' })
  const { won } = await commitBatch(sql, [commitOf(stale, 1, 2, { inboxIds: [inboxId] }), commitOf(fresh, 1, 2)])
  t.same([...won], [fresh])
  t.equal((await loadRuns(sql, [stale])).get(stale)!.events.length, 2)
  t.equal((await loadInbox(sql, [stale])).length, 1)
  const unchanged = await commitBatch(sql, [commitOf(stale, 2, 2, { inboxIds: [inboxId] })])
  t.ok(unchanged.won.has(stale), 'facts that changed nothing pass the fence')
  t.equal((await loadInbox(sql, [stale])).length, 0)
  const none = await commitBatch(sql, [commitOf(stale, 1, 1)])
  t.equal(none.won.size, 0)
  t.ok(none.at > 0, 'the clock is given also when nobody won')
})

test('of racing committers of one seq exactly one wins, and no seq is written twice or left out', async (t) => {
  const { sql, url } = await testDatabase(t)
  const pools = Array.from({ length: 4 }, () => connect(url, { max: 1, genericPlans: true }))
  t.teardown(() => Promise.all(pools.map((pool) => pool.end({ timeout: 1 }))))
  const id = await startRun(sql)
  let wins = 0
  await Promise.all(
    pools.map(async (pool) => {
      for (let seq = 1; seq <= 40; ) {
        const { won } = await commitBatch(pool, [commitOf(id, seq, seq + 1)])
        if (won.has(id)) wins += 1
        seq = (await loadRuns(pool, [id])).get(id)!.seq
      }
    }),
  )
  const loaded = (await loadRuns(sql, [id])).get(id)!
  t.equal(wins, loaded.seq - 1)
  t.same(
    loaded.events.map((e) => e.seq),
    loaded.events.map((_, n) => n + 1),
  )
})

test('overlapping batches in opposite orders do not deadlock', async (t) => {
  const { sql, url } = await testDatabase(t)
  const pools = Array.from({ length: 4 }, () => connect(url, { max: 1 }))
  t.teardown(() => Promise.all(pools.map((pool) => pool.end({ timeout: 1 }))))
  const runs = Array.from({ length: 60 }, () => newRun())
  await createRuns(sql, runs)
  const { approvals } = await openApprovals(
    sql,
    runs.map((run) => run.id),
  )
  const seqs = new Map(runs.map((run) => [run.id, 2]))
  await Promise.all(
    pools.map(async (pool, n) => {
      for (let round = 0; round < 25; round++) {
        const ids = runs.map((run) => run.id)
        if (n % 2) ids.reverse()
        if (round % 3 === n % 3) ids.push(ids.shift()!)
        const batch = ids.map((id) =>
          commitOf(id, seqs.get(id)!, seqs.get(id)! + 1, {
            decision: {
              timersSet: [{ path: 'w', timer: 'wait', generation: 0, attempt: 1, dueAt: Date.now() + 1e6 }],
              approvalsClosed: round === 24 ? [{ id: approvals.get(id)!, status: 'cancelled', decision: null }] : [],
            },
          }),
        )
        const { won } = await commitBatch(pool, batch)
        for (const id of won) seqs.set(id, seqs.get(id)! + 1)
        for (const [id, loaded] of await loadRuns(pool, ids)) seqs.set(id, loaded.seq)
      }
    }),
  )
  const [counted] =
    await sql`select count(*) as n, count(*) filter (where r.seq = (select max(seq) from run_events e where e.run_id = r.id)) as exact from runs r`
  t.same(counted, { n: 60, exact: 60 })
})

async function openApprovals(sql: Parameters<typeof commitBatch>[0], ids: string[]) {
  const approvals = new Map(ids.map((id) => [id, randomUUIDv7()]))
  const { won } = await commitBatch(
    sql,
    ids.map((id) => commitOf(id, 1, 2, { decision: { approvalsOpened: [opening({ id: approvals.get(id)! })] } })),
  )
  return { approvals, won }
}

test('a run that closes an approval which is no longer pending writes nothing at all', async (t) => {
  const { sql } = await testDatabase(t)
  const [a, b] = [await startRun(sql), await startRun(sql)]
  const { approvals } = await openApprovals(sql, [a, b])
  await sql`update approvals set status = 'decided', decision = 'approve', closed_at = now() where id = ${approvals.get(a)!}`
  const closing = (id: string) =>
    commitOf(id, 2, 3, {
      decision: {
        approvalsClosed: [{ id: approvals.get(id)!, status: 'expired', decision: 'reject' }],
        timersSet: [{ path: 'w', timer: 'wait', generation: 0, attempt: 1, dueAt: Date.now() }],
      },
    })
  const { won } = await commitBatch(sql, [closing(a), closing(b)])
  t.same([...won], [b])
  const rows = await sql`select run_id, status, decision from approvals order by run_id`
  t.match(
    rows.find((row) => row.runId === a),
    { status: 'decided', decision: 'approve' },
  )
  t.match(
    rows.find((row) => row.runId === b),
    { status: 'expired', decision: 'reject' },
  )
  t.same(
    (await sql`select run_id from timers`).map((row) => row.runId),
    [b],
  )
  t.equal((await loadRuns(sql, [a])).get(a)!.seq, 2)
})

test('an approval keeps everything it was opened with', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql, { startedBy: 'key_9' })
  const question = opening({
    title: 'Refund "20"\\€?',
    description: 'a,{b}',
    data: { z: 1, a: null },
    assignees: ['user:a', 'group:b c'],
    quorum: 'all',
    requireComment: ['reject'],
    notify: [{ webhook: {} }],
    deadline: 1_800_000_000_000,
    allowSelf: true,
    veto: false,
  })
  await commitBatch(sql, [commitOf(id, 1, 2, { decision: { approvalsOpened: [question] } })])
  const [row] = await sql`select * from approvals`
  t.match(row, {
    id: question.id,
    runId: id,
    startedBy: 'key_9',
    workflow: 'refund',
    title: question.title,
    description: 'a,{b}',
    data: { z: 1, a: null },
    form: null,
    assignees: ['user:a', 'group:b c'],
    quorum: null,
    allowSelf: true,
    veto: false,
    requireComment: ['reject'],
    notify: [{ webhook: {} }],
    deadline: 1_800_000_000_000,
    status: 'pending',
    options: question.options,
  })
})

test('timers are set, moved and cleared with their run, and due by the clock of Postgres', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql, { timeoutMs: 3_600_000 })
  const all = Array.from({ length: 16 }, (_, n) => n)
  const timer = { path: 'a', timer: 'wait', generation: 0, attempt: 1 } as const
  await commitBatch(sql, [
    commitOf(id, 1, 2, {
      decision: {
        timersSet: [
          { ...timer, dueAt: Date.now() + 60_000 },
          { ...timer, path: 'b', dueAt: 1_000 },
        ],
      },
    }),
  ])
  const first = await dueTimers(sql, all, 10)
  t.match(first.timers, [{ runId: id, path: 'b', timer: 'wait', dueAt: 1_000 }])
  t.ok(first.now > 1_700_000_000_000)
  await commitBatch(sql, [
    commitOf(id, 2, 3, {
      decision: { timersSet: [{ ...timer, attempt: 2, dueAt: 2_000 }], timersCleared: [{ path: 'b', timer: 'wait' }] },
    }),
  ])
  t.match((await dueTimers(sql, all, 10)).timers, [{ path: 'a', attempt: 2, dueAt: 2_000 }])
  t.equal((await nextDue(sql, all)).dueAt, 2_000)
  t.same((await dueTimers(sql, [], 10)).timers, [])
  await commitBatch(sql, [commitOf(id, 3, 4, { decision: { timersCleared: [{ path: 'a', timer: 'wait' }] } })])
  const { now, dueAt } = await nextDue(sql, all)
  t.ok(dueAt! > now + 3_500_000, 'what is left is the timeout of the run')
})

test('a run with a value that Postgres refuses is named, and the others of its batch commit', async (t) => {
  const { sql } = await testDatabase(t)
  const runs = Array.from({ length: 9 }, () => newRun())
  await createRuns(sql, runs)
  const bad = runs[5]!.id
  const batch = runs.map((run) =>
    commitOf(run.id, 1, 2, run.id === bad ? { decision: { approvalsOpened: [opening({ title: 'a\u0000b' })] } } : {}),
  )
  const { won, refused } = await commitBatchBisecting(sql, batch)
  t.equal(won.size, 8)
  t.same([...refused.keys()], [bad])
  t.match(refused.get(bad), Error)
  t.equal((await loadRuns(sql, [bad])).get(bad)!.seq, 1)
  t.same(await sql`select * from approvals`, [])
})

test('a lost connection is told from a refused value', async (t) => {
  const { sql, url } = await testDatabase(t)
  const pool = connect(url, { max: 1 })
  const blocker = connect(url, { max: 1 })
  t.teardown(() => Promise.all([pool.end({ timeout: 1 }), blocker.end({ timeout: 1 })]))
  const id = await startRun(sql)
  const [backend] = await pool`select pg_backend_pid() as pid`
  await blocker.unsafe('begin')
  await blocker`select from runs where id = ${id} for update`
  const attempt = commitBatchBisecting(pool, [commitOf(id, 1, 2)]).catch((error: unknown) => error)
  await until(async () => (await sql`select from pg_locks where pid = ${backend!.pid} and not granted`).length > 0)
  await sql`select pg_terminate_backend(${backend!.pid}, 5000)`
  t.ok(isUnknownOutcome(await attempt))
  await blocker.unsafe('rollback')
  // postgres.js may answer the first statement of the new connection with the old error.
  const again = await until(() => commitBatch(pool, [commitOf(id, 1, 2)]))
  t.ok(again.won.has(id), 'the pool connects again')
})

test('a reader of the key does not block a commit', async (t) => {
  const { sql, url } = await testDatabase(t)
  const reader = connect(url, { max: 1 })
  t.teardown(() => reader.end({ timeout: 1 }))
  const id = await startRun(sql)
  await reader.unsafe('begin')
  await reader`select from runs where id = ${id} for key share`
  t.ok((await commitBatch(sql, [commitOf(id, 1, 2)])).won.has(id))
  await reader.unsafe('rollback')
})

test('most commits of a run are heap-only updates', async (t) => {
  // A server of its own: transactions in other databases hold back what Postgres thinks it may prune.
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await migrate(server.url)
  const sql = connect(server.url, { max: 2 })
  t.teardown(() => sql.end({ timeout: 1 }))
  const runs = Array.from({ length: 20 }, () => newRun({ labels: { team: 'a' }, input: { orderId: 'x'.repeat(100) } }))
  await createRuns(sql, runs)
  for (let seq = 1; seq <= 10; seq++)
    await commitBatch(
      sql,
      runs.map((run) => commitOf(run.id, seq, seq + 1)),
    )
  await sql`select pg_stat_force_next_flush()`
  const [stats] = await sql`select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'runs'`
  t.equal(stats!.nTupUpd, 200)
  t.ok(stats!.nTupHotUpd >= 150, `${stats!.nTupHotUpd} of 200`)
})
