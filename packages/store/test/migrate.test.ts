import { spawn } from 'node:child_process'
import { randomUUIDv7 } from 'node:crypto'
import { emptyDatabase, startProxy, testDatabase, until } from '@baton/testing'
import { test } from 'tap'
import {
  ConnectionLost,
  connect,
  createRuns,
  ensureEventPartitions,
  isUnknownOutcome,
  MigrationChanged,
  migrate,
  SchemaMissing,
  waitForSchema,
  withTransaction,
} from '../src/index.ts'
import { readMigrations } from '../src/read-migrations.ts'
import { newRun } from './fixtures/runs.ts'

test('four processes that migrate at once apply each migration once', async (t) => {
  const { url } = await emptyDatabase(t)
  const code = `
    import { migrate } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
    console.log(JSON.stringify((await migrate(${JSON.stringify(url)})).applied))`
  const outputs = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', '--input-type=module', '-e', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.on('data', (chunk) => {
        out += chunk
      })
      const status = await new Promise((resolve) => child.once('close', resolve))
      t.equal(status, 0)
      return JSON.parse(out) as string[]
    }),
  )
  t.same(
    outputs.flat(),
    (await readMigrations()).map(({ name }) => name),
  )
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  t.same((await migrate(url)).applied, [])
  await sql`update migrations set checksum = 'edited'`
  await t.rejects(migrate(url), MigrationChanged)
})

test('a migration whose connections break in its middle goes on from there, and with no time for that it fails', async (t) => {
  const { url } = await emptyDatabase(t)
  const proxy = await startProxy(t, url)
  const away: string[] = []
  const cutAfter = (number: string) => {
    const onApplied = ({ name }: { name: string }) => name.startsWith(number) && proxy.cut()
    return { onApplied, onAway: (reason: string) => away.push(reason) }
  }
  await t.rejects(migrate(proxy.url, cutAfter('0002')))
  t.same(away, [])
  const { applied } = await migrate(proxy.url, { ...cutAfter('0005'), awayMsMax: 30_000 })
  t.same(applied, (await readMigrations()).map(({ name }) => name).slice(2))
  t.equal(away.length, 1)
  t.same(await migrate(url), { applied: [], left: [] })
})

test('a database may be away as long as it is said, from when it goes away: not from the start, and not without an end', async (t) => {
  const { url } = await emptyDatabase(t)
  const [proxy, awayMsMax] = [await startProxy(t, url), 1_000]
  const away: number[] = []
  const onAway = () => away.push(performance.now())
  const blocker = connect(url, { max: 1 })
  t.teardown(() => blocker.end({ timeout: 1 }))
  const turn = await blocker.reserve()
  await turn`select pg_advisory_lock(7203561844)` // another process migrates
  const waiting = migrate(proxy.url, { awayMsMax, onAway, onWait: () => setTimeout(proxy.cut, 2 * awayMsMax) })
  await until(() => away.length === 1)
  await turn`select pg_advisory_unlock(7203561844)`
  t.ok((await waiting).applied.length > 0)

  proxy.refuse()
  const begin = performance.now()
  await t.rejects(migrate(proxy.url, { awayMsMax, onAway }))
  t.ok(performance.now() - begin >= awayMsMax)
  t.equal(away.length, 2, 'told once')
})

test('a service waits for the schema, and says what is missing when it does not come', async (t) => {
  const { url } = await emptyDatabase(t)
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  await t.rejects(waitForSchema(sql, { timeoutMs: 10 }), SchemaMissing)
  const waiting = waitForSchema(sql, { timeoutMs: 30_000 })
  await migrate(url)
  await t.resolves(waiting)
})

test('every table has a namespace, and events go to the partition of their month', async (t) => {
  const { sql } = await testDatabase(t)
  const without = await sql`
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'migrations'
       and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'namespace')`
  t.same(
    without.map((row) => row.relname),
    [],
  )
  await createRuns(sql, [newRun()])
  const [row] = await sql`select tableoid::regclass::text as place, to_char(now() at time zone 'UTC', 'YYYYMM') as month from run_events`
  t.equal(row!.place, `run_events_${row!.month}`)
})

test('events that fell into the default partition move when their month is made', async (t) => {
  const { sql } = await testDatabase(t)
  const [month] = await sql`select to_char(now() at time zone 'UTC', 'YYYYMM') as name`
  await sql.unsafe(`drop table run_events_${month!.name}`)
  const run = newRun()
  await createRuns(sql, [run])
  t.match(await sql`select tableoid::regclass::text as place from run_events`, [{ place: 'run_events_default' }])
  const [a, b] = await Promise.all([ensureEventPartitions(sql), ensureEventPartitions(sql)])
  t.same([...a, ...b], [`run_events_${month!.name}`])
  t.match(await sql`select tableoid::regclass::text as place, run_id from run_events`, [
    { place: `run_events_${month!.name}`, runId: run.id },
  ])
  await t.rejects(
    sql`insert into run_events (run_id, seq, at, namespace, type, path, data) values (${run.id}, 1, now(), '', '', '', '1')`,
    { code: '23505' },
  )
  t.same(await ensureEventPartitions(sql), [])
})

test('a transaction that throws leaves nothing behind, and its connection is used again', async (t) => {
  const { sql } = await testDatabase(t)
  const insert = withTransaction(sql, async (tx) => {
    await tx`insert into vars (namespace, name, value) values ('a', 'b', '1')`
    throw new Error('no')
  })
  await t.rejects(insert, { message: 'no' })
  t.same(await sql`select * from vars`, [])
  await t.rejects(
    withTransaction(sql, (tx) => tx`select 1 / 0`),
    { code: '22012' },
  )
  t.match(await withTransaction(sql, (tx) => tx`select 1 as one`), [{ one: 1 }])
})

test('many transactions at once take turns and all commit', async (t) => {
  const { sql } = await testDatabase(t)
  await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      withTransaction(sql, (tx) => tx`insert into vars (namespace, name, value) values ('a', ${`v${n}`}, '1')`),
    ),
  )
  t.match(await sql`select count(*) as n from vars`, [{ n: 50 }])
})

test('a transaction whose connection dies writes nothing more, not even on the next connection', async (t) => {
  const { sql } = await testDatabase(t)
  const failed = withTransaction(sql, async (tx) => {
    const [backend] = await tx`select pg_backend_pid() as pid`
    await tx`insert into vars (namespace, name, value) values ('a', 'first', '1')`
    await sql`select pg_terminate_backend(${backend!.pid}, 5000)`
    // The statement after the death may find the socket still open; the one after that never does.
    await until(
      async () =>
        tx`insert into vars (namespace, name, value) values ('a', 'second', '1')`.then(
          () => false,
          (error) => {
            throw error
          },
        ),
      { timeoutMs: 500 },
    ).catch((error) => {
      throw error.cause
    })
  })
  const error = await failed.catch((reason: unknown) => reason)
  t.ok(isUnknownOutcome(error), String(error))
  t.same(await sql`select * from vars`, [])
  await until(() =>
    withTransaction(sql, (tx) => tx`insert into vars (namespace, name, value) values ('a', ${randomUUIDv7()}, '1')`.then(() => true)),
  )
  t.match(await sql`select count(*) as n from vars`, [{ n: 1 }])
})

test('a pool that was closed takes no transaction', async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url)
  await withTransaction(sql, (tx) => tx`select 1`)
  await sql.end({ timeout: 1 })
  await t.rejects(
    withTransaction(sql, (tx) => tx`select 1`),
    ConnectionLost,
  )
})
