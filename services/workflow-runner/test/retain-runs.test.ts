/** Retention by real runners: runs are on the disk before they go, and a runner that is killed while they go leaves whole ones. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@baton/runtime'
import { createRuns, putBlobs, type Sql } from '@baton/store'
import { testDatabase, testRedis, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { removeOld } from '../src/retain-runs.ts'
import { saveWorkflow } from './advance-harness.ts'
import { startRunner } from './stack-harness.ts'

const DAY_MS = 86_400_000
const EVENTS = 40
const FLOW = { retention: '10d', steps: { a: { set: {} } } }

type Line = { kind: string; run: string; lines?: number; event?: { seq: number }; row?: { status: string }; value?: unknown }

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'baton-export-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

/** Runs of three weeks ago, with a row for each of their events. */
async function makeOld(sql: Sql, count: number): Promise<string[]> {
  const at = Date.now() - 21 * DAY_MS
  const ids = Array.from({ length: count }, (_, n) => {
    const ms = (at + n).toString(16).padStart(12, '0')
    return `${ms.slice(0, 8)}-${ms.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`
  })
  const checksum = 'sha256:0'
  const run = { namespace: 'default', workflow: 'old', version: 1, checksum, input: {}, startedBy: 'key_1' }
  await createRuns(
    sql,
    ids.map((id) => ({ id, ...run })),
  )
  await sql`
    insert into run_events (run_id, seq, at, namespace, type, path, data)
    select id, g.seq, now(), 'default', 'step.succeeded', 'a', '{"generation": 0, "attempt": 1}' from runs cross join generate_series(2, ${EVENTS}::int) as g (seq)`
  await sql`
    update runs set seq = ${EVENTS}, status = 'succeeded', created_at = now() - interval '21 days', started_at = now() - interval '21 days',
                    ended_at = now() - interval '20 days'`
  return ids
}

/** The last complete copy of each run that the files hold. Lines that were cut off are passed over. */
function readExports(path: string): Map<string, Line[]> {
  const complete = new Map<string, Line[]>()
  const open = new Map<string, Line[]>()
  for (const file of readdirSync(path)) {
    for (const text of readFileSync(join(path, file), 'utf8').split('\n')) {
      let line: Line
      try {
        line = JSON.parse(text) as Line
      } catch {
        continue
      }
      if (line.kind === 'run') open.set(line.run, [])
      open.get(line.run)?.push(line)
      if (line.kind === 'end' && line.lines === open.get(line.run)?.length) complete.set(line.run, open.get(line.run)!)
    }
  }
  return complete
}

const optionsOf = (sql: Sql, exportFolder: string | undefined) => ({
  ...{ sql, exportFolder, keptMs: undefined, runsMax: 1_000, everyMs: 1_000 },
  log: createLogger({ name: 'test', level: 'silent' }),
  onRemoved: () => {},
  onExported: () => {},
  onFailed: () => {},
})

t.test('a run is exported with all that it had, and what a crash has cut off does no harm', async (t) => {
  const { sql } = await testDatabase(t)
  await saveWorkflow(sql, 'old', FLOW)
  const ids = await makeOld(sql, 30)
  const big = `sha256:${'1'.repeat(64)}`
  await putBlobs(sql, 'default', new Map([[big, '{"big":true}']]))
  await sql`insert into blob_uses (namespace, sha256, run_id) values ('default', ${big}, ${ids[3]!})`
  const path = folder(t)
  const [today] = await sql<{ day: string }[]>`select to_char(now() at time zone 'UTC', 'YYYY-MM-DD') as day`
  const cut = `{"kind":"run","run":"run_${ids[0]}","row":{}}\n{"kind":"event","ru`
  writeFileSync(join(path, `runs-${today!.day}.jsonl`), cut)
  await removeOld(optionsOf(sql, path), new AbortController().signal)
  t.equal((await sql`select from runs`).length, 0)
  const exported = readExports(path)
  t.same([...exported.keys()].sort(), ids.map((id) => `run_${id}`).sort())
  for (const lines of exported.values()) {
    const seqs = lines.flatMap(({ event }) => (event ? [event.seq] : []))
    t.same(
      seqs,
      Array.from({ length: EVENTS }, (_, n) => n + 1),
    )
    t.match(lines[0], { row: { status: 'succeeded', endedAt: /Z$/ } })
  }
  t.match(
    exported.get(`run_${ids[3]}`)!.find(({ kind }) => kind === 'payload'),
    { id: big, value: { big: true } },
  )
})

