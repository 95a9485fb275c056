import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { test } from 'tap'
import { ensureDatabase, startPostgres } from '../src/postgres.ts'
import { identify, isAlive } from '../src/process-identity.ts'
import { temporaryFolder } from './temporary-folder.ts'

async function ask<T>(url: string, action: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await action(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

test('one data folder through its troubles: kill -9, a recycled pid, a new password, a cut-off initdb, another version', async (t) => {
  const dataDir = join(temporaryFolder(t), 'postgres')
  const said: string[] = []
  const start = (password: string) => startPostgres({ dataDir, password, durable: false, say: (sentence) => said.push(sentence) })

  const first = await start('one')
  const url = first.url.replace(/\/postgres$/, '/baton')
  await ensureDatabase(url)
  await ensureDatabase(url) // there already
  await ask(url, (sql) => sql`create table kept as select 'é' collate "C" as text`)
  t.equal((await ask(url, (sql) => sql`show server_version`))[0]!['server_version'].split('.')[0], '18')
  await t.rejects(
    ask(url.replace(':one@', ':wrong@'), (sql) => sql`select 1`),
    /password/,
  )
  const identity = identify(first.pid)!

  // a second start on the same folder finds the server that outlived its supervisor, and stops it first
  const second = await start('one')
  t.equal(isAlive(identity), false)
  t.match(said.join(' '), /still ran/)

  process.kill(second.pid, 'SIGKILL')
  const third = await start('one')
  await third.stop()

  writeFileSync(join(dataDir, 'postmaster.pid'), `${process.pid}\n${dataDir}\n`) // a pid that now is ours, and no PostgreSQL
  const fourth = await start('two')
  t.match(said.join(' '), /has the password of .env now/)
  const rows = await ask(fourth.url.replace(/\/postgres$/, '/baton'), (sql) => sql`select text from kept`)
  t.equal(rows[0]!['text'], 'é', 'the data are still there')
  await fourth.stop()

  writeFileSync(join(dataDir, 'PG_VERSION'), '17\n')
  await t.rejects(start('two'), /were made by PostgreSQL 17.*brings PostgreSQL 18.*make clean/)
  writeFileSync(join(dataDir, 'PG_VERSION'), '18\n')

  rmSync(join(dataDir, 'global', 'pg_control'))
  const fifth = await start('two')
  t.match(said.join(' '), /was not a complete database/)
  t.notOk((await ask(fifth.url, (sql) => sql`select 1 from pg_database where datname = 'baton'`)).length)
  await fifth.stop({ remove: true })
  t.notOk(existsSync(dataDir))
})

test('a server that cannot come up says so and leaves no process', async (t) => {
  const folder = temporaryFolder(t)
  const dataDir = join(folder, 'postgres')
  await t.rejects(startPostgres({ dataDir, durable: false, settings: { shared_buffers: 'nonsense' } }), /did not come up/)
  t.notOk(readdirSync(folder).includes('postgres.new'))
})
