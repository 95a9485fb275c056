import type { SlotWish } from '@baton/engine'
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { acceptEvents, type Beyond, commitBatch, createRuns, loadInbox, loadRuns, type Sql } from '../src/index.ts'
import { commitOf, newRun, newUuid, startRun } from './fixtures/runs.ts'

const NOTHING: Beyond = { waitersSet: [], waitersCleared: [], callbacksClosed: [], emitted: [], children: [], told: [] }
const beyond = (more: Partial<Beyond>): { beyond: Beyond } => ({ beyond: { ...NOTHING, ...more } })
const anEvent = (id: string, type = 'order.paid') => ({
  source: '/shop',
  id,
  type,
  event: { specversion: '1.0', source: '/shop', id, type },
})
const waiter = (after = 0, type = 'order.paid') => ({ waitersSet: [{ path: 'paid', generation: 0, type, after }] })
const ask = (more: Partial<Extract<SlotWish, { act: 'ask' }>> = {}, priority = 5) => {
  return beyond({ slot: { act: 'ask', key: 'k', limit: 1, onConflict: 'queue', ...more, priority } })
}
const leave = beyond({ slot: { act: 'leave', priority: 5 } })

async function eventsIn(sql: Sql, runId: string): Promise<string[]> {
  const rows = await loadInbox(sql, [runId])
  return rows.flatMap(({ fact }) => (fact.kind === 'event' ? [(fact.event as { id: string }).id] : []))
}

test('an event and a step that begins to wait for it never miss each other, and meet once', async (t) => {
  const { sql } = await testDatabase(t)
  const runs: string[] = []
  for (let i = 0; i < 300; i++) runs.push(await startRun(sql))
  const post = (i: number) => acceptEvents(sql, 'default', [anEvent(`e-${i}`, `type-${i}`)])
  const register = (i: number) => commitBatch(sql, [commitOf(runs[i]!, 1, 2, beyond(waiter(0, `type-${i}`)))])
  await Promise.all(
    runs.map(async (_, i) => {
      if (i % 3 === 0) await post(i).then(() => register(i))
      else if (i % 3 === 1) await Promise.all([post(i), register(i)])
      else await register(i).then(() => post(i))
    }),
  )
  for (const [i, runId] of runs.entries()) t.same(await eventsIn(sql, runId), [`e-${i}`], `run ${i}`)
})

test('a waiter sees what was accepted since its run was created, after what it has taken, a page at a time', async (t) => {
  const { sql } = await testDatabase(t)
  await acceptEvents(sql, 'default', [anEvent('before')])
  await sql`update custom_events set accepted_at = accepted_at - interval '1 hour'`
  const runId = await startRun(sql)
  await acceptEvents(
    sql,
    'default',
    Array.from({ length: 600 }, (_, i) => anEvent(`e-${i}`)),
  )
  const { woken } = await commitBatch(sql, [commitOf(runId, 1, 2, beyond(waiter()))])
  t.same(woken, [runId])
  const page = (await loadInbox(sql, [runId])).map((row) => row.fact)
  t.equal(page.length, 500)
  t.match(page.at(-1), { kind: 'event', more: true, event: { id: 'e-499' } })
  t.notOk((page[0] as { more?: boolean }).more)
  const last = (page.at(-1) as { seq: number }).seq
  await sql`delete from inbox`
  await commitBatch(sql, [commitOf(runId, 2, 3, beyond(waiter(last)))])
  t.equal((await loadInbox(sql, [runId])).length, 100, 'the rest')
  await commitBatch(sql, [commitOf(runId, 3, 4, beyond({ waitersCleared: ['paid'] }))])
  t.same((await acceptEvents(sql, 'default', [anEvent('late')])).woken, [], 'nobody waits any more')
})

test('what a run emits wakes those that wait, once, and is lost with the race for its run', async (t) => {
  const { sql } = await testDatabase(t)
  const [teller, hearer] = [await startRun(sql), await startRun(sql)]
  await commitBatch(sql, [commitOf(hearer, 1, 2, beyond(waiter()))])
  const emitted = [anEvent('run_1/tell/0')]
  t.same((await commitBatch(sql, [commitOf(teller, 7, 8, beyond({ emitted }))])).woken, [], 'a commit from an old seq tells nothing')
  t.same((await commitBatch(sql, [commitOf(teller, 1, 2, beyond({ emitted }))])).woken, [hearer])
  t.same((await commitBatch(sql, [commitOf(teller, 2, 3, beyond({ emitted }))])).woken, [], 'the same event again is a duplicate')
  t.same(await eventsIn(sql, hearer), ['run_1/tell/0'])
})

