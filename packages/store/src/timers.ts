/** Timers, due by the clock of Postgres alone. They are set, and deleted, by the commits of their runs. */
import type { TimerKind } from '@baton/engine'
import type { Db } from './connect.ts'

export interface DueTimer {
  runId: string
  path: string
  timer: TimerKind
  generation: number
  attempt: number
  dueAt: number
}

/**
 * Timers of these partitions that are due, oldest first, and the clock in ms with their fractions. Runs that are paused or have ended keep no
 * timers, so the rows that are due are all to be applied. Each partition is walked by itself, in the order of its index: no sort over all that wait.
 */
export async function dueTimers(db: Db, partitions: readonly number[], limit: number): Promise<{ now: number; timers: DueTimer[] }> {
  const rows = await db<(DueTimer & { now: number })[]>`
    select t.run_id, t.path, t.timer, t.generation, t.attempt, t.due_at, extract(epoch from clock.now)::float8 * 1000 as now
      from (select clock_timestamp() as now) as clock
      left join lateral (
        select t.* from unnest(${[...partitions]}::smallint[]) as p (partition)
          cross join lateral (
            select t.* from timers t
             where t.partition = p.partition and t.due_at <= clock.now
             order by t.due_at limit ${limit}
          ) as t
         order by t.due_at limit ${limit}
      ) as t on true`
  return { now: rows[0]!.now, timers: rows.filter((row) => row.runId !== null).map(({ now: _, ...timer }) => timer) }
}

/**
 * When the next timer of these partitions is due, null when there is none; and the clock, as above. With it whether the lease of any task has run
 * out, for `expireLeases`: who idles asks for both each second, in one round trip.
 */
export async function nextDue(db: Db, partitions: readonly number[]): Promise<{ now: number; dueAt: number | null; leasesOver: boolean }> {
  const [row] = await db<{ now: number; dueAt: number | null; leasesOver: boolean }[]>`
    select extract(epoch from clock_timestamp())::float8 * 1000 as now, (
      select min(t.due_at) from unnest(${[...partitions]}::smallint[]) as p (partition)
        cross join lateral (
          select t.due_at from timers t where t.partition = p.partition order by t.due_at limit 1
        ) as t
    ) as due_at,
    exists (select from tasks where status = 'claimed' and lease_until <= now()) as leases_over`
  return row!
}
