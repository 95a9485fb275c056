import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { emptyDatabase } from '@baton/testing'
import { type Test, test } from 'tap'
import { connect, MigrationInvalid, migrate, readSchemaState, SchemaMissing, SchemaTooNew, waitForSchema } from '../src/index.ts'

const OURS = fileURLToPath(new URL('../migrations/', import.meta.url))

/** The migrations of some version of Baton: the very first one, and what else is given. */
function versionWith(t: Test, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'baton-migrations-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(join(OURS, '0001_baton.sql'), join(folder, '0001_baton.sql'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const ADD = { '0002_add_colour.sql': '-- baton: expand\nalter table vars add column colour text;\n' }
const DROP = { '0003_drop_value.sql': '-- baton: contract, needs 0002\nalter table vars drop column value;\n' }

async function database(t: Test) {
  const { url } = await emptyDatabase(t)
  const sql = connect(url, { max: 2 })
  t.teardown(() => sql.end({ timeout: 1 }))
  return { url, sql }
}

test('a migration that does not say what it is, or contradicts itself, is refused', async (t) => {
  const { url } = await emptyDatabase(t)
  const wrong: Record<string, string>[] = [
    { '0002_undeclared.sql': 'select 1' },
    { '0002_half.sql': '-- baton: contract\nselect 1' },
    { '0002_early.sql': '-- baton: contract, needs 0003\nselect 1' },
    { '0002_one.sql': '-- baton: expand\n', '0002_two.sql': '-- baton: expand\n' },
  ]
  for (const files of wrong) await t.rejects(migrate(url, { folder: versionWith(t, files) }), MigrationInvalid, Object.keys(files).join())
})

test('the newest migrations of this version are declared', async (t) => {
  const { url, sql } = await database(t)
  await migrate(url, { version: '1.2.3' })
  const { applied, missing, contracts, unknown } = await readSchemaState(sql)
  t.same([missing, contracts, unknown], [[], [], []])
  for (const row of applied) t.match(row, { kind: /^(expand|contract)$/, needs: Number, appliedBy: '1.2.3' })
})

test('code goes on with a newer schema that was only expanded', async (t) => {
  const { url, sql } = await database(t)
  const older = versionWith(t, {})
  await migrate(url, { folder: older })
  await migrate(url, { folder: versionWith(t, ADD) })
  await t.resolves(waitForSchema(sql, { timeoutMs: 0, folder: older }))
  t.same((await migrate(url, { folder: older })).applied, [], 'an older migrator changes nothing')
  t.match(await readSchemaState(sql, older), { unknown: ['0002_add_colour'], level: 1, missing: [] })
})

test('code refuses a newer schema that took away what it uses, and says in one sentence what to do', async (t) => {
  const { url, sql } = await database(t)
  const older = versionWith(t, {})
  await migrate(url, { folder: older })
  await migrate(url, { folder: versionWith(t, { ...ADD, ...DROP }), version: '9.0.0' })
  const error = await waitForSchema(sql, { timeoutMs: 60_000, folder: older }).catch((reason: unknown) => reason)
  t.ok(error instanceof SchemaTooNew, 'at once, without waiting')
  t.match(error, {
    exitCode: 78,
    message: /^Baton 9\.0\.0 has migrated the database \(0003_drop_value\).* 0002 .* up to 0001: run the newer version/,
  })
  await t.rejects(migrate(url, { folder: older }), SchemaTooNew)
  await t.resolves(waitForSchema(sql, { timeoutMs: 0, folder: versionWith(t, ADD) }), 'code that knows migration 2 may run')
})

test('expandOnly leaves what older code uses until it is asked for; new code runs before and after', async (t) => {
  const { url, sql } = await database(t)
  const [older, newer] = [versionWith(t, {}), versionWith(t, { ...ADD, ...DROP, '0004_later.sql': '-- baton: expand\nselect 1;\n' })]
  await migrate(url, { folder: older })
  t.match(await migrate(url, { folder: newer, expandOnly: true }), {
    applied: ['0002_add_colour', '0004_later'],
    left: ['0003_drop_value'],
  })
  for (const folder of [older, newer]) await t.resolves(waitForSchema(sql, { timeoutMs: 0, folder }))
  t.match(await readSchemaState(sql, newer), { missing: [], contracts: ['0003_drop_value'] })
  t.match(await migrate(url, { folder: newer }), { applied: ['0003_drop_value'], left: [] })
  await t.rejects(waitForSchema(sql, { timeoutMs: 0, folder: older }), SchemaTooNew)
  await t.resolves(waitForSchema(sql, { timeoutMs: 0, folder: newer }))

  const empty = await emptyDatabase(t)
  t.same((await migrate(empty.url, { folder: newer, expandOnly: true })).left, [], 'an empty database has no older code')
})

test('of two migrators at once one applies and the other waits, and a half-done migration leaves nothing', async (t) => {
  const { url, sql } = await database(t)
  const slow = { '0002_slow.sql': '-- baton: expand\ncreate table slow (namespace text);\nselect pg_sleep(0.5);\n' }
  const folder = versionWith(t, slow)
  let waited = 0
  const results = await Promise.all([0, 1].map(() => migrate(url, { folder, onWait: () => (waited += 1) })))
  t.same(results.map(({ applied }) => applied).sort(), [[], ['0001_baton', '0002_slow']])
  t.equal(waited, 1)
  const failing = versionWith(t, { ...slow, '0003_fails.sql': '-- baton: expand\ncreate table half (namespace text);\nselect 1 / 0;\n' })
  await t.rejects(migrate(url, { folder: failing }), { message: 'migration 0003_fails failed' })
  t.same(await sql`select to_regclass('half') as found`, [{ found: null }])
  const lacking = await waitForSchema(sql, { timeoutMs: 0, folder: failing }).catch((reason: unknown) => reason)
  t.match(lacking, { exitCode: 75, message: /lacks 0003_fails: migrate it with "make migrate", or with "node app\/migrate\.js"/ })
  t.ok(lacking instanceof SchemaMissing)
})

test('a migration gives way to a query that holds its table, and comes back', async (t) => {
  const { url, sql } = await database(t)
  await migrate(url, { folder: versionWith(t, {}) })
  const holder = connect(url, { max: 1 })
  t.teardown(() => holder.end({ timeout: 1 }))
  const held = await holder.reserve()
  await held`begin`
  await held`select count(*) from vars`
  const busy = Promise.withResolvers<string>()
  const migrating = migrate(url, { folder: versionWith(t, ADD), onBusy: busy.resolve })
  t.equal(await busy.promise, '0002_add_colour')
  await sql`select count(*) from vars` // nobody waits behind the one that waits
  await held`commit`
  held.release()
  t.same((await migrating).applied, ['0002_add_colour'])
})

test('a table of migrations made by an older version gets the new columns, and keeps what older code writes', async (t) => {
  const { url, sql } = await database(t)
  await migrate(url, { folder: versionWith(t, {}) })
  await sql`alter table migrations drop column kind, drop column needs, drop column applied_by`
  await t.resolves(waitForSchema(sql, { timeoutMs: 0, folder: versionWith(t, {}) }), 'before it was widened')
  await migrate(url, { folder: versionWith(t, ADD), version: '2.0.0' })
  await sql`insert into migrations (name, checksum) values ('0009_by_older_code', 'x')`
  t.match((await readSchemaState(sql)).applied, [
    { name: '0001_baton', kind: 'expand', needs: 0, appliedBy: null },
    { name: '0002_add_colour', kind: 'expand', needs: 0, appliedBy: '2.0.0' },
    { name: '0009_by_older_code', kind: 'expand', needs: 0 },
  ])
})
