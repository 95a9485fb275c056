/** What the database has been migrated to, and whether this version of the code may run on it. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Db, Sql } from './connect.ts'
import { isPoolerRefusal, PoolerUnset, TlsRefused } from './errors.ts'
import { refuseUnsetPooler } from './find-pooler.ts'
import { levelOf, type Migration, type MigrationKind, readMigrations } from './read-migrations.ts'

const LOOK_EVERY_MS = 200
const WATCH_EVERY_MS = 30_000
const TELL_AFTER_MS = 3_000
const UNDEFINED_TABLE = '42P01'

/** A row of `migrations`; a table of an older version lacks the later columns. */
export interface AppliedMigration {
  name: string
  checksum: string
  kind?: MigrationKind
  needs?: number
  appliedBy?: string | null
}

/** How the database and this version of the code stand to each other. */
export interface SchemaState {
  /** What the database has, oldest first. */
  applied: AppliedMigration[]
  /** What this code cannot run without and the database lacks. */
  missing: string[]
  /** Migrations of the kind `contract` that may be applied when no older code runs any more. */
  contracts: string[]
  /** What newer code has applied and this code does not know. */
  unknown: string[]
  /** The migration after which this code must not run, if there is one. */
  breaking?: AppliedMigration
  /** The number of the newest migration that this code knows. */
  level: number
}

/** The database lacks migrations that this version cannot run without. Programs end with `exitCode`: trying again later may help. */
export class SchemaMissing extends Error {
  override readonly name = 'SchemaMissing'
  readonly exitCode = 75
}

/** A newer version took something away that this one uses. Programs end with `exitCode`: only another version or another database helps. */
export class SchemaTooNew extends Error {
  override readonly name = 'SchemaTooNew'
  readonly exitCode = 78
}

/** Compares the database with the migrations of this version. A database that nobody migrated yet lacks all of them. */
export async function readSchemaState(db: Db, folder?: string): Promise<SchemaState> {
  const [known, applied] = await Promise.all([readMigrations(folder), readApplied(db)])
  return compareSchema(known, applied)
}

/** The same for rows that were read already. */
export function compareSchema(known: readonly Migration[], applied: AppliedMigration[]): SchemaState {
  const level = levelOf(known)
  const names = new Set(applied.map(({ name }) => name))
  const pending = known.filter(({ name }) => !names.has(name))
  const breaking = applied.findLast(({ needs = 0 }) => needs > level)
  return {
    applied,
    missing: pending.filter(({ kind }) => kind === 'expand').map(({ name }) => name),
    contracts: pending.filter(({ kind }) => kind === 'contract').map(({ name }) => name),
    unknown: applied.filter(({ name }) => !known.some((migration) => migration.name === name)).map(({ name }) => name),
    ...(breaking && { breaking }),
    level,
  }
}

/** Throws SchemaTooNew when newer code took something away that this code uses. */
export function refuseTooNew({ breaking, level }: SchemaState): void {
  if (!breaking) return
  const by = breaking.appliedBy ? `Baton ${breaking.appliedBy}` : 'a newer Baton'
  throw new SchemaTooNew(
    `${by} has migrated the database (${breaking.name}) for code that knows migration ${four(breaking.needs ?? 0)} or a later one, and this ` +
      `version knows up to ${four(level)}: run the newer version, or restore a backup from before that migration`,
  )
}

/** How long to wait for the schema, and how often to look afterwards (30 s; 0: not at all). `folder` is for tests. */
export interface WaitForSchemaOptions {
  timeoutMs: number
  watchMs?: number
  /** Told once, after a few seconds, what is waited for and how it is helped. */
  onWait?: (sentence: string) => void
  signal?: AbortSignal
  folder?: string
}

/**
 * Waits until the database has what this version cannot run without; services that do not migrate start with this. Throws SchemaTooNew at
 * once, and SchemaMissing, which names the command that migrates, when the time is up. Goes on looking as long as the pool is open: when newer
 * code takes away what this one uses, SchemaTooNew is left to nobody, which ends a service in order with its exit code. Throws TlsRefused and
 * PoolerUnset at once: waiting does not help.
 */
export async function waitForSchema(sql: Sql, options: WaitForSchemaOptions): Promise<void> {
  const deadline = performance.now() + options.timeoutMs
  let tellAt = performance.now() + Math.min(TELL_AFTER_MS, options.timeoutMs)
  for (;;) {
    let cause: unknown
    const state = await readSchemaState(sql, options.folder).catch((error: unknown) => {
      cause = explainRefusal(error)
    })
    if (cause instanceof TlsRefused || cause instanceof PoolerUnset) throw cause
    if (state) refuseTooNew(state)
    if (state?.missing.length === 0) {
      await refuseUnsetPooler(sql)
      return watchSchema(sql, options)
    }
    options.signal?.throwIfAborted()
    const reason = state ? lacking(state.missing) : unreadable(cause)
    if (performance.now() > deadline) throw reason
    if (performance.now() > tellAt) {
      options.onWait?.(`waiting: ${reason.message}`)
      tellAt = Number.POSITIVE_INFINITY
    }
    await delay(LOOK_EVERY_MS)
  }
}

function watchSchema(sql: Sql, { watchMs = WATCH_EVERY_MS, folder }: WaitForSchemaOptions): void {
  if (watchMs === 0) return
  const timer = setInterval(async () => {
    const state = await readSchemaState(sql, folder).catch((error: { code?: unknown }) => {
      if (error.code === 'CONNECTION_ENDED') clearInterval(timer) // we closed it; that Postgres is away is told by others
    })
    if (!state?.breaking) return
    clearInterval(timer)
    refuseTooNew(state)
  }, watchMs)
  timer.unref()
}

/** The rows of `migrations`, in the order of their names; none when there is no such table yet. */
export async function readApplied(db: Db): Promise<AppliedMigration[]> {
  try {
    // Not prepared: the table gets columns while services ask for it.
    return await db<AppliedMigration[]>`select * from migrations order by name`.simple()
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_TABLE) return []
    throw error
  }
}

function explainRefusal(error: unknown): unknown {
  return isPoolerRefusal(error)
    ? new PoolerUnset('DATABASE_URL leads to a pooler that takes no settings of a session', { cause: error })
    : error
}

function lacking(missing: readonly string[]): SchemaMissing {
  return new SchemaMissing(
    `the database lacks ${missing.join(', ')}: migrate it with "make migrate", or with "node app/migrate.js" in an image of the orchestrator`,
  )
}

function unreadable(cause: unknown): SchemaMissing {
  return new SchemaMissing(`the database cannot be asked for its migrations: ${(cause as Error | undefined)?.message ?? cause}`, { cause })
}

const four = (number: number) => String(number).padStart(4, '0')
