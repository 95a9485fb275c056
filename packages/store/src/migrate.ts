import { setTimeout as delay } from 'node:timers/promises'
import { openClient, type Sql } from './connect.ts'
import { readDatabaseUrl } from './database-url.ts'
import { isUnknownOutcome, TlsRefused } from './errors.ts'
import { ensurePartitionsIn } from './partitions.ts'
import { type Migration, type MigrationKind, readMigrations } from './read-migrations.ts'
import { compareSchema, readApplied, refuseTooNew } from './schema-state.ts'

/** Any number that nobody else uses: the advisory lock under which one process migrates. */
const LOCK = 7_203_561_844
/** A change of a table waits for the queries on it, and every later query waits behind the change: better give up soon and come back. */
const LOCK_TIMEOUT_MS = 2_000
const LOCK_TRIES = 15
const LOCK_PAUSE_MS = 1_000
const ROLLBACK_MS = 1_000
const AWAY_PAUSE_MS = 500
const LOCK_NOT_AVAILABLE = '55P03'
/** A standby, which may be about to take over. */
const READ_ONLY = '25006'

/** A migration that was applied has since been edited: the database and this version disagree on what it did. */
export class MigrationChanged extends Error {
  override readonly name = 'MigrationChanged'
  constructor(name: string) {
    super(`migration ${name} was edited after it had been applied; add a new one instead`)
  }
}

/** How to migrate. */
export interface MigrateOptions {
  /** Leave migrations of the kind `contract` for later, while older code still runs. An empty database gets everything. */
  expandOnly?: boolean
  /** The version of Baton that migrates, written down beside what it applied. */
  version?: string
  /** Told of each migration when it is committed. */
  onApplied?: (migration: { name: string; kind: MigrationKind; durationMs: number }) => void
  /** Told once when another process migrates and this one waits for it. */
  onWait?: () => void
  /** Told each time when a migration waits for a lock that running queries hold. */
  onBusy?: (name: string) => void
  /** How long a server may be away before that is an error (0): it starts at the same moment as we do, or is replaced by its standby. */
  awayMsMax?: number
  /** Told why the server does not answer, once each time that it goes away. */
  onAway?: (reason: string) => void
  /** Other migrations than ours, for tests. */
  folder?: string
}

/** What was done, and which migrations `expandOnly` has left for later. */
export interface MigrateResult {
  applied: string[]
  left: string[]
}

/**
 * Applies what is missing, each migration in its own transaction, all under one advisory lock. Safe from many processes at once, also
 * through a pooler that gives a connection to a transaction. Throws SchemaTooNew, MigrationChanged, MigrationInvalid, and what the server or
 * the network says.
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrateResult> {
  const migrations = await readMigrations(options.folder)
  const progress: Progress = { reached: false, applied: 0 }
  let awaySince = performance.now()
  let appliedBefore = -1
  for (let isFirst = true; ; isFirst = false) {
    progress.reached = false
    try {
      return await migrateOnce(databaseUrl, migrations, options, progress)
    } catch (error) {
      // It was there all the time until now. Only while there is progress: a server that breaks each time at the same place is as good as away.
      const goesAway = progress.reached && progress.applied > appliedBefore
      if (goesAway) {
        awaySince = performance.now()
        appliedBefore = progress.applied
      }
      const { cause = error } = error as Error
      if (!isAway(cause) || performance.now() - awaySince >= (options.awayMsMax ?? 0)) throw error
      if (isFirst || goesAway) options.onAway?.((cause as Error).message)
      await delay(AWAY_PAUSE_MS)
    }
  }
}

function isAway(error: unknown): boolean {
  if (error instanceof TlsRefused) return false
  return isUnknownOutcome(error) || (error as { code?: string }).code === READ_ONLY
}

/** Of all tries together. */
interface Progress {
  /** The server has answered in this try. */
  reached: boolean
  applied: number
  /** What the database lacked when it was read first: a commit whose answer was lost counts as well. */
  pending?: Migration[]
}