t.test('a retention that no clock can tell, saved before it was refused, keeps its runs and holds up no others', async (t) => {
  const { sql } = await testDatabase(t)
  await saveWorkflow(sql, 'old', FLOW)
  await saveWorkflow(sql, 'ages', { ...FLOW, retention: '99d' })
  await sql`update definitions set source = replace(source::text, '"99d"', '"3000000d"')::json`
  const [kept] = await makeOld(sql, 3)
  await sql`update runs set workflow = 'ages' where id = ${kept!}`
  await removeOld(optionsOf(sql, undefined), new AbortController().signal)
  t.same(await sql`select id from runs`, [{ id: kept }])
})

t.test('without a place for them nothing is removed', async (t) => {
  const { sql } = await testDatabase(t)
  await saveWorkflow(sql, 'old', FLOW)
  await makeOld(sql, 3)
  const path = join(folder(t), 'a-file')
  writeFileSync(path, '')
  await t.rejects(removeOld(optionsOf(sql, path), new AbortController().signal))
  t.equal((await sql`select from runs`).length, 3)
  t.equal((await sql`select from run_events`).length, 3 * EVENTS)
  await removeOld({ ...optionsOf(sql, undefined), runsMax: 2 }, new AbortController().signal)
  t.equal((await sql`select from runs`).length, 1, 'no more at a time than it is told')
})

t.test('runners that are killed while runs go lose none, and leave no half of one', { timeout: 150_000 }, async (t) => {
  const [{ sql, url }, redis] = await Promise.all([testDatabase(t), testRedis(t)])
  await saveWorkflow(sql, 'old', FLOW)
  const ids = await makeOld(sql, 3_000)
  const path = folder(t)
  const urls = { database: url, redis: redis.url }
  const settings = { BATON_EXPORT_FOLDER: path, RUNNER_RETENTION_EVERY_MS: '1000' }
  const count = async () => (await sql<{ n: number }[]>`select count(*)::int as n from runs`)[0]!.n
  let runner = await startRunner(t, urls, undefined, settings)
  for (let kill = 0; kill < 4; kill++) {
    const before = await count()
    await until(async () => (await count()) < before, { timeoutMs: 30_000, what: `runs to go before kill ${kill}` })
    await runner.kill('SIGKILL')
    const left = await sql<{ id: string; events: number }[]>`
      select r.id, (select count(*)::int from run_events e where e.run_id = r.id) as events from runs r`
    const exported = readExports(path)
    const here = new Map(left.map(({ id, events }) => [id, events]))
    t.ok(
      [...here.values()].every((events) => events === EVENTS),
      'what is here is whole',
    )
    t.same(
      ids.filter((id) => !here.has(id) && !exported.has(`run_${id}`)),
      [],
      'what is not here was exported',
    )
    const [orphans] = await sql<
      { n: number }[]
    >`select count(*)::int as n from run_events e where not exists (select from runs r where r.id = e.run_id)`
    t.equal(orphans!.n, 0, 'no event is without its run')
    t.comment(`${here.size} of ${ids.length} are left`)
    runner = await startRunner(t, urls, runner.port, settings)
  }
  await until(async () => (await count()) === 0, { timeoutMs: 60_000, what: 'the rest to go' })
  t.equal(readExports(path).size, ids.length)
})
