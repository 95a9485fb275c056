import { testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import {
  acceptEvents,
  createRuns,
  type Db,
  deleteOldEvents,
  type EventToAccept,
  loadInbox,
  type Sql,
  takeUntriggered,
  withTransaction,
} from '../src/index.ts'
import { newRun, newUuid } from './fixtures/runs.ts'

function order(id: string, more: Partial<EventToAccept> = {}): EventToAccept {
  const { source = '/shop', type = 'order.paid' } = more
  return { source, id, type, event: { specversion: '1.0', source, id, type, data: { a_b: id, text: '\u0000' } }, ...more }
}

/** As the runner does it in the commit of a step that begins to wait: lock, write the row, look for what came before. */
async function wait(tx: Db, more: { runId?: string; path?: string; type?: string; namespace?: string } = {}) {
  const { runId = newUuid(), path = 'paid', type = 'order.paid', namespace = 'default' } = more
  await tx`select pg_advisory_xact_lock(event_lock_key(${namespace}, ${type}))`
  await tx`insert into event_waiters (namespace, type, run_id, path, generation) values (${namespace}, ${type}, ${runId}, ${path}, 2)`
  const earlier = await tx<{ eventId: string }[]>`
    select event_id from custom_events where namespace = ${namespace} and type = ${type} order by seq`
  return { runId, earlier: earlier.map((row) => row.eventId) }
}

const waiting = (sql: Sql, more: Parameters<typeof wait>[1] = {}) => withTransaction(sql, (tx) => wait(tx, more))
const aLock = (sql: Sql) => until(async () => (await sql`select from pg_locks where locktype = 'advisory' and not granted`).length > 0)

async function putTrigger(sql: Sql, name: string, eventType: string, enabled = true) {
  await sql`insert into triggers (namespace, name, type, workflow, enabled, settings, event_type, created_by)
    values ('default', ${name}, 'event', 'refund', ${enabled}, '{"a_b":1}', ${eventType}, 'key_1')`
}

test('an event is kept and put into the inbox of every run that waits for its type, in order of acceptance', async (t) => {
  const { sql } = await testDatabase(t)
  const both = await waiting(sql)
  await waiting(sql, { runId: both.runId, path: 'again' })
  const other = await waiting(sql, { path: 'each[1].paid' })
  await waiting(sql, { type: 'order.lost' })
  await waiting(sql, { namespace: 'other' })
  const told = await acceptEvents(sql, 'default', [order('z'), order('a'), order('m', { type: 'nobody.waits' })])
  t.match(told, { accepted: 3, duplicates: 0, outcomes: ['accepted', 'accepted', 'accepted'], runs: [] })
  t.same(told.woken.toSorted(), [both.runId, other.runId].toSorted())
  const rows = await loadInbox(sql, told.woken)
  t.equal(rows.length, 6)
  const [first, second] = rows.filter((row) => row.runId === other.runId).map((row) => row.fact)
  t.match(first, { kind: 'event', path: 'each[1].paid', generation: 2, event: order('z').event })
  t.match(second, { event: order('a').event })
  t.ok(first?.kind === 'event' && second?.kind === 'event' && first.seq < second.seq, 'numbers follow the order of the batch')
})

test('the same source and id does nothing again, in one batch or in several', async (t) => {
  const { sql } = await testDatabase(t)
  const { runId } = await waiting(sql)
  const first = await acceptEvents(sql, 'default', [order('1'), order('2'), order('1', { type: 'order.other' })])
  t.match(first, { accepted: 2, duplicates: 1, outcomes: ['accepted', 'accepted', 'duplicate'] })
  const again = await acceptEvents(sql, 'default', [order('2'), order('3'), order('2', { source: '/till' })])
  t.match(again, { accepted: 2, duplicates: 1, outcomes: ['duplicate', 'accepted', 'accepted'] })
  t.match(await acceptEvents(sql, 'other', [order('2')]), { accepted: 1, duplicates: 0 })
  t.match(await acceptEvents(sql, 'default', [order('2')]), { accepted: 0, duplicates: 1, woken: [] })
  t.equal((await loadInbox(sql, [runId])).length, 4)
})

test('posts of the same events at the same time, in any order, accept each once', async (t) => {
  const { sql } = await testDatabase(t)
  const events = Array.from({ length: 1_000 }, (_, n) => order(String(n)))
  const posts = [events, events.toReversed(), events.toSorted((a, b) => a.id.localeCompare(b.id))]
  const told = await Promise.all(posts.flatMap((post) => [post, post]).map((post) => acceptEvents(sql, 'default', post)))
  t.equal(
    told.reduce((sum, { accepted }) => sum + accepted, 0),
    1_000,
  )
  t.match(await sql`select count(*)::int as n from custom_events`, [{ n: 1_000 }])
})

test('a waiter that is being registered and an event that is being accepted see each other', async (t) => {
  const { sql } = await testDatabase(t)
  const late = newUuid()
  let accepting: Promise<{ woken: string[] }> | undefined
  await withTransaction(sql, async (tx) => {
    t.same((await wait(tx, { runId: late })).earlier, [])
    accepting = acceptEvents(sql, 'default', [order('1')])
    await aLock(sql)
  })
  t.same((await accepting)!.woken, [late], 'the event waits for the waiter')

  let registering: ReturnType<typeof waiting> | undefined
  await putTrigger(sql, 'slow', 'order.paid')
  await acceptEvents(sql, 'default', [order('2')], async () => {
    registering = waiting(sql)
    await aLock(sql)
    return []
  })
  t.same((await registering)!.earlier, ['1', '2'], 'the waiter waits for the event')
})

test('posts of one type do not wait for each other', async (t) => {
  const { sql } = await testDatabase(t)
  await putTrigger(sql, 'slow', 'order.paid')
  await acceptEvents(sql, 'default', [order('1')], async () => {
    t.match(await acceptEvents(sql, 'default', [order('2')]), { accepted: 1 })
    return []
  })
})

test('event triggers start runs with their event, or neither is there', async (t) => {
  const { sql } = await testDatabase(t)
  await putTrigger(sql, 'b-paid', 'order.paid')
  await putTrigger(sql, 'a-paid', 'order.paid')
  await putTrigger(sql, 'off', 'order.paid', false)
  await putTrigger(sql, 'lost', 'order.lost')
  const start: Parameters<typeof acceptEvents<string>>[3] = async (tx, fresh, triggers) => {
    t.match(triggers, [{ name: 'a-paid', workflow: 'refund', eventType: 'order.paid', settings: { a_b: 1 } }, { name: 'b-paid' }])
    t.match(fresh, [{ id: '2', event: order('2').event }])
    const { runs } = await createRuns(
      tx,
      triggers.map(() => newRun({ input: fresh[0]!.event })),
    )
    return runs.map((run) => run.id)
  }
  await acceptEvents(sql, 'default', [order('1', { type: 'x' })], start)
  const told = await acceptEvents(sql, 'default', [order('1', { type: 'x' }), order('2')], start)
  t.equal(told.runs.length, 2)
  t.match(await acceptEvents(sql, 'default', [order('2')], start), { runs: [], duplicates: 1 })
  const failing = acceptEvents(sql, 'default', [order('3')], () => Promise.reject(new Error('no')))
  await t.rejects(failing, { message: 'no' })
  t.match(await sql`select (select count(*)::int from runs) as runs, (select count(*)::int from custom_events) as events`, [
    { runs: 2, events: 2 },
  ])
})

test('events that are accepted without their triggers are marked, and taken once', async (t) => {
  const { sql } = await testDatabase(t)
  await putTrigger(sql, 'paid', 'order.paid')
  await putTrigger(sql, 'off', 'order.off', false)
  await acceptEvents(sql, 'default', [order('1'), order('2', { type: 'order.off' }), order('3', { type: 'order.lost' }), order('4')])
  await acceptEvents(sql, 'default', [order('5')], async () => [])
  const taken = await withTransaction(sql, async (tx) => {
    const first = await takeUntriggered(tx, 1)
    t.same(
      await takeUntriggered(sql, 10).then((others) => others.map(({ event }) => event)),
      [order('4').event],
      'what one has, others leave',
    )
    return first
  })
  t.match(taken, [{ namespace: 'default', type: 'order.paid', event: order('1').event }])
  t.same(await takeUntriggered(sql, 10), [])
})

test('events go when they were kept long enough, a page at a time', async (t) => {
  const { sql } = await testDatabase(t)
  await acceptEvents(
    sql,
    'default',
    ['1', '2', '3', '4'].map((id) => order(id)),
  )
  await sql`update custom_events set accepted_at = now() - interval '25 hours' where event_id <> '4'`
  const day = 86_400_000
  t.equal(await deleteOldEvents(sql, day, 2), 2)
  t.equal(await deleteOldEvents(sql, day, 2), 1)
  t.equal(await deleteOldEvents(sql, day, 2), 0)
  t.match(await acceptEvents(sql, 'default', [order('1'), order('4')]), { outcomes: ['accepted', 'duplicate'] })
})

test('while somebody waits, events are seen in the order of their numbers', async (t) => {
  const { sql } = await testDatabase(t)
  const { runId } = await waiting(sql)
  await putTrigger(sql, 'slow', 'order.paid')
  let second: Promise<unknown> | undefined
  await acceptEvents(sql, 'default', [order('1')], async () => {
    second = acceptEvents(sql, 'default', [order('2')])
    await aLock(sql)
    t.same(await loadInbox(sql, [runId]), [], 'the second is not seen before the first')
    return []
  })
  await second
  const events = (await loadInbox(sql, [runId])).flatMap(({ fact }) => (fact.kind === 'event' ? [fact] : []))
  t.same(
    events.map(({ event }) => (event as { id: string }).id),
    ['1', '2'],
  )
  t.ok(events[0]!.seq < events[1]!.seq)
})
