import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import { connectionOptions, type Sql } from './connect.ts'
import { ensurePartitionsIn } from './partitions.ts'

const FOLDER = fileURLToPath(new URL('../migrations/', import.meta.url))
/** Any number that nobody else uses: the advisory lock under which one process migrates. */
const LOCK = 7_203_561_844

interface Migration {
  name: string
  checksum: string
  text: string
}

/** A migration that was applied has since been edited: the database and this version disagree on what it did. */
export class MigrationChanged extends Error {
  override readonly name = 'MigrationChanged'
  constructor(name: string) {
    super(`migration ${name} was edited after it had been applied; add a new one instead`)
  }
}

/** The database did not get the migrations that this version knows in time. */
export class SchemaMissing extends Error {
  override readonly name = 'SchemaMissing'
}

/** Applies what is missing, each migration in its own transaction, all under one advisory lock. Safe from many processes at once. */
export async function migrate(databaseUrl: string): Promise<{ applied: string[] }> {
  const migrations = await readMigrations()
  const sql = postgres(databaseUrl, { ...connectionOptions({ applicationName: 'baton-migrate' }), max: 1 }) as unknown as Sql
  try {
    await sql`select pg_advisory_lock(${LOCK})`
    await sql`
      create table if not exists migrations (
        name text primary key, checksum text not null, applied_at timestamptz not null default now()
      )`
    const known = new Map((await appliedMigrations(sql)).map((row) => [row.name, row.checksum]))
    const applied: string[] = []
    for (const migration of migrations) {
      const checksum = known.get(migration.name)
      if (checksum !== undefined && checksum !== migration.checksum) throw new MigrationChanged(migration.name)
      if (checksum !== undefined) continue
      await inTransaction(sql, migration.name, async () => {
        await sql.unsafe(migration.text)
        await sql`insert into migrations (name, checksum) values (${migration.name}, ${migration.checksum})`
      })
      applied.push(migration.name)
    }
    await inTransaction(sql, 'partitions', () => ensurePartitionsIn(sql))
    return { applied }
  } finally {
    await sql.end({ timeout: 5 }) // the end of the session frees the lock
  }
}

/** This client has one connection, so plain statements stay together. */
async function inTransaction(sql: Sql, name: string, action: () => Promise<unknown>): Promise<void> {
  await sql.unsafe('begin')
  try {
    await action()
    await sql.unsafe('commit')
  } catch (error) {
    await sql.unsafe('rollback').catch(() => {})
    throw new Error(`migration ${name} failed`, { cause: error })
  }
}

/** Waits until the database has every migration that this version knows; services that do not migrate start with this. */
export async function waitForSchema(sql: Sql, options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
  const wanted = await readMigrations()
  const deadline = performance.now() + options.timeoutMs
  for (;;) {
    let cause: unknown
    const applied = await appliedMigrations(sql).catch((error: unknown) => {
      cause = error
      return []
    })
    const names = new Set(applied.map((row) => row.name))
    const missing = wanted.filter((migration) => !names.has(migration.name))
    if (missing.length === 0) return
    options.signal?.throwIfAborted()
    if (performance.now() > deadline) {
      throw new SchemaMissing(`the database still lacks ${missing.map((migration) => migration.name).join(', ')}`, { cause })
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Every migration in the order of its number. */
async function readMigrations(): Promise<Migration[]> {
  const names = (await readdir(FOLDER)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(FOLDER + name, 'utf8')
      return { name: name.replace(/\.sql$/, ''), checksum: createHash('sha256').update(text).digest('hex'), text }
    }),
  )
}

async function appliedMigrations(sql: Sql) {
  return sql<{ name: string; checksum: string }[]>`select name, checksum from migrations order by name`
}
