import { randomUUIDv7 } from 'node:crypto'
import { PARTITION_COUNT, partitionOf } from '@baton/contracts'
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import {
  addToInbox,
  commitBatch,
  countRuns,
  createRuns,
  findActive,
  findStale,
  findUnstarted,
  getRun,
  getRunsByIds,
  InvalidCursor,
  isCallWanted,
  lastSeqs,
  listEvents,
  listRuns,
  loadInbox,
} from '../src/index.ts'
import { commitOf, event, newRun, startRun } from './fixtures/runs.ts'

const PARTITIONS = Array.from({ length: PARTITION_COUNT }, (_, n) => n)

test('pages of runs are stable while runs come in', async (t) => {
  const { sql } = await testDatabase(t)
  const runs = Array.from({ length: 10 }, () => newRun())
  await createRuns(sql, runs)
  const expected = runs.map((run) => run.id).reverse()
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = await listRuns(sql, 'default', {}, { limit: 3, cursor })
    seen.push(...page.items.map((run) => run.id))
    cursor = page.nextCursor ?? undefined
    await startRun(sql)
  } while (cursor)
  t.same(seen, expected)
})

test('runs are filtered by everything at once, and counted alike', async (t) => {
  const { sql } = await testDatabase(t)
  const a = newRun({ workflow: 'a', labels: { team: 'x', 'k:v': '1' } })
  const b = newRun({ workflow: 'a', labels: { team: 'y:z' } })
  const c = newRun({ workflow: 'b', labels: { team: 'x', tier: '1' } })
  const d = newRun({ namespace: 'other', workflow: 'a' })
  const { at } = await createRuns(sql, [a, b, c, d])
  await commitBatch(sql, [commitOf(b.id, 1, 2), commitOf(c.id, 1, 2)])
  const check = async (filter: Parameters<typeof listRuns>[2], expected: { id: string }[]) => {
    const found = (await listRuns(sql, 'default', filter, { limit: 10 })).items.map((run) => run.id)
    t.same(
      found,
      expected.map((run) => run.id),
      JSON.stringify(filter),
    )
    t.equal(await countRuns(sql, 'default', filter), expected.length)
  }
  await check({}, [c, b, a])
  await check({ workflow: 'a' }, [b, a])
  await check({ status: ['running'] }, [c, b])
  await check({ status: ['running', 'queued', 'queued'] }, [c, b, a])
  await check({ status: ['failed'] }, [])
  await check({ label: ['team:x'] }, [c, a])
  await check({ label: ['team:x', 'tier:1'] }, [c])
  await check({ label: ['team:x', 'team:y'] }, [])
  await check({ label: ['team:y:z'] }, [b])
  await check({ label: ["team:'; drop table runs"] }, [])
  await check({ workflow: 'a', status: ['running'], label: ['team:y:z'] }, [b])
  await check({ since: at }, [c, b, a])
  await check({ since: new Date(at + 1).toISOString() }, [])
  await check({ until: at }, [])
  await check({ until: at + 1, since: '0001-01-01T00:00:00Z' }, [c, b, a])
  await check({ until: '9999-12-31T23:59:59.999Z', status: ['running'] }, [c, b])
  const page = await listRuns(sql, 'default', { status: ['running', 'queued'] }, { limit: 2 })
  t.same(
    (await listRuns(sql, 'default', { status: ['running', 'queued'] }, { limit: 2, cursor: page.nextCursor! })).items.map((run) => run.id),
    [a.id],
  )
})

test('a cursor that no list gave out is refused', async (t) => {
  const { sql } = await testDatabase(t)
  const bad = [
    '',
    'x',
    '!!',
    Buffer.from('[1]').toString('base64url'),
    Buffer.from('["a"]').toString('base64url'),
    Buffer.from('{}').toString('base64url'),
    Buffer.from(JSON.stringify([randomUUIDv7(), 1])).toString('base64url'),
  ]
  for (const cursor of bad) await t.rejects(listRuns(sql, 'default', {}, { limit: 1, cursor }), InvalidCursor, cursor)
})

test('a run is seen in its own namespace alone', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql, { labels: { a_b: 'c' } })
  t.match(await getRun(sql, 'default', id), { id, status: 'queued', labels: { a_b: 'c' }, output: null, error: null, endedAt: null })
  t.equal(await getRun(sql, 'other', id), undefined)
  t.match(await getRunsByIds(sql, [id, randomUUIDv7()]), [{ id }])
  t.same(await lastSeqs(sql, [id, randomUUIDv7()]), new Map([[id, 1]]))
})

test('events are listed after a seq, in order', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql)
  await commitBatch(sql, [commitOf(id, 1, 6)])
  t.same(
    (await listEvents(sql, id, 2, 3)).map((e) => e.seq),
    [3, 4, 5],
  )
  t.same(await listEvents(sql, id, 6, 10), [])
})

