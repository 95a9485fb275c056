import assert from 'node:assert/strict'
import { RUN_STATUSES } from '@baton/contracts'
import { testDatabase } from '@baton/testing'
import postgres from 'postgres'
import { test } from 'tap'
import { connectionOptions } from '../src/connect.ts'
import { readDatabaseUrl } from '../src/database-url.ts'
import { countRuns, listRuns, type RunsFilter, type Sql } from '../src/index.ts'

/** Enough for a scan of the whole table to cost more than what an index gives, as it does with a million. */
const RUNS = 40_000
const LIMIT = 50
/** Rows of a table or an index that the query of a page may read, and the query that chooses what it reads. */
const PAGE_ROWS_MAX = 3_000
const CHOICE_ROWS_MAX = 10_000
const DAY_MS = 24 * 3_600_000

interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  Plans?: PlanNode[]
}

type Statement = { text: string; parameters: unknown[] }

const made = { since: 0, until: 0 }

/**
 * Runs of thirty days, one each 65 s: three workflows used unequally, five of a hundred failed and one cancelled, labels that most runs have, that
 * few have, and that only old ones have.
 *
 * Vacuum calls a page visible to all only when the commit of its rows, and those of their neighbours in the commit log, are flushed: with commits
 * that do not wait for that, every plan here could be one of an unvacuumed table.
 */
async function makeRuns(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, connection: { synchronous_commit: 'on' } })
  made.until = Date.now()
  made.since = made.until - 30 * DAY_MS
  await sql`
    insert into runs (id, namespace, workflow, version, checksum, status, labels, input, started_by, created_at, updated_at, ended_at)
    select overlay(gen_random_uuid()::text placing left(uuid_floor(at)::text, 14) || '7' from 1 for 15)::uuid,
           'default', case when n % 100 = 99 then 'rare' when n % 100 < 60 then 'orders' else 'refunds' end, 1, 'sha256:0',
           case when n / 7 % 20 = 3 then 'failed' when n / 7 % 100 = 11 then 'cancelled' else 'succeeded' end,
           case when n % 3 = 0 then '{}'::jsonb
                else jsonb_build_object('team', 't' || n % 4, 'customer', 'c' || n % 1999, 'day', to_char(at, 'DD')) end
             || case when n % 997 = 0 then '{"incident": "i7"}'::jsonb else '{}' end,
           '{}', 'key_1', at, at, at
      from (select n, to_timestamp(${made.since}::float8 / 1000) + n * interval '30 days' / ${RUNS}::int as at
              from generate_series(0, ${RUNS - 1}) as n) as numbered`
  await sql`vacuum (analyze)`
  const [runs] = await sql<{ unseen: number }[]>`select relpages - relallvisible as unseen from pg_class where relname = 'runs'`
  await sql.end()
  assert.equal(runs!.unseen, 0, 'vacuum has seen every page of runs')
}

/** Every filter there is, with values that match many runs, few, old ones or none. */
function filters(): RunsFilter[] {
  const ago = (days: number) => made.until - days * DAY_MS
  const oldDay = new Date(ago(28)).toISOString().slice(8, 10)
  const all: RunsFilter[] = []
  for (const workflow of [undefined, 'orders', 'rare'])
    for (const status of [undefined, ['failed'], ['cancelled'], ['succeeded', 'running']] as RunsFilter['status'][])
      for (const label of [
        undefined,
        ['team:t1'],
        ['customer:c74'],
        [`day:${oldDay}`],
        ['incident:i7'],
        ['team:t2', 'customer:c74'],
        ['a:b'],
      ])
        for (const [since, until] of [[], [undefined, ago(20)], [ago(21), ago(20)]]) all.push({ workflow, status, label, since, until })
  return all
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  const text = Array.isArray(value) ? `{${value.map((item) => JSON.stringify(item)).join(',')}}` : String(value)
  return `'${text.replaceAll("'", "''")}'`
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)]
}

