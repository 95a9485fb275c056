/**
 * Multiplies finished runs inside Postgres, so that a database with a million of them takes minutes rather than hours. Every copy has all rows
 * of a run that really ran, under an id of its own: UUIDv7, spread evenly over the past 30 days, in the order of time. What is worked on stands in the schema
 * `bench`, so that a fill that was interrupted goes on where it stopped.
 */
import type postgres from 'postgres'

/** Copies of one transaction. Runners must not see a copy before it has ended, or they would run it. */
const PIECE = 20_000
const DAYS = 30

export interface Fill {
  /** Finished runs that there shall be. */
  runs: number
  /** Told after each piece how many there are. */
  onPiece?: (filled: number) => void
}

/** Remembers the runs with the tag as what copies are made of. Replaces what was remembered before. */
export async function keepTemplates(sql: postgres.Sql, tag: string): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`drop schema if exists bench cascade`
    await tx`create schema bench`
    await tx`
      create table bench.runs as
        select row_number() over (order by id) - 1 as ord, r.* from runs r where labels @> ${sql.json({ tag })}`
    await tx`create table bench.events as select t.ord, e.* from bench.runs t join run_events e on e.run_id = t.id`
    await tx`alter table bench.runs add primary key (ord)`
    await tx`alter table bench.events add primary key (ord, seq)`
    await tx`create table bench.fill as select 0::int as filled, null::int as wanted, now() - interval '1 hour' as until_at`
  })
  await sql`analyze bench.runs, bench.events`
}

/** How many copies there are; undefined while nothing is remembered that copies could be made of. */
export async function filledRuns(sql: postgres.Sql): Promise<number | undefined> {
  const [there] = await sql`select to_regclass('bench.fill') is not null as is_there`
  if (!there!.is_there) return undefined
  const [row] = await sql<{ filled: number }[]>`select filled from bench.fill`
  return row!.filled
}

/** Makes copies until there are so many, then lets Postgres clean up as autovacuum does. */
export async function fillRuns(sql: postgres.Sql, { runs, onPiece }: Fill): Promise<void> {
  await sql`update bench.fill set wanted = ${runs} where wanted is null`
  const [fill] = await sql<{ wanted: number }[]>`select wanted from bench.fill`
  if (fill!.wanted !== runs)
    throw new Error(`this database is being filled to ${fill!.wanted} runs: "make bench-growth" with them, or remove it`)
  // In life the months were there before their runs.
  await sql`
    select ensure_event_partition(month) from bench.fill
      cross join lateral generate_series(until_at - ${DAYS} * interval '1 day', until_at, interval '1 day') as month`
  for (let filled = (await filledRuns(sql))!; filled < runs; ) {
    const upTo = Math.min(runs, filled + PIECE)
    await sql.begin((tx) => copyPiece(tx, filled, upTo))
    filled = upTo
    onPiece?.(filled)
  }
  await sql`vacuum (analyze)`
  await sql`checkpoint`
}

/** Copies `from` to `to`. As in life a run is inserted, runs and ends: each leaves a version of its row, and entries in the indexes. */
async function copyPiece(tx: postgres.TransactionSql, from: number, to: number): Promise<void> {
  await tx`
    create temporary table piece on commit drop as
      with numbered as (
        select n, (n::bigint * 7919) % (select count(*) from bench.runs) as ord, abs(hashint4(n)) as chance,
               (until_at - ${DAYS} * interval '1 day' * (1 - n::float8 / wanted))::timestamptz(3) as at
          from bench.fill cross join generate_series(${from}::int, ${to - 1}::int) as n
      )
      select t.ord, numbered.n, at, at - t.created_at as later, ${idAt(tx)} as id, ${labels(tx)} as labels
        from numbered join bench.runs t on t.ord = numbered.ord
       order by n`
  await tx`analyze piece`
  await tx`
    insert into runs (id, namespace, workflow, version, checksum, definition_version, priority, labels, input, started_by, trace, created_at,
                      updated_at, forked_from, parent_run, parent_step)
    select p.id, t.namespace, t.workflow, t.version, t.checksum, t.definition_version, t.priority, p.labels, t.input, t.started_by, t.trace, p.at,
           p.at, t.forked_from, t.parent_run, t.parent_step
      from piece p join bench.runs t on t.ord = p.ord order by p.n`
  await tx`update runs r set seq = 3, status = 'running', started_at = t.started_at + p.later
             from piece p join bench.runs t on t.ord = p.ord where r.id = p.id`
  await tx`update runs r set seq = t.seq, status = t.status, ending = t.ending, output = t.output, error = t.error, ended_at = t.ended_at + p.later,
                             updated_at = t.updated_at + p.later
             from piece p join bench.runs t on t.ord = p.ord where r.id = p.id`
  await tx`
    insert into run_events (run_id, seq, at, namespace, type, path, data)
    select p.id, e.seq, e.at + p.later, e.namespace, e.type, e.path, e.data
      from piece p join bench.events e on e.ord = p.ord order by p.n, e.seq`
  await tx`update bench.fill set filled = ${to}`
}

/** A UUIDv7 of the time `at`: 48 bits of milliseconds, the version, then chance. */
function idAt(tx: postgres.TransactionSql) {
  const ms = tx`lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0')`
  return tx`overlay(gen_random_uuid()::text placing left(${ms}, 8) || '-' || right(${ms}, 4) || '-7' from 1 for 15)::uuid`
}

/**
 * A third of the runs has no labels. The others have one of four teams, one of 10 000 customers and the release of their day, so that some
 * labels match many runs, some few, and some only old ones; some hundred runs of all share an incident.
 */
function labels(tx: postgres.TransactionSql) {
  return tx`
    case when chance % 3 = 0 then '{}'::jsonb
         else jsonb_build_object('team', 't' || chance % 4, 'customer', 'c' || chance % 10000, 'release', to_char(at, 'YYYY-MM-DD'))
     end || case when n % 9973 = 0 then '{"incident": "i7"}'::jsonb else '{}'::jsonb end`
}
