import { emptyDatabase, findPgbouncer, testDatabase, testPgbouncer, until } from '@baton/testing'
import { test } from 'tap'
import { commitBatch, connect, createRuns, findPooler, migrate, readSchemaState, waitForSchema, withTransaction } from '../src/index.ts'
import { commitOf, newRun } from './fixtures/runs.ts'

const skip = findPgbouncer() ? false : 'pgbouncer is not installed (Debian: apt-get install pgbouncer)'
const told = (url: string) => `${url}?pgbouncer=true`

test('an empty database is migrated by many at once through a pooler that shares its servers', { skip }, async (t) => {
  const { url } = await emptyDatabase(t)
  const bouncer = await testPgbouncer(t, { databaseUrl: url, poolSize: 5 })
  const results = await Promise.all([1, 2, 3].map(() => migrate(bouncer.urlOf(url))))
  t.equal(results.filter(({ applied }) => applied.length > 0).length, 1, 'one of them did it')
  const sql = connect(told(bouncer.urlOf(url)), { max: 2 })
  t.teardown(() => sql.end({ timeout: 1 }))
  t.match(await readSchemaState(sql), { missing: [], contracts: [] })
})

test('runs are started and committed by more connections than the pooler has servers', { skip }, async (t) => {
  const { url, sql: direct } = await testDatabase(t)
  const bouncer = await testPgbouncer(t, { databaseUrl: url, poolSize: 4 })
  const pools = [1, 2, 3].map(() => connect(told(bouncer.urlOf(url)), { max: 8, genericPlans: true, statementTimeoutMs: 20_000 }))
  t.teardown(() => Promise.all(pools.map((sql) => sql.end({ timeout: 1 }))))
  await waitForSchema(pools[0]!, { timeoutMs: 0, watchMs: 0 })
  const runs = Array.from({ length: 120 }, () => newRun())
  await Promise.all(
    runs.map(async (run, at) => {
      const sql = pools[at % pools.length]!
      await createRuns(sql, [run])
      const { won } = await commitBatch(sql, [commitOf(run.id, 1, 2)])
      t.ok(won.has(run.id))
      await withTransaction(sql, async (tx) => {
        await tx`select pg_advisory_xact_lock(${at % 3})`
        await tx`update runs set labels = ${tx.json({ at })} where id = ${run.id}`
      })
    }),
  )
  const [row] = await direct`select count(*)::int as runs from runs where seq > 1 and labels <> '{}'`
  t.equal(row!['runs'], runs.length)
  await bouncer.restart()
  await until(() => pools[0]!`select 1`.then(() => true), { what: 'the pool to connect again' })
})

test('a pooler in transaction mode that nobody told of is found, and named with the setting; one of sessions is no matter', {
  skip,
}, async (t) => {
  const { url, sql: direct } = await testDatabase(t)
  t.equal(await findPooler(direct), 'none')
  const transaction = await testPgbouncer(t, { databaseUrl: url, poolSize: 4 })
  const session = await testPgbouncer(t, { databaseUrl: url, poolSize: 20, mode: 'session' })
  const open = (at: string, options = {}) => {
    const sql = connect(at, { max: 2, ...options })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }
  t.equal(await findPooler(open(transaction.urlOf(url))), 'transaction')
  t.equal(await findPooler(open(session.urlOf(url))), 'unknown')
  const untold = {
    name: 'PoolerUnset',
    exitCode: 78,
    message: /pooler.*: set DATABASE_POOLER=transaction, or add pgbouncer=true to DATABASE_URL/,
  }
  await t.rejects(waitForSchema(open(transaction.urlOf(url)), { timeoutMs: 0, watchMs: 0 }), untold)
  await t.rejects(waitForSchema(open(transaction.urlOf(url), { genericPlans: true }), { timeoutMs: 60_000, watchMs: 0 }), untold)
  await t.resolves(waitForSchema(open(told(transaction.urlOf(url)), { genericPlans: true }), { timeoutMs: 0, watchMs: 0 }))
})
