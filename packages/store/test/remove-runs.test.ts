/** Retention: what goes, what stays, and that nothing is left of what went. */
import type { InboxFact } from '@baton/contracts'
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import {
  addToInbox,
  collectBlobs,
  commitBatch,
  createRuns,
  dropEmptyPartitions,
  listRetentions,
  type NewRun,
  noteBlobUses,
  putBlobs,
  putWorkflow,
  removeExpiredRuns,
  type Sql,
  takeCallback,
} from '../src/index.ts'
import { commitOf, newRun, newUuid } from './fixtures/runs.ts'

const DAY_MS = 86_400_000
const POLICIES = [{ namespace: 'default', workflow: 'refund', keptMs: 10 * DAY_MS }]

/** A run that was started so many days ago; its id says so too. */
async function oldRun(
  sql: Sql,
  { days = 20, ended = days as number | null, ...more }: Partial<NewRun> & { days?: number; ended?: number | null } = {},
) {
  const ms = (Date.now() - days * DAY_MS).toString(16).padStart(12, '0')
  const id = `${ms.slice(0, 8)}-${ms.slice(8)}-${newUuid().slice(14)}`
  await createRuns(sql, [newRun({ id, ...more })])
  await sql`update runs set created_at = now() - ${days} * interval '1 day' where id = ${id}`
  if (ended !== null) {
    await sql`update runs set status = 'failed', started_at = created_at, ended_at = now() - ${ended} * interval '1 day' where id = ${id}`
  }
  return id
}

const idsOf = async (sql: Sql) => (await sql<{ id: string }[]>`select id from runs order by id`).map(({ id }) => id)

test('runs go that ended before their retention, and no others', async (t) => {
  const { sql } = await testDatabase(t)
  const gone = [await oldRun(sql), await oldRun(sql, { days: 300, ended: 11 })]
  const waits = await oldRun(sql, { ended: null })
  const parent = await oldRun(sql)
  const retried = await oldRun(sql)
  const stays = [
    waits,
    parent,
    retried,
    await oldRun(sql, { ended: 9 }),
    await oldRun(sql, { namespace: 'other' }),
    await oldRun(sql, { workflow: 'kept' }),
    await oldRun(sql, { parent: { runId: waits, path: 'a', generation: 0 } }),
    await oldRun(sql, { ended: null, parent: { runId: parent, path: 'a', generation: null } }),
  ]
  await addToInbox(sql, 'default', retried, { kind: 'retry', by: 'key_1' } as InboxFact)
  t.equal(await removeExpiredRuns(sql, POLICIES, 100), 2)
  t.same(await idsOf(sql), [...stays].sort())
  t.notOk((await idsOf(sql)).some((id) => gone.includes(id)))
  t.equal(await removeExpiredRuns(sql, POLICIES, 100), 0)
  await sql`update runs set status = 'failed', ended_at = now() - interval '11 days' where id <> ${retried} and ended_at is null`
  t.equal(await removeExpiredRuns(sql, POLICIES, 100), 4, 'both families, when all of them have ended')
})

test('a run stays for a day after its start, while its Idempotency-Key counts', async (t) => {
  const { sql } = await testDatabase(t)
  const young = await oldRun(sql, { days: 0.9, ended: 0.9, idempotency: { key: 'k', bodyHash: 'h' } })
  const policies = [{ ...POLICIES[0]!, keptMs: 0 }]
  t.equal(await removeExpiredRuns(sql, policies, 100), 0)
  t.same(await idsOf(sql), [young])
  await sql`update runs set created_at = now() - interval '25 hours'`
  t.equal(await removeExpiredRuns(sql, policies, 100), 1)
})

test('the oldest go first, so many at a time, and one process at a time', async (t) => {
  const { sql } = await testDatabase(t)
  const ids = []
  for (let days = 30; days > 20; days--) ids.push(await oldRun(sql, { days }))
  const seen: string[] = []
  await removeExpiredRuns(sql, POLICIES, 3, async (_tx, runs) => {
    seen.push(...runs.map(({ id }) => id))
    t.equal(await removeExpiredRuns(sql, POLICIES, 3), undefined, 'somebody is at it')
  })
  t.same(seen, ids.slice(0, 3))
  t.same(await idsOf(sql), ids.slice(3))
})

