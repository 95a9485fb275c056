/** Moments of a runner that last as long as a test needs: a commit waits for a row that the test holds. */
import { connectRedis, createFactSender } from '@baton/runtime'
import { connect, type Sql } from '@baton/store'
import { type TestRedis, testDatabase, testRedis, until } from '@baton/testing'
import type { Test } from 'tap'

export interface World {
  sql: Sql
  server: TestRedis
  urls: { database: string; redis: string }
  facts: ReturnType<typeof createFactSender>
  /** Holds the row of a run; resolves when a commit waits for it, with what lets it go. */
  holdCommit(runId: string, act: () => unknown): Promise<() => Promise<unknown>>
  statusOf(runId: string): Promise<string>
  /** How often each `type path` of a run stands in its events. */
  eventCounts(runId: string): Promise<Record<string, number>>
}

/** Postgres, and a Redis that keeps what it has over a crash. */
export async function openWorld(t: Test): Promise<World> {
  const [{ sql: pool, url }, server] = await Promise.all([testDatabase(t), testRedis(t, { appendonly: true })])
  const sql = pool as unknown as Sql
  const client = connectRedis(server.url, { name: 'test' })
  t.teardown(() => client.disconnect())
  return {
    sql,
    server,
    urls: { database: url, redis: server.url },
    facts: createFactSender(client),
    async holdCommit(runId, act) {
      const holder = connect(url, { max: 1 })
      t.teardown(() => holder.end({ timeout: 1 }))
      await holder.unsafe('begin')
      await holder`select from runs where id = ${runId} for update`
      await act()
      await until(async () => (await sql`select from pg_locks where not granted`).length > 0, { what: 'a commit that waits' })
      return () => holder.unsafe('rollback')
    },
    async statusOf(runId) {
      const [run] = await sql<{ status: string }[]>`select status from runs where id = ${runId}`
      return run!.status
    },
    async eventCounts(runId) {
      const rows = await sql<{ type: string; path: string; n: number }[]>`
        select type, path, count(*) as n from run_events where run_id = ${runId} group by type, path`
      return Object.fromEntries(rows.map(({ type, path, n }) => [`${type} ${path}`.trim(), n]))
    },
  }
}
