import { setTimeout as sleep } from 'node:timers/promises'
import { startPostgres, until } from '@baton/testing'
import { test } from 'tap'
import { connect, isTransient, isUnknownOutcome, withTransaction } from '../src/index.ts'

test('statements and transactions on a Postgres that hangs are given up in time, and the pool serves again when it goes on', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const sql = connect(server.url, { max: 2, statementTimeoutMs: 200 })
  t.teardown(() => sql.end({ timeout: 1 }))
  // A connection has half of that to be made, which a busy machine may miss.
  await until(() => sql`create table if not exists notes (text text)`.then(() => true))
  await until(() => withTransaction(sql, (tx) => tx`select 1`).then(() => true))
  const [backend] = await sql`select pg_backend_pid() as pid`
  const other = connect(server.url, { max: 1 })
  t.teardown(() => other.end({ timeout: 1 }))
  const pids = (await other`select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`).map(
    (row) => Number(row['pid']),
  )
  t.ok(pids.includes(Number(backend!['pid'])))
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    const asked = [
      ...Array.from({ length: 8 }, (_, at) => sql`insert into notes values (${`n${at}`})`),
      ...Array.from({ length: 4 }, () => withTransaction(sql, (tx) => tx`select 1`)),
    ]
    // Connections that are made meanwhile come to servers that answer.
    const rejected = (await Promise.allSettled<unknown>(asked)).filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
    t.ok(rejected.length >= 2, 'a statement and a transaction at least were sent to servers that hang')
    for (const { reason } of rejected) t.ok(isUnknownOutcome(reason), String(reason))
    await until(() => sql`select 1`.then(() => true), { what: 'new connections, while the old servers still hang' })
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
  await until(() => withTransaction(sql, (tx) => tx`select 1`).then(() => true))
})

test('a statement that is only slow is ended by the server: it is known not to have happened', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const sql = connect(server.url, { max: 1, statementTimeoutMs: 200 })
  t.teardown(() => sql.end({ timeout: 1 }))
  await until(() => sql`select 1`.then(() => true))
  const error = await sql`select pg_sleep(30)`.catch((reason: unknown) => reason)
  t.match(error, { code: '57014' })
  t.ok(isTransient(error) && !isUnknownOutcome(error))
  t.same(await sql`select 1 as one`, [{ one: 1 }])
})

test('one statement that is not answered takes no other with it, on whatever connection that is', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const waitMs = 1_500 // 1 s more than the server has, which is told of no limit through a pooler
  const sql = connect(`${server.url}?pgbouncer=true`, { max: 3, statementTimeoutMs: 500 })
  t.teardown(() => sql.end({ timeout: 1 }))
  await until(() => Promise.all(Array.from({ length: 3 }, () => sql`select pg_sleep(0.1)`)).then(() => true))
  await sleep(waitMs) // all of them rest, and nothing is heard of them
  const hanging = sql`select pg_sleep(30)`.catch((reason: unknown) => reason)
  await sleep(waitMs - 200)
  const others = await Promise.allSettled([sql`select pg_sleep(0.4)`, sql`select pg_sleep(0.4)`])
  t.same(
    others.map(({ status }) => status),
    ['fulfilled', 'fulfilled'],
  )
  t.match(await hanging, { name: 'StatementTimeout' })
})
