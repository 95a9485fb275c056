import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import { FULL_STATEMENT, LEAN_STATEMENT } from '../src/commit-statements.ts'
import { commitBatch, connect, createRuns, type Sql } from '../src/index.ts'
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
