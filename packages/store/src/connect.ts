import postgres from 'postgres'
import { type Lanes, openLanes } from './transactions.ts'

/** A pool. Rows come out with camelCase columns (keys inside JSON stay as they are), timestamptz and bigint as numbers. */
export type Sql = postgres.Sql
/** A pool or a transaction: the first argument of every query. */
export type Db = postgres.ISql

/** Milliseconds since 1970 on this side, timestamptz on that; sessions run in UTC. */
const timestamp = {
  to: 1184,
  from: [1114, 1184],
  serialize: (value: number | Date) => new Date(value).toISOString(),
  parse: (text: string) => Date.parse(`${text.slice(0, 10)}T${text.slice(11).replace(/\+00$/, '')}Z`),
}
/** Counts, sizes and ids stay far below 2^53. */
const bigint = { to: 20, from: [20], serialize: (value: number | string | bigint) => `${value}`, parse: Number }

export interface ConnectOptions {
  /** Connections of the pool (10); transactions take up to half as many beside it, opened when needed and closed after 30 s idle. */
  max?: number
  /** Shown in pg_stat_activity. */
  applicationName?: string
  /** Plan each prepared statement once for all values, by index: for pools that commit batches and read by key, not for those that filter lists. */
  genericPlans?: boolean
}

/** Options that all our connections share: pool, transactions and migrations. */
export function connectionOptions(options: ConnectOptions = {}) {
  // A scan is cheap while a table is small; the plan would be kept while it grows, until the next autovacuum.
  const plans = options.genericPlans ? { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', jit: 'off' } : {}
  return {
    types: { timestamp, bigint },
    // Not postgres.camel: that one also renames keys inside JSON.
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    connection: { application_name: options.applicationName ?? 'baton', TimeZone: 'UTC', ...plans },
    onnotice: () => {},
    connect_timeout: 10,
    // A dead server shows itself on the socket; a connection that is closed for its age alone is a needless handshake.
    max_lifetime: null,
  }
}

const lanesOf = new WeakMap<Sql, Lanes>()

/** Opens a pool; each connection is made when it is first needed. Close it with `sql.end({ timeout: 5 })`, which ends its transactions too. */
export function connect(databaseUrl: string, options: ConnectOptions = {}): Sql {
  const max = options.max ?? 10
  const shared = connectionOptions(options)
  const sql = postgres(databaseUrl, { ...shared, max }) as unknown as Sql
  const lanes = openLanes(Math.max(1, max >> 1), (onclose) => {
    return postgres(databaseUrl, { ...shared, max: 1, idle_timeout: 30, onclose }) as unknown as Sql
  })
  const end = sql.end.bind(sql)
  sql.end = async (how) => {
    await Promise.all([end(how), lanes.end(how)])
  }
  lanesOf.set(sql, lanes)
  return sql
}

/**
 * Runs `action` in one transaction on a connection of its own: commits when it resolves, rolls back when it throws. Throws ConnectionLost
 * when the connection died; during the commit that means an unknown outcome.
 */
export function withTransaction<T>(sql: Sql, action: (tx: Db) => Promise<T>): Promise<T> {
  const lanes = lanesOf.get(sql)
  if (!lanes) throw new Error('withTransaction takes a pool that connect() gave')
  return lanes.run(action)
}

/** Postgres' now in milliseconds since 1970: the only clock that timers and deadlines obey. */
export async function clock(db: Db): Promise<number> {
  const [row] = await db<{ now: number }[]>`select clock_timestamp() as now`
  return row!.now
}