test('what stands still is found: queued runs, running runs, inbox rows', async (t) => {
  const { sql } = await testDatabase(t)
  const [queued, running, waiting] = [await startRun(sql), await startRun(sql), await startRun(sql)]
  await commitBatch(sql, [
    commitOf(running, 1, 2),
    commitOf(waiting, 1, 2, { summary: { status: 'waiting', ending: null, output: null, error: null, startedAt: 1, endedAt: null } }),
  ])
  const [future, past] = [Date.now() + 60_000, Date.now() - 60_000]
  const cuts = (before: number) => PARTITIONS.map((partition) => ({ partition, before }))
  t.same(await findUnstarted(sql, cuts(future), null, 10), [queued])
  t.same(await findUnstarted(sql, cuts(future), queued, 10), [])
  t.same(await findUnstarted(sql, cuts(past), null, 10), [])
  t.same(await findActive(sql, PARTITIONS, ['running'], future, null, 10), [{ id: running, seq: 2 }])
  t.same(await findActive(sql, PARTITIONS, ['running'], future, running, 10), [])
  t.same(await findActive(sql, PARTITIONS, ['running'], past, null, 10), [])
  const row = await addToInbox(sql, 'default', waiting, { kind: 'cancel', by: 'a' })
  t.same(await findStale(sql, cuts(future), null, 10), [{ id: row, runId: waiting }])
  t.same(await findStale(sql, cuts(future), row, 10), [])
  t.same(await findStale(sql, cuts(past), null, 10), [])
})

test('the backlog of one partition hides no other, and pages leave nothing out', async (t) => {
  const { sql } = await testDatabase(t)
  const runs = Array.from({ length: 200 }, () => newRun())
  await createRuns(sql, runs)
  const rows = await sql<{ id: string; partition: number }[]>`select id, partition_of(id) as partition from runs`
  t.ok(
    rows.every(({ id, partition }) => partition === partitionOf(id)),
    'Postgres and everybody else agree on partitions',
  )
  for (const { id } of runs) await addToInbox(sql, 'default', id, { kind: 'cancel', by: 'a' })
  const mine = runs.filter(({ id }) => partitionOf(id) === 7 || partitionOf(id) === 12).map(({ id }) => id)
  const cuts = [7, 12].map((partition) => ({ partition, before: Date.now() + 60_000 }))
  const queued: string[] = []
  const stale: string[] = []
  for (let more = true; more; ) {
    const ids = await findUnstarted(sql, cuts, queued.at(-1) ?? null, 5)
    queued.push(...ids)
    more = ids.length === 5
  }
  for (let after: string | null = null; ; ) {
    const found: { id: string; runId: string }[] = await findStale(sql, cuts, after, 5)
    stale.push(...found.map(({ runId }) => runId))
    if (found.length < 5) break
    after = found.at(-1)!.id
  }
  t.same(queued, mine.sort())
  t.same(stale.sort(), mine)
  await commitBatch(
    sql,
    runs.map(({ id }) => commitOf(id, 1, 2)),
  )
  t.same(
    (await findActive(sql, [7, 12], ['running'], Date.now() + 60_000, null, 1_000)).map(({ id }) => id),
    mine,
  )
})

test('outcomes come out of the inbox before commands', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql)
  await addToInbox(sql, 'default', id, { kind: 'cancel', by: 'a' })
  await addToInbox(sql, 'default', id, {
    kind: 'turn',
    path: 'a',
    generation: 0,
    attempt: 1,
    startedAt: 1,
    outcome: { status: 'succeeded', output: { a_b: '\u0000' } },
  })
  const rows = await loadInbox(sql, [id])
  t.match(rows, [{ runId: id, fact: { kind: 'turn', outcome: { output: { a_b: '\u0000' } } } }, { fact: { kind: 'cancel' } }])
  t.type(rows[0]!.id, 'string')
})

test('a call is wanted while exactly its attempt is scheduled and the run goes on', async (t) => {
  const { sql } = await testDatabase(t)
  const id = await startRun(sql)
  const call = { runId: id, path: 'a', generation: 0, attempt: 1 }
  const step = (seq: number, type: 'step.scheduled' | 'step.retrying' | 'step.succeeded', attempt: number, output = {}) =>
    commitOf(id, seq - 1, seq, { decision: { events: [event(id, seq, { type, data: { generation: 0, attempt, ...output } })] } })
  t.equal(await isCallWanted(sql, call), false, 'not yet scheduled')
  await commitBatch(sql, [step(2, 'step.scheduled', 1)])
  t.equal(await isCallWanted(sql, call), true)
  t.equal(await isCallWanted(sql, { ...call, generation: 1 }), false)
  t.equal(await isCallWanted(sql, { ...call, path: 'b' }), false)
  await commitBatch(sql, [step(3, 'step.retrying', 1)])
  t.equal(await isCallWanted(sql, call), false, 'in backoff')
  await commitBatch(sql, [step(4, 'step.scheduled', 2)])
  t.equal(await isCallWanted(sql, call), false, 'an older attempt')
  t.equal(await isCallWanted(sql, { ...call, attempt: 2 }), true)
  await sql`update runs set ending = 'cancelled' where id = ${id}`
  t.equal(await isCallWanted(sql, { ...call, attempt: 2 }), false, 'the run is ending')
  await sql`update runs set ending = null where id = ${id}`
  await commitBatch(sql, [step(5, 'step.succeeded', 2, { output: '\u0000' })])
  t.equal(await isCallWanted(sql, { ...call, attempt: 2 }), false, 'ended')
  t.equal(await isCallWanted(sql, { ...call, runId: randomUUIDv7() }), false)
})