test('runs that have something in their inbox keep none behind them', async (t) => {
  const { sql } = await testDatabase(t)
  const stay = []
  for (let days = 30; days > 25; days--) stay.push(await oldRun(sql, { days }))
  for (const runId of stay) await addToInbox(sql, 'default', runId, { kind: 'retry', by: 'key_1' } as InboxFact)
  for (let days = 20; days > 17; days--) await oldRun(sql, { days })
  t.equal(await removeExpiredRuns(sql, POLICIES, 5), 3, 'as many as stay in front of them would have filled the batch')
  t.same(await idsOf(sql), stay)
})

test('what is not exported stays, whole', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await oldRun(sql, { labels: { team: 'a' } })
  const fails = () => Promise.reject(new Error('no space left'))
  await t.rejects(removeExpiredRuns(sql, POLICIES, 10, fails), /no space left/)
  t.same(await idsOf(sql), [id])
  t.equal((await sql`select from run_events`).length, 1)
  t.equal((await sql`select from run_labels`).length, 1)
})

/** They outlive their runs: what people did, and keys that are removed by their age. */
const KEPT = ['audit', 'idempotency_keys']

test('nothing of a removed run is left in any table, and payloads stay while others refer to them', async (t) => {
  const { sql } = await testDatabase(t)
  const [id, other] = [await oldRun(sql, { ended: null, labels: { team: 'a' } }), await oldRun(sql, { ended: null, labels: { team: 'a' } })]
  const [shared, own] = ['1', '2'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string]
  await putBlobs(
    sql,
    'default',
    new Map([
      [shared, '"shared"'],
      [own, '"own"'],
    ]),
  )
  const use = (runId: string, sha256: string) => ({ namespace: 'default', sha256, runId })
  await noteBlobUses(sql, [use(id, shared), use(id, own), use(other, shared)])
  for (const runId of [id, other]) {
    const events = [shared, own].map((sha256, n) => ({
      runId,
      seq: 2 + n,
      type: 'step.succeeded' as const,
      path: 'a',
      at: Date.now(),
      data: { output: { $blob: sha256, bytes: 8 } },
    }))
    const approval = {
      id: newUuid(),
      path: 'ask',
      generation: 0,
      title: 'Go?',
      description: null,
      data: null,
      form: null,
      options: [{ id: 'approve' }],
    }
    const asked = {
      ...approval,
      assignees: ['role:operator'],
      quorum: 1 as const,
      veto: true,
      allowSelf: false,
      requireComment: false,
      notify: null,
      notifySecrets: null,
    }
    const timer = { path: 'b', timer: 'wait' as const, generation: 0, attempt: 1, dueAt: Date.now() }
    const decision = {
      events: runId === id ? events : events.slice(0, 1),
      approvalsOpened: [{ ...asked, deadline: null }],
      timersSet: [timer],
    }
    await commitBatch(sql, [commitOf(runId, 1, 1 + decision.events.length, { decision })])
    await sql`insert into approval_votes select 'default', ${approval.id}, 'key_1', 'ann', 'operator', '{}', 'approve', null, 'null', now()`
    await sql`insert into event_waiters (namespace, type, run_id, path, generation) values ('default', 'x', ${runId}, 'c', 0)`
    await sql`insert into concurrency_slots (run_id, namespace, workflow, key, priority, slots) values (${runId}, 'default', 'refund', 'k', 5, 1)`
    await sql`insert into run_snapshots (run_id, seq, namespace, shape, state) values (${runId}, 1, 'default', 1, '{}')`
    await sql`
      insert into tasks (id, namespace, run_id, path, generation, attempt, workflow, capabilities, payload, lease_ms, priority)
      values (${newUuid()}, 'default', ${runId}, 't', 0, 1, 'refund', '{"ocr"}', '{}', 1000, 5)`
    await takeCallback(sql, runId, { kind: 'callback', path: 'a', generation: 0, receivedAt: 0, headers: {}, query: {}, body: null })
    await sql`delete from inbox`
  }
  await sql`update runs set status = 'failed', ended_at = now() - interval '11 days' where id = ${id}`
  await sql`update runs set status = 'failed', ended_at = now() where id = ${other}`
  await sql`update blobs set touched_at = now() - interval '2 days'`
  await collectBlobs(sql, DAY_MS, 100)
  t.equal((await sql`select from blobs where kept_by is not null`).length, 2)
  const tables = await sql<{ table: string }[]>`
    select c.table_name as table from information_schema.columns c join information_schema.tables b using (table_schema, table_name)
     where c.column_name = 'run_id' and c.table_schema = current_schema() and b.table_type = 'BASE TABLE'
       and c.table_name !~ '^run_events_' order by 1`
  const rowsOf = async (table: string, runId: string) => (await sql`select from ${sql(table)} where run_id = ${runId}`).length
  for (const { table } of tables) {
    if (!KEPT.includes(table) && table !== 'inbox') t.ok((await rowsOf(table, id)) > 0, `${table} has something to remove`)
  }
  t.equal(await removeExpiredRuns(sql, POLICIES, 100), 1)
  for (const { table } of tables) {
    if (KEPT.includes(table)) continue
    t.equal(await rowsOf(table, id), 0, `${table} has nothing left`)
    if (table !== 'inbox') t.ok((await rowsOf(table, other)) > 0, `${table} has that of others`)
  }
  t.equal((await sql`select from approval_votes`).length, 1)
  await collectBlobs(sql, DAY_MS, 100)
  t.same(await sql`select sha256, kept_by from blobs`, [{ sha256: shared, keptBy: other }])
})

