import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { FULL_STATEMENT, LEAN_STATEMENT } from '../src/commit-statements.ts'
import {
  addToInbox,
  commitBatch,
  connect,
  createRuns,
  dueTimers,
  findActive,
  findStale,
  findUnstarted,
  nextDue,
  type Sql,
} from '../src/index.ts'
import { commitOf, newRun, opening } from './fixtures/runs.ts'

interface PlanNode {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  Plans?: PlanNode[]
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)]
}

/** Reads of tables in the plan that is kept for a statement. */
async function readsOf(sql: Sql, statement: string): Promise<PlanNode[]> {
  const [row] = await sql.unsafe(`explain (format json, generic_plan) ${statement}`)
  const [plan] = Object.values(row!)[0] as [{ Plan: PlanNode }]
  return nodesOf(plan.Plan).filter((node) => node['Relation Name'] && !['ModifyTable', 'Tid Scan'].includes(node['Node Type']))
}

test('a commit finds every row by its key, also when it is planned while the tables are empty or small', async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 1, genericPlans: true })
  t.teardown(() => sql.end({ timeout: 1 }))
  const [server] = await sql`select current_setting('server_version_num')::int as version`
  if (server!.version < 160_000) return t.pass('explain (generic_plan) came with PostgreSQL 16')
  const check = async (when: string) => {
    for (const statement of [LEAN_STATEMENT, FULL_STATEMENT]) {
      const reads = await readsOf(sql, statement)
      t.ok(reads.length >= 3)
      for (const read of reads) {
        const how = `${when}: ${read['Node Type']} of ${read['Relation Name']} by ${read['Index Name']}`
        t.match(read['Index Cond'] ?? '', /\b(id|run_id) =/, how)
      }
    }
  }
  const grow = async (count: number) => {
    const runs = Array.from({ length: count }, () => newRun({ timeoutMs: 1_000 }))
    await createRuns(sql, runs)
    await commitBatch(
      sql,
      runs.map((run) => commitOf(run.id, 1, 2, { decision: { approvalsOpened: [opening()] } })),
    )
    await sql.unsafe('analyze')
  }
  await check('empty')
  await grow(50) // autovacuum does not look at tables with fewer changes
  await check('small')
  await grow(1_000)
  await check('larger')
})

test('what waits is looked for by partition and by index, whatever else there is', async (t) => {
  const { url } = await testDatabase(t)
  const sql = connect(url, { max: 1, genericPlans: true })
  t.teardown(() => sql.end({ timeout: 1 }))
  const runs = Array.from({ length: 500 }, () => newRun({ timeoutMs: 1_000 }))
  await createRuns(sql, runs)
  for (const { id } of runs.slice(0, 50)) await addToInbox(sql, 'default', id, { kind: 'cancel', by: 'a' })
  const scans = async () => {
    await sql`select pg_stat_force_next_flush()`
    const [row] = await sql<{ whole: number }[]>`
      select sum(seq_scan)::int as whole from pg_stat_user_tables where relname in ('runs', 'inbox', 'timers')`
    return row!.whole
  }
  const before = await scans()
  const cuts = [3, 9].map((partition) => ({ partition, before: Date.now() + 1_000 }))
  await findUnstarted(sql, cuts, null, 10)
  await findStale(sql, cuts, null, 10)
  await findActive(sql, [3, 9], ['running', 'paused'], Date.now(), null, 10)
  await dueTimers(sql, [3, 9], 10)
  await nextDue(sql, [3, 9])
  t.equal((await scans()) - before, 0, 'no table was read whole')
  const used = await sql`
    select indexrelname as name from pg_stat_user_indexes where idx_scan > 0 and relname in ('runs', 'inbox', 'timers') order by name`
  t.same(
    used.map((row) => row.name),
    ['inbox_oldest', 'runs_active', 'timers_due'],
  )
})