test('child runs are there with the commit of their parent, and what parent and child tell each other too', async (t) => {
  const { sql } = await testDatabase(t)
  const parent = await startRun(sql)
  const child = newRun({ id: newUuid(), parent: { runId: parent, path: 'each[1].child', generation: 2 }, depth: 1 })
  t.same([...(await commitBatch(sql, [commitOf(parent, 5, 6, beyond({ children: [child] }))])).won], [])
  t.equal((await loadRuns(sql, [child.id])).size, 0, 'no child of a commit that lost')
  await commitBatch(sql, [commitOf(parent, 1, 2, beyond({ children: [child] }))])
  const { header, events } = (await loadRuns(sql, [child.id])).get(child.id)!
  t.match(header, { parent: { runId: parent, path: 'each[1].child', generation: 2 }, depth: 1 })
  t.match(events[0]!.data, { parent: { run: `run_${parent}`, step: 'each[1].child' } })
  const fact = {
    kind: 'child-ended',
    path: 'each[1].child',
    generation: 2,
    run: child.id,
    status: 'succeeded',
    output: 1,
    error: null,
  } as const
  const { woken } = await commitBatch(sql, [commitOf(child.id, 1, 2, beyond({ told: [{ runId: parent, fact }] }))])
  t.same(woken, [parent])
  t.same((await loadInbox(sql, [parent]))[0]!.fact, fact)
})

async function held(sql: Sql): Promise<string[]> {
  return (await sql<{ runId: string }[]>`select run_id from concurrency_slots where held order by run_id`).map((row) => row.runId)
}

async function started(sql: Sql, count: number): Promise<string[]> {
  const runs = Array.from({ length: count }, () => newRun())
  await createRuns(sql, runs)
  return runs.map((run) => run.id).toSorted()
}

test('slots are never held by more than the limit, whoever asks and leaves at the same moment, and all get one', async (t) => {
  const { sql } = await testDatabase(t)
  const runs = await started(sql, 60)
  const ended = new Set<string>()
  let most = 0
  await Promise.all(runs.map((id) => commitBatch(sql, [commitOf(id, 1, 1, ask({ limit: 3 }))])))
  while (ended.size < runs.length) {
    const now = await held(sql)
    most = Math.max(most, now.length)
    t.ok(now.length > 0 && now.length <= 3, `${now.length} hold one`)
    await Promise.all(now.map((id) => commitBatch(sql, [commitOf(id, 1, 2, leave)])))
    for (const id of now) t.notOk(ended.has(id) || !ended.add(id), 'nobody holds one twice')
  }
  t.equal(most, 3)
  const told = await loadInbox(sql, runs)
  t.equal(told.filter(({ fact }) => fact.kind === 'slot' && fact.outcome === 'admitted').length, runs.length, 'each was told once')
  t.same(await sql`select from concurrency_slots`, [])
})

test('higher priorities go first, then older runs; asking twice is asking once', async (t) => {
  const { sql } = await testDatabase(t)
  const [first, old, young, urgent] = (await started(sql, 4)) as [string, string, string, string]
  for (const id of [first, first, young, old]) await commitBatch(sql, [commitOf(id, 1, 1, ask())])
  await commitBatch(sql, [commitOf(urgent, 1, 1, ask({}, 9))])
  const order: string[] = []
  for (const _ of [first, urgent, old, young]) {
    const [now] = await held(sql)
    order.push(now!)
    await commitBatch(sql, [commitOf(now!, 1, 2, leave)])
  }
  t.same(order, [first, urgent, old, young])
})

test('reject tells the run that there is no room; cancel-running cancels the others, the oldest first', async (t) => {
  const { sql } = await testDatabase(t)
  const [a, b, c] = (await started(sql, 3)) as [string, string, string]
  await commitBatch(sql, [commitOf(a, 1, 1, ask())])
  const { woken } = await commitBatch(sql, [commitOf(b, 1, 1, ask({ onConflict: 'reject' }))])
  t.same(woken, [b])
  t.match((await loadInbox(sql, [b]))[0]!.fact, { kind: 'slot', outcome: 'refused', key: 'k' })
  await commitBatch(sql, [commitOf(c, 1, 1, ask({ onConflict: 'cancel-running' }))])
  t.match((await loadInbox(sql, [a])).map((row) => row.fact.kind).toSorted(), ['cancel', 'slot'])
  t.same(await held(sql), [a], 'until it has ended it holds its slot')
  await commitBatch(sql, [commitOf(a, 1, 2, leave)])
  t.same(await held(sql), [c])
  t.same(
    (await loadInbox(sql, [c])).map((row) => row.fact.kind),
    ['slot'],
  )
})
