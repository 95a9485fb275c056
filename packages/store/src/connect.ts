import postgres from 'postgres'
import { boundStatements } from './bound-statements.ts'
import { type DatabaseTarget, readDatabaseUrl } from './database-url.ts'
import { openSockets, type Sockets } from './open-socket.ts'
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
  /** After this long the server ends a statement, and 1 s later we do if it has not: for pools whose callers wait for an answer. */
  statementTimeoutMs?: number | undefined
}

const CONNECT_MS_MAX = 10_000
/** The server is to say first that it has ended a statement: then it is known not to have happened. */
const SERVER_FIRST_MS = 1_000

/** Options that all our connections share: pool, transactions and migrations. */
export function connectionOptions(options: ConnectOptions, { pooler }: DatabaseTarget) {
  return {
    types: { timestamp, bigint },
    // Not postgres.camel: that one also renames keys inside JSON.
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    connection: { application_name: options.applicationName ?? 'baton', TimeZone: 'UTC', ...(pooler ? {} : startParameters(options)) },
    // Through a pooler the next transaction may meet another server, which has not prepared the statement.
    prepare: !pooler,
    onnotice: () => {},
    connect_timeout: connectMsMax(options) / 1_000,
    // A dead server shows itself on the socket; a connection that is closed for its age alone is a needless handshake.
    max_lifetime: null,
  }
}

/** A pooler refuses them. Without them a statement is planned anew each time there (it is not prepared), with today's statistics. */
function startParameters({ genericPlans, statementTimeoutMs }: ConnectOptions): Record<string, string> {
  return {
    // A scan is cheap while a table is small; the plan would be kept while it grows, until the next autovacuum.
    ...(genericPlans && { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', jit: 'off' }),
    ...(statementTimeoutMs && { statement_timeout: String(statementTimeoutMs) }),
  }
}

/** A client of `max` connections, each made when it is first needed. Throws DatabaseUrlInvalid. */
export function openClient(target: DatabaseTarget, options: ConnectOptions & ClientOptions): Sql {
  const { sockets = socketsFor(target, options), max, idleSeconds, onclose } = options
  // postgres.js would go from host to host without an end, and never say why; ours does it where we make the sockets.
  const ours = sockets && { socket: sockets.open, host: [target.hosts[0]!], port: [target.port] }
  const all = {
    ...connectionOptions(options, target),
    ...ours,
    max: max ?? 10,
    ...(idleSeconds && { idle_timeout: idleSeconds }),
    ...(onclose && { onclose }),
  }
  return postgres(target.url, all as unknown as postgres.Options<Record<string, never>>) as unknown as Sql
}

interface ClientOptions {
  /** Where the connections come from; absent: sockets of its own. */
  sockets?: Sockets | undefined
  idleSeconds?: number
  onclose?: () => void
}

/** Only where postgres.js' own do not do (of several hosts it never says why none answers): they stay what they were for everybody else. */
function socketsFor(target: DatabaseTarget, { statementTimeoutMs }: ConnectOptions): Sockets | undefined {
  if (!target.tls && statementTimeoutMs === undefined && target.hosts.length === 1) return undefined
  return openSockets(target, connectMsMax({ statementTimeoutMs }))
}

/** The socket and what is said on it first have this long each. */
function connectMsMax({ statementTimeoutMs = Number.POSITIVE_INFINITY }: Pick<ConnectOptions, 'statementTimeoutMs'>): number {
  return Math.min(CONNECT_MS_MAX, statementTimeoutMs / 2)
}

const lanesOf = new WeakMap<Sql, Lanes>()

/**
 * Opens a pool; each connection is made when it is first needed. Close it with `sql.end({ timeout: 5 })`, which ends its transactions too.
 * Throws DatabaseUrlInvalid.
 */
export function connect(databaseUrl: string, options: ConnectOptions = {}): Sql {
  const target = readDatabaseUrl(databaseUrl)
  const max = options.max ?? 10
  const sockets = socketsFor(target, options)
  const waitMs = options.statementTimeoutMs && options.statementTimeoutMs + SERVER_FIRST_MS
  const open = (client: ClientOptions & { max: number }) => {
    const sql = openClient(target, { ...options, ...client, sockets })
    return sockets && waitMs ? boundStatements(sql, waitMs, sockets) : sql
  }
  const sql = open({ max })
  const lanes = openLanes(Math.max(1, max >> 1), (onclose) => open({ max: 1, idleSeconds: 30, onclose }), waitMs)
  const end = sql.end.bind(sql)
  sql.end = async (how) => {
    sockets?.close()
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

/** Postgres' now in milliseconds since 1970, with their fractions: the only clock that timers and deadlines obey. */
export async function clock(db: Db): Promise<number> {
  const [row] = await db<{ now: number }[]>`select extract(epoch from clock_timestamp())::float8 * 1000 as now`
  return row!.now
}
