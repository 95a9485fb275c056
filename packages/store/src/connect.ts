import postgres from 'postgres'

/** A pool. Rows come out with camelCase columns (keys inside jsonb stay as they are), timestamptz and bigint as numbers. */
export type Sql = postgres.Sql
/** A pool or a transaction: what every query function takes. */
export type Db = Pick<Sql, 'unsafe' | 'json' | 'array' | 'typed'> & Sql

/** Milliseconds since 1970 on this side, timestamptz on that; sessions run in UTC. */
const timestamp = {
  to: 1184,
  from: [1114, 1184],
  serialize: (value: number | Date) => new Date(value).toISOString(),
  parse: (text: string) => Date.parse(text.includes('+') ? text.replace(' ', 'T').replace(/\+00$/, 'Z') : `${text.replace(' ', 'T')}Z`),
}
/** Counts, sizes and ids stay far below 2^53. */
const bigint = { to: 20, from: [20], serialize: (value: number | string | bigint) => `${value}`, parse: Number }

/** Options that all our connections share: the pool, the transactions and the migrations. */
export function connectionOptions(applicationName: string) {
  return {
    types: { timestamp, bigint },
    // Not postgres.camel: that one also renames keys inside jsonb.
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    connection: { application_name: applicationName, TimeZone: 'UTC' },
    onnotice: () => {},
    connect_timeout: 10,
    // A dead server shows itself on the socket; a connection that is closed for its age alone is a needless new handshake.
    max_lifetime: null,
  } satisfies postgres.Options<Record<string, postgres.PostgresType>>
}

/** Opens a pool of at most `max` (10) connections, each made when it is first needed. Close it with `sql.end({ timeout: 5 })`. */
export function connect(databaseUrl: string, options: { max?: number; applicationName?: string } = {}): Sql {
  return postgres(databaseUrl, { ...connectionOptions(options.applicationName ?? 'baton'), max: options.max ?? 10 }) as unknown as Sql
}

/** Postgres' now in milliseconds since 1970: the only clock that timers and deadlines obey. */
export async function clock(db: Db): Promise<number> {
  const [row] = await db<{ now: number }[]>`select clock_timestamp() as now`
  return row!.now
}
