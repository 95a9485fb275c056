/** Looks into the stores of an engine from outside: how much they hold. */
import { Redis } from 'ioredis'
import postgres from 'postgres'
import type { StoredBytes } from './engine.ts'

/** Where the stores are; an engine may have but one of them. */
export interface StoreUrls {
  databaseUrl?: string | undefined
  redisUrl?: string | undefined
}

/** A table with its indexes, and those of its partitions. */
export interface TableFigures {
  name: string
  liveRows: number
  deadRows: number
  bytes: number
}

/** Connections that are made when they are first needed. */
export interface Stores {
  stored(): Promise<StoredBytes>
  /** Rows and sizes of the tables of the schema `public`, as the statistics of Postgres have them; rows of the `counted` ones exactly. */
  tables(counted: readonly string[]): Promise<TableFigures[]>
  /** `used_memory` and the number of keys. */
  redis(): Promise<{ bytes: number; keys: number }>
  close(): Promise<void>
}

/** Opens the stores at the URLs. */
export function openStores({ databaseUrl, redisUrl }: StoreUrls): Stores {
  const sql = databaseUrl === undefined ? undefined : postgres(databaseUrl, { max: 1, onnotice: () => {} })
  const client = redisUrl === undefined ? undefined : new Redis(redisUrl, { lazyConnect: true })
  const redis: Stores['redis'] = async () => {
    const memory = (await client?.info('memory')) ?? ''
    return { bytes: Number(/^used_memory:(\d+)/m.exec(memory)?.[1] ?? 0), keys: (await client?.dbsize()) ?? 0 }
  }
  return {
    redis,
    tables: async (counted) => (sql ? readTables(sql, counted) : []),
    async stored() {
      const database = sql && Number((await sql`select pg_database_size(current_database()) as bytes`)[0]!.bytes)
      return { ...(database !== undefined && { database }), ...(client && { redis: (await redis()).bytes }) }
    },
    async close() {
      client?.disconnect()
      await sql?.end({ timeout: 1 })
    },
  }
}

async function readTables(sql: postgres.Sql, counted: readonly string[]): Promise<TableFigures[]> {
  const rows = await sql`
    select coalesce(parent.relname, stat.relname) as name,
           sum(stat.n_live_tup) as live, sum(stat.n_dead_tup) as dead, sum(pg_total_relation_size(stat.relid)) as bytes
      from pg_stat_user_tables stat
      left join pg_inherits on inhrelid = stat.relid
      left join pg_class parent on parent.oid = inhparent
     where stat.schemaname = 'public'
     group by 1 order by 1`
  const exactly = new Map<string, number>()
  // The statistics of a connection come late, and those of a small table may never be right.
  for (const name of counted) exactly.set(name, Number((await sql`select count(*) from ${sql(name)}`)[0]!.count))
  return rows.map(({ name, live, dead, bytes }) => ({
    name,
    liveRows: exactly.get(name) ?? Number(live),
    deadRows: Number(dead),
    bytes: Number(bytes),
  }))
}