test('a partition of events is dropped when its month is over and no run needs it', async (t) => {
  const { sql } = await testDatabase(t)
  const named = async () =>
    (await sql<{ name: string }[]>`select relname as name from pg_class where relname ~ '^run_events_[0-9]+$' order by 1`).map(
      ({ name }) => name,
    )
  const before = await named()
  const [made] = await sql<{ name: string }[]>`select ensure_event_partition(now() - interval '100 days') as name`
  await sql`select ensure_event_partition(now() - interval '200 days')`
  const id = await oldRun(sql, { days: 100, ended: null })
  t.equal((await sql`select from ${sql(made!.name)}`).length, 1)
  t.equal((await dropEmptyPartitions(sql)).length, 1, 'that of which there is nothing')
  await sql`delete from run_events where run_id = ${id}`
  t.same(await dropEmptyPartitions(sql), [], 'an open run needs its month, also when it has no event')
  await sql`update runs set status = 'failed', ended_at = now() - interval '11 days'`
  await removeExpiredRuns(sql, POLICIES, 10)
  t.same(await dropEmptyPartitions(sql), [made!.name])
  t.same(await named(), before, 'those of today and of later are never touched')
})

test('the newest version of a workflow says how long its runs are kept', async (t) => {
  const { sql } = await testDatabase(t)
  const put = (name: string, definition: { retention?: string; description?: string }) =>
    putWorkflow(sql, {
      namespace: 'default',
      name,
      description: null,
      checksum: `sha256:${name}${JSON.stringify(definition)}`,
      definition,
      createdBy: 'key_1',
    })
  await put('a', { retention: '1d' })
  await put('b', {})
  await put('a', { retention: '30d', description: 'a NUL: \u0000' })
  t.same(await listRetentions(sql, null, 10), [
    { namespace: 'default', workflow: 'a', retention: '30d' },
    { namespace: 'default', workflow: 'b', retention: null },
  ])
  t.same(await listRetentions(sql, { namespace: 'default', workflow: 'a' }, 10), [{ namespace: 'default', workflow: 'b', retention: null }])
})
