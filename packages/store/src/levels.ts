/**
 * How much stands where, for metrics: asked for again and again, so that no question may cost more the more there is. Counts go by an index and
 * end at `COUNT_MAX`, the oldest of something is the first entry of an index, and each answer has a time limit of its own.
 */
import { ROLES, type RunStatus } from '@baton/contracts'
import { type Db, type Sql, withTransaction } from './connect.ts'

/** Counts end here: a level of this much means so much or more. */
const COUNT_MAX = 25_000
/** Approvals are looked at one by one, by whom they wait for. */
const APPROVALS_MAX = 10_000
const NAMESPACES_MAX = 1_000
const ANSWER_MS_MAX = 2_000

/** Runs that have not ended, by status. */
export type OpenRuns = Partial<Record<RunStatus, number>>

export interface Backlog {
  /** Facts that were accepted and are not applied yet, and for how long the oldest waits. */
  inboxFacts: number
  inboxOldestMs: number
  timers: number
  /** For how long the timer that should have fired first is overdue; 0 when none is. */
  timersOverdueMs: number
  databaseBytes: number
}

export interface PendingApprovals {
  /** `user`, `group`, `role:<role>`, `other`: an approval counts once for each of them that it asks. */
  byAssignee: { assignee: string; count: number }[]
  oldestMs: number
}

/** Runs that have not ended, of all namespaces: each status out of the index of its namespace and status, without a look at the rows. */
export function countOpenRuns(sql: Sql): Promise<OpenRuns> {
  return ask(sql, async (db) => {
    const rows = await db<{ status: RunStatus; count: number }[]>`
      with recursive ${namespacesOf(db, 'runs')}
      select wanted.status, (
          select count(*) from (
            select from (select namespace from spaces where namespace is not null limit ${NAMESPACES_MAX}) as space
              cross join lateral (
                select from runs r where r.namespace = space.namespace and r.status = wanted.status limit ${COUNT_MAX}
              ) as r
             limit ${COUNT_MAX}
          ) as r
        ) as count
        from unnest(array['queued', 'running', 'waiting', 'paused']) as wanted (status)`
    return Object.fromEntries(rows.map(({ status, count }) => [status, count]))
  })
}

/** What waits in Postgres. The first of the inbox and of the timers are found partition by partition. */
export function readBacklog(sql: Sql): Promise<Backlog> {
  return ask(sql, async (db) => {
    const [row] = await db<Backlog[]>`
      select (select count(*) from (select from inbox limit ${COUNT_MAX}) as i) as inbox_facts,
             (select coalesce(max(extract(epoch from clock_timestamp() - first.created_at) * 1000), 0)::float8
                from generate_series(0, 15) as p (partition)
                cross join lateral (
                  select i.created_at from inbox i where partition_of(i.run_id) = p.partition order by i.id limit 1
                ) as first) as inbox_oldest_ms,
             (select count(*) from (select from timers limit ${COUNT_MAX}) as t) as timers,
             (select coalesce(greatest(max(extract(epoch from clock_timestamp() - first.due_at) * 1000), 0), 0)::float8
                from generate_series(0, 15) as p (partition)
                cross join lateral (
                  select t.due_at from timers t where t.partition = p.partition order by t.due_at limit 1
                ) as first) as timers_overdue_ms,
             pg_database_size(current_database()) as database_bytes`
    return row!
  })
}

/** Whom pending approvals wait for. Names of people, of groups and of roles that do not exist are left out: there may be any number of them. */
export function readPendingApprovals(sql: Sql): Promise<PendingApprovals> {
  return ask(sql, async (db) => {
    const byAssignee = await db<{ assignee: string; count: number }[]>`
      select assignee, count(*) from (
          select distinct a.id, case when entry = any(${ROLES.map((role) => `role:${role}`)}::text[]) then entry
                                     when entry like 'user:%' then 'user' when entry like 'group:%' then 'group' else 'other' end as assignee
            from (select a.id, a.assignees from approvals a where a.status = 'pending' limit ${APPROVALS_MAX}) as a
            cross join lateral unnest(a.assignees) as entry
        ) as asked
       group by assignee order by assignee`
    const [row] = await db<{ oldestMs: number }[]>`
      with recursive ${namespacesOf(db, 'approvals')}
      select coalesce(max(extract(epoch from clock_timestamp() - first.created_at) * 1000), 0)::float8 as oldest_ms
        from (select namespace from spaces where namespace is not null limit ${NAMESPACES_MAX}) as space
        cross join lateral (
          select a.created_at from approvals a where a.namespace = space.namespace and a.status = 'pending' order by a.id limit 1
        ) as first`
    return { byAssignee, oldestMs: row!.oldestMs }
  })
}

/** Tasks that nobody has ended, and for how long the oldest of those that nobody holds has been offered. */
export interface OpenTasks {
  open: number
  claimed: number
  oldestMs: number
}

/** Tasks of all namespaces: each status out of its index, without a look at the rows. */
export function readOpenTasks(sql: Sql): Promise<OpenTasks> {
  return ask(sql, async (db) => {
    const rows = await db<{ status: 'open' | 'claimed'; count: number; oldestMs: number }[]>`
      with recursive ${namespacesOf(db, 'tasks')}
      select wanted.status, (
          select count(*) from (
            select from (select namespace from spaces where namespace is not null limit ${NAMESPACES_MAX}) as space
              cross join lateral (
                select from tasks t where t.namespace = space.namespace and t.status = wanted.status limit ${COUNT_MAX}
              ) as t
             limit ${COUNT_MAX}
          ) as t
        ) as count, (
          select coalesce(max(extract(epoch from clock_timestamp() - first.created_at) * 1000), 0)::float8
            from (select namespace from spaces where namespace is not null limit ${NAMESPACES_MAX}) as space
            cross join lateral (
              select t.created_at from tasks t
               where t.namespace = space.namespace and t.status = wanted.status order by t.id limit 1
            ) as first
        ) as oldest_ms
        from unnest(array['open', 'claimed']) as wanted (status)`
    const of = (status: 'open' | 'claimed') => rows.find((row) => row.status === status)!
    return { open: of('open').count, claimed: of('claimed').count, oldestMs: of('open').oldestMs }
  })
}

/** The namespaces of a table, each found by one step through its index of namespace and id. */
function namespacesOf(db: Db, table: 'runs' | 'approvals' | 'tasks') {
  return db`spaces as (
        (select namespace from ${db(table)} order by namespace limit 1)
        union all
        select (select next.namespace from ${db(table)} next where next.namespace > spaces.namespace order by next.namespace limit 1)
          from spaces where spaces.namespace is not null
      )`
}

/** Never by a scan of a whole table, however few rows the statistics promise. */
function ask<T>(sql: Sql, question: (db: Db) => Promise<T>): Promise<T> {
  return withTransaction(sql, async (tx) => {
    await tx`select set_config('statement_timeout', ${String(ANSWER_MS_MAX)}, true), set_config('enable_seqscan', 'off', true),
                    set_config('jit', 'off', true)`
    return question(tx)
  })
}