/** What is done is what the database says of itself, so that it may be cut off anywhere and begun again. */
async function migrateOnce(
  databaseUrl: string,
  migrations: readonly Migration[],
  options: MigrateOptions,
  progress: Progress,
): Promise<MigrateResult> {
  const [guard, sql] = [openOne(databaseUrl), openOne(databaseUrl)]
  try {
    await takeTurn(guard, progress, options.onWait)
    await ensureTable(sql)
    const pending = await findPending(sql, migrations)
    progress.pending ??= pending
    const isEmpty = progress.pending.length === migrations.length
    const isHeld = ({ kind }: Migration) => options.expandOnly === true && !isEmpty && kind === 'contract'
    for (const migration of pending) {
      if (isHeld(migration)) continue
      await applyPatiently(sql, migration, options)
      progress.applied++
    }
    await inTransaction(sql, 'partitions', () => ensurePartitionsIn(sql))
    const namesOf = (some: readonly Migration[]) => some.map(({ name }) => name)
    return { applied: namesOf(progress.pending.filter((one) => !isHeld(one))), left: namesOf(pending.filter(isHeld)) }
  } finally {
    await Promise.all([sql.end({ timeout: 5 }), guard.end({ timeout: 5 })]) // the end of its transaction frees the lock
  }
}

/** Always as if through a pooler: nothing here is worth preparing, and so it does not matter whether there is one. */
function openOne(databaseUrl: string): Sql {
  return openClient({ ...readDatabaseUrl(databaseUrl), pooler: true }, { applicationName: 'baton-migrate', max: 1 })
}

/** The lock is that of a transaction which stays open beside the migrations: a session's lock would stay behind in a pooler. */
async function takeTurn(guard: Sql, progress: Progress, onWait?: () => void): Promise<void> {
  await guard.unsafe('begin')
  await guard.unsafe('set local idle_in_transaction_session_timeout = 0')
  const [free] = await guard<{ mine: boolean }[]>`select pg_try_advisory_xact_lock(${LOCK}) as mine`
  progress.reached = true
  if (free?.mine) return
  onWait?.()
  await guard`select pg_advisory_xact_lock(${LOCK})`
}

async function ensureTable(sql: Sql): Promise<void> {
  await sql`
    create table if not exists migrations (
      name text primary key, checksum text not null, applied_at timestamptz not null default now()
    )`
  const [found] = await sql`select from pg_attribute where attrelid = 'migrations'::regclass and attname = 'needs'`
  if (found) return
  await sql`
    alter table migrations
      add column kind text not null default 'expand' check (kind in ('expand', 'contract')),
      add column needs integer not null default 0,
      add column applied_by text`
}

async function findPending(sql: Sql, migrations: readonly Migration[]): Promise<Migration[]> {
  const applied = await readApplied(sql)
  refuseTooNew(compareSchema(migrations, applied))
  const checksums = new Map(applied.map((row) => [row.name, row.checksum]))
  const changed = migrations.find(({ name, checksum }) => checksums.has(name) && checksums.get(name) !== checksum)
  if (changed) throw new MigrationChanged(changed.name)
  return migrations.filter(({ name }) => !checksums.has(name))
}

/** Gives way to running queries again and again, so that nobody waits behind a migration for more than two seconds. */
async function applyPatiently(sql: Sql, migration: Migration, options: MigrateOptions): Promise<void> {
  const { name, kind, needs, checksum, text } = migration
  const startedAt = performance.now()
  for (let tries = 1; ; tries++) {
    try {
      await inTransaction(sql, name, async () => {
        await sql.unsafe(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`)
        await sql.unsafe(text)
        await sql`
          insert into migrations (name, checksum, kind, needs, applied_by)
          values (${name}, ${checksum}, ${kind}, ${needs}, ${options.version ?? null})`
      })
      break
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as { code?: string }
      if (code !== LOCK_NOT_AVAILABLE || tries === LOCK_TRIES) throw error
      options.onBusy?.(name)
      await delay(LOCK_PAUSE_MS)
    }
  }
  options.onApplied?.({ name, kind, durationMs: Math.round(performance.now() - startedAt) })
}

/** This client has one connection, so plain statements stay together. */
async function inTransaction(sql: Sql, name: string, action: () => Promise<unknown>): Promise<void> {
  await sql.unsafe('begin')
  try {
    await action()
    await sql.unsafe('commit')
  } catch (error) {
    // A connection that has just broken may never answer; its end rolls back as well.
    await Promise.race([sql.unsafe('rollback').catch(() => {}), delay(ROLLBACK_MS)])
    throw new Error(`migration ${name} failed`, { cause: error })
  }
}
