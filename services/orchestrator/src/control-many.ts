/** Controls in bulk: the runs that match a filter, each by itself, so that one that cannot be does not stop the others. */
import { type BulkAnswer, idOf, type Run, type RunFilter } from '@baton/contracts'
import { ProblemException } from '@baton/runtime'
import { listRuns, type RunRow, type Sql } from '@baton/store'

/** Runs that are moved at once: each takes a transaction. */
const AT_ONCE = 4
const PAGE_RUNS_MAX = 200

const ENDED_BADLY = ['failed', 'cancelled', 'timed_out'] as const

/** Lets `act` move the newest `limit` runs that match; without a status those that failed, were cancelled or timed out. */
export async function controlMany(
  sql: Sql,
  namespace: string,
  { filter, limit }: { filter: RunFilter; limit: number },
  act: (row: RunRow) => Promise<Run>,
): Promise<BulkAnswer> {
  const rows = await findRuns(sql, namespace, { ...filter, status: filter.status ?? [...ENDED_BADLY] }, limit)
  const items: BulkAnswer['items'] = []
  for (let first = 0; first < rows.length; first += AT_ONCE) {
    items.push(...(await Promise.all(rows.slice(first, first + AT_ONCE).map((row) => itemOf(row, act)))))
  }
  return { items }
}

/** All of them first: what is moved meanwhile matches no more, or anew. */
async function findRuns(sql: Sql, namespace: string, filter: RunFilter, limit: number): Promise<RunRow[]> {
  const rows: RunRow[] = []
  let cursor: string | undefined
  do {
    const page = await listRuns(sql, namespace, filter, { limit: Math.min(PAGE_RUNS_MAX, limit - rows.length), cursor })
    rows.push(...page.items)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined && rows.length < limit)
  return rows
}

async function itemOf(row: RunRow, act: (row: RunRow) => Promise<Run>): Promise<BulkAnswer['items'][number]> {
  const run = idOf('run', row.id)
  try {
    return { run, ok: await act(row) }
  } catch (error) {
    if (!(error instanceof ProblemException)) throw error
    const { statusCode: status, code, message: detail, errors } = error
    return { run, problem: { status, code, detail, ...(errors ? { errors } : {}) } }
  }
}
