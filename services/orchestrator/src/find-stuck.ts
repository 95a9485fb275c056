/** Runs that nothing can move any more: there should be none, ever. */
import { isTerminal } from '@baton/contracts'
import { pendingOf } from '@baton/engine'
import { ProblemException } from '@baton/runtime'
import { cursorBehind, findUnmoved, getRunsByIds, type Listed, type Page, type RunRow, type Sql } from '@baton/store'
import type { LoadWhole } from './whole-runs.ts'

/** Candidates that are read at a time. */
const PAGE = 500

/**
 * Open runs of the namespace, longest still first, that have not moved for this long while nothing is due and nothing that they wait for can come.
 * One with more events than are folded is not judged. Of many that wait for what has no row (calls, child runs) `foldedMax` are looked at, and
 * `nextCursor` goes on behind them.
 */
export async function findStuck(
  deps: { sql: Sql; loadWhole: LoadWhole; foldedMax: number },
  namespace: string,
  forMs: number,
  { limit, cursor }: Page,
): Promise<Listed<RunRow>> {
  const { sql, loadWhole, foldedMax } = deps
  const stuck: RunRow[] = []
  let nextCursor = cursor ?? null
  for (let left = foldedMax; left > 0; left -= PAGE) {
    const page = await findUnmoved(sql, namespace, forMs, { limit: Math.min(PAGE, left), cursor: nextCursor ?? undefined })
    for (const row of page.items) {
      if (stuck.length === limit) return { items: stuck, nextCursor }
      const whole = await loadWhole(sql, row).catch(unlessTooLarge)
      if (whole && !(await canMove(sql, whole.state))) stuck.push(row)
      nextCursor = cursorBehind(row)
    }
    nextCursor = page.nextCursor
    if (nextCursor === null) break
  }
  return { items: stuck, nextCursor }
}

function unlessTooLarge(error: unknown): undefined {
  if (!(error instanceof ProblemException)) throw error
}

async function canMove(sql: Sql, state: Parameters<typeof pendingOf>[0]): Promise<boolean> {
  const { isOut, children } = pendingOf(state)
  if (isOut) return true
  const runs = await getRunsByIds(sql, children)
  return runs.some(({ status }) => !isTerminal(status))
}
