/** Runs that nothing can move any more: there should be none, ever. */
import { isTerminal } from '@baton/contracts'
import { pendingOf } from '@baton/engine'
import { ProblemException } from '@baton/runtime'
import { findUnmoved, getRunsByIds, type RunRow, type Sql } from '@baton/store'
import type { LoadWhole } from './whole-runs.ts'

/** Candidates that are folded for one answer. */
const FOLDED_MAX = 500

/**
 * Open runs of the namespace, longest still first, that have not moved for this long while nothing is due and nothing that they wait for can come.
 * One with more events than are folded is not judged.
 */
export async function findStuck(
  deps: { sql: Sql; loadWhole: LoadWhole },
  namespace: string,
  forMs: number,
  limit: number,
): Promise<RunRow[]> {
  const { sql, loadWhole } = deps
  const stuck: RunRow[] = []
  for (const row of await findUnmoved(sql, namespace, forMs, FOLDED_MAX)) {
    if (stuck.length === limit) break
    const whole = await loadWhole(sql, row).catch(unlessTooLarge)
    if (whole && !(await canMove(sql, whole.state))) stuck.push(row)
  }
  return stuck
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