/** A pool that remembers what it was asked, and what it says when it is asked to explain that. */
function explainer(url: string) {
  const asked: Statement[] = []
  const options = { ...connectionOptions({}, readDatabaseUrl(url)), max: 1 }
  const debug = (_: number, text: string, parameters: unknown[]) => void asked.push({ text, parameters })
  const sql = postgres(url, { ...options, debug }) as unknown as Sql
  const other = postgres(url, options) as unknown as Sql
  return {
    sql,
    /** The statements that `action` sent. */
    async asked(action: () => Promise<unknown>): Promise<Statement[]> {
      asked.length = 0
      await action()
      return asked.filter(({ text }) => /\bfrom (runs|run_labels)\b/.test(text))
    },
    /** The nodes of the plan for these values, or of the one that is kept for all values. */
    async explain({ text, parameters }: Statement, mode: 'force_custom_plan' | 'force_generic_plan'): Promise<PlanNode[]> {
      await other.unsafe(`set plan_cache_mode = ${mode}; deallocate all; prepare q as ${text}`)
      const values = parameters.length > 0 ? `(${parameters.map(literal).join(', ')})` : ''
      const [row] = await other.unsafe(`explain (analyze, timing off, format json) execute q ${values}`)
      const [plan] = Object.values(row!)[0] as [{ Plan: PlanNode }]
      return nodesOf(plan.Plan)
    },
    end: () => Promise.all([sql.end({ timeout: 1 }), other.end({ timeout: 1 })]),
  }
}

const isRead = (node: PlanNode) => node['Relation Name'] !== undefined
const byIndex = (node: PlanNode) => node['Node Type'] === 'Index Scan' || node['Node Type'] === 'Index Only Scan'
const rowsOf = (node: PlanNode) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']

test('every list and count of runs reads by index, and a page reads little, whatever the filter', async (t) => {
  const { url } = await testDatabase(t)
  await makeRuns(url)
  const { sql: watched, asked, explain, end } = explainer(url)
  t.teardown(end)
  const [middle] = await watched<{ id: string }[]>`select id from runs order by id desc offset ${RUNS / 2} limit 1`
  const deep = Buffer.from(JSON.stringify([middle!.id])).toString('base64url')
  const wrong: string[] = []
  const judge = async (what: string, statements: Statement[], mostRows: number) => {
    for (const statement of statements) {
      for (const mode of ['force_custom_plan', 'force_generic_plan'] as const) {
        const nodes = await explain(statement, mode)
        const scans = nodes
          .filter((node) => isRead(node) && !byIndex(node))
          .map((node) => `${node['Node Type']} of ${node['Relation Name']}`)
        const rows = Math.max(0, ...nodes.filter(isRead).map(rowsOf))
        const sorted = Math.max(0, ...nodes.filter((node) => node['Node Type'].includes('Sort')).map(rowsOf))
        if (scans.length > 0) wrong.push(`${what} (${mode}): ${scans.join(', ')}`)
        // What is counted to find the rarest condition is bounded by itself.
        if (rows > (mostRows === PAGE_ROWS_MAX && statement.text.includes('count(*)') ? CHOICE_ROWS_MAX : mostRows))
          wrong.push(`${what} (${mode}): reads ${rows} rows`)
        if (sorted > RUN_STATUSES.length * (LIMIT + 1)) wrong.push(`${what} (${mode}): sorts ${sorted} rows`)
      }
    }
  }
  const seen = new Set<string>()
  for (const filter of filters()) {
    for (const cursor of filter.until === undefined ? [undefined, deep] : [undefined]) {
      const what = `list ${JSON.stringify({ ...filter, deep: cursor !== undefined })}`
      const statements = await asked(() => listRuns(watched, 'default', filter, { limit: LIMIT, cursor }))
      for (const { text } of statements) seen.add(text)
      await judge(what, statements, PAGE_ROWS_MAX)
    }
    const counting = await asked(() => countRuns(watched, 'default', filter))
    await judge(`count ${JSON.stringify(filter)}`, counting, RUNS)
  }
  t.same(wrong.slice(0, 20), [])
  t.ok(seen.size > 50, `${seen.size} statements were looked at`)
})
