import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import postgres from 'postgres'
import { type PostgresServer, startPostgres } from './start-postgres.ts'

/** What a test of tap (or of node:test, with `teardown: t.after`) offers for cleaning up. */
export interface Teardown {
  teardown(action: () => unknown): void
}

/** A database of one test. `sql` is a small pool on it, as the store makes them; it is closed at the end of the test. */
export interface TestDatabase {
  url: string
  name: string
  sql: postgres.Sql
}

const STORE = join(import.meta.dirname, '../../store')

let ownServer: Promise<PostgresServer> | undefined
let template: Promise<string> | undefined
let counter = 0

/**
 * A fresh, migrated database, dropped at the end of the test. It lies on the server of DATABASE_URL (whose role may create databases), else
 * on a PostgreSQL that this process starts once. Copied from a template that all test files share, which takes some 15 ms.
 */
export async function testDatabase(t: Teardown): Promise<TestDatabase> {
  const server = await serverUrl()
  template ??= ensureTemplate(server)
  const name = `baton_test_${process.pid}_${++counter}_${randomBytes(3).toString('hex')}`
  const from = await template
  await withServer(server, (sql) => sql.unsafe(`create database ${name} template ${from}`))
  const url = databaseUrl(server, name)
  const { connect } = await importStore<{ connect(url: string, options: { max: number }): postgres.Sql }>('connect')
  const sql = connect(url, { max: 4 })
  t.teardown(async () => {
    await sql.end({ timeout: 1 })
    await withServer(server, (db) => db.unsafe(`drop database if exists ${name} with (force)`))
  })
  return { url, name, sql }
}

/** An empty database without any table: for tests of the migrations themselves. */
export async function emptyDatabase(t: Teardown): Promise<{ url: string; name: string }> {
  const server = await serverUrl()
  const name = `baton_test_${process.pid}_${++counter}_${randomBytes(3).toString('hex')}`
  await withServer(server, (sql) => sql.unsafe(`create database ${name} template template0`))
  t.teardown(() => withServer(server, (sql) => sql.unsafe(`drop database if exists ${name} with (force)`)))
  return { url: databaseUrl(server, name), name }
}

async function serverUrl(): Promise<string> {
  if (process.env.DATABASE_URL) return process.env.DATABASE_URL
  ownServer ??= startPostgres()
  return (await ownServer).url
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

async function withServer<T>(server: string, action: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(server, { max: 1, onnotice: () => {} })
  try {
    return await action(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** The store depends on this package for its tests, so it is loaded by place and not by name: there is no cycle in the workspace. */
function importStore<T>(module: string): Promise<T> {
  return import(pathToFileURL(join(STORE, 'src', `${module}.ts`)).href) as Promise<T>
}

/** One template for each (server, migrations), made under an advisory lock and renamed when it is complete. */
async function ensureTemplate(server: string): Promise<string> {
  const name = `baton_template_${await migrationsChecksum()}`
  await withServer(server, async (sql) => {
    await sql`select pg_advisory_lock(hashtext('baton test template'))`
    const found = await sql`select from pg_database where datname = ${name}`
    if (found.length > 0) return
    const half = `${name}_half`
    await sql.unsafe(`drop database if exists ${half} with (force)`)
    await sql.unsafe(`create database ${half} template template0`)
    const { migrate } = await importStore<{ migrate(url: string): Promise<unknown> }>('migrate')
    await migrate(databaseUrl(server, half))
    // Nobody may be connected to a template while it is copied: `create database` would wait 5 s for it.
    await sql.unsafe(`alter database ${half} with allow_connections false`)
    await sql`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = ${half}`
    await sql.unsafe(`alter database ${half} rename to ${name}`)
  })
  return name
}

async function migrationsChecksum(): Promise<string> {
  const folder = join(STORE, 'migrations')
  const hash = createHash('sha256')
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()) {
    hash.update(file).update(await readFile(join(folder, file)))
  }
  return hash.digest('hex').slice(0, 16)
}
