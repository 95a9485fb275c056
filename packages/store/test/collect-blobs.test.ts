/** Payloads go when nothing refers to them, and never before. */
import { createHash } from 'node:crypto'
import { testDatabase, until } from '@baton/testing'
import { type Test, test } from 'tap'
import { addToInbox, collectBlobs, commitBatch, connect, createRuns, getBlobTexts, noteBlobUses, putBlobs, type Sql } from '../src/index.ts'
import { commitOf, event, newRun, startRun } from './fixtures/runs.ts'

const DAY_MS = 86_400_000
const ENDED = { status: 'succeeded', ending: null, output: null, error: null, startedAt: 1, endedAt: 2 } as const

const refOf = (text: string) => ({ $blob: `sha256:${createHash('sha256').update(text).digest('hex')}`, bytes: text.length })

async function setup(t: Test) {
  const { sql: pool, url } = await testDatabase(t)
  const sql = pool as unknown as Sql
  /** Stores a payload, and lets it look as if that was two days ago. */
  const put = async (text: string, old = true) => {
    const ref = refOf(text)
    await putBlobs(sql, 'default', new Map([[ref.$blob, JSON.stringify(text)]]))
    if (old) await sql`update blobs set touched_at = now() - interval '2 days' where sha256 = ${ref.$blob}`
    return ref
  }
  const age = () => sql`update blobs set touched_at = now() - interval '2 days'`
  const exists = async (ref: { $blob: string }) => (await getBlobTexts(sql, 'default', [ref.$blob])).size === 1
  return { sql, url, put, age, exists }
}

/** A run that has ended, with an event that refers to the payload; noted as the runner does. */
async function endedRun(sql: Sql, ref: { $blob: string; bytes: number } | null, uses: { $blob: string }[] = ref ? [ref] : []) {
  const id = await startRun(sql)
  await noteBlobUses(
    sql,
    uses.map(({ $blob }) => ({ namespace: 'default', sha256: $blob, runId: id })),
  )
  const events = [event(id, 2, { data: { generation: 0, attempt: 1, output: ref } }), event(id, 3, { type: 'run.succeeded', path: '' })]
  await commitBatch(sql, [commitOf(id, 1, 3, { decision: { events }, summary: ENDED })])
  return id
}

test('what an event refers to stays for good, also when another run that used it does not; the rest goes', async (t) => {
  const { sql, put, age, exists } = await setup(t)
  const [kept, stale, young] = [await put('kept'), await put('stale'), await put('young', false)]
  await endedRun(sql, null, [kept, stale]) // its results came too late
  const keeper = await endedRun(sql, kept)
  await sql`update blobs set touched_at = now() - interval '2 days' where sha256 <> ${young.$blob}`
  t.same(await collectBlobs(sql, DAY_MS, 10), { looked: 2, collected: 1 })
  t.same([await exists(kept), await exists(stale), await exists(young)], [true, false, true])
  t.same(
    (await sql`select kept_by from blobs where sha256 = ${kept.$blob}`).map((row) => row.keptBy),
    [keeper],
  )
  await age()
  t.same(await collectBlobs(sql, DAY_MS, 10), { looked: 1, collected: 1 }, 'what is kept is not looked at again')
  t.same((await sql`select from blob_uses where sha256 = ${stale.$blob}`).length, 0)
  t.ok(await exists(kept))
})

test('what an open run, the inbox, or the input of a run that has not begun refers to stays until they are done', async (t) => {
  const { sql, put, age, exists } = await setup(t)
  const [used, turned, input] = [await put('used'), await put('turned'), await put('input')]
  const open = await startRun(sql)
  await commitBatch(sql, [commitOf(open, 1, 2)])
  await noteBlobUses(sql, [{ namespace: 'default', sha256: used.$blob, runId: open }])
  const outcome = { status: 'succeeded', output: turned } as const
  await addToInbox(sql, 'default', open, { kind: 'turn', path: 'a', generation: 0, attempt: 1, startedAt: 1, outcome })
  await createRuns(sql, [newRun({ input })])
  await age()
  t.same(await collectBlobs(sql, DAY_MS, 10), { looked: 3, collected: 0 })
  t.same(await collectBlobs(sql, DAY_MS, 10), { looked: 0, collected: 0 }, 'looked at again in a day')
  await sql`delete from inbox`
  await sql`update runs set status = 'cancelled', ended_at = now(), input = '{}'`
  await age()
  t.same(await collectBlobs(sql, DAY_MS, 10), { looked: 3, collected: 3 })
  t.notOk(await exists(used))
})

test('a payload that is used again while it is being collected is either there, or was written anew', async (t) => {
  const { sql, url, put, exists } = await setup(t)
  const ref = await put('again')
  const collector = connect(url, { max: 1 })
  t.teardown(() => collector.end({ timeout: 1 }))
  let collecting: ReturnType<typeof collectBlobs> | undefined
  await sql.begin(async (tx) => {
    // A writer of the same payload is in the middle.
    await putBlobs(tx, 'default', new Map([[ref.$blob, JSON.stringify('again')]]))
    collecting = collectBlobs(collector, DAY_MS, 10)
    await until(async () => (await sql`select from pg_locks where not granted`).length > 0)
  })
  t.equal((await collecting!).collected, 0, 'it was touched meanwhile')
  t.ok(await exists(ref))
})
