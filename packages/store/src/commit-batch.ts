/**
 * What a batch of decisions changes, in one statement and one round trip. A run takes part when its `seq` is still the one that was decided
 * on (the fence) and every approval it closes is still pending; otherwise nothing of it is written. Rows are locked in the order of their
 * keys, or two runners would deadlock; `for no key update` lets readers of the key pass.
 */
import type { Decision, summaryOf } from '@baton/engine'
import { coreParameters, FULL_STATEMENT, fullParameters, LEAN_STATEMENT } from './commit-statements.ts'
import { clock, type Sql } from './connect.ts'
import { isValueRefused } from './errors.ts'

type RunSummary = ReturnType<typeof summaryOf>

/** What one run's decision changes. */
export interface RunCommit {
  runId: string
  namespace: string
  workflow: string
  fromSeq: number
  toSeq: number
  /** null: the facts changed nothing; only the fence and the inbox take part. */
  summary: RunSummary | null
  decision: Pick<Decision, 'events' | 'timersSet' | 'timersCleared' | 'approvalsOpened' | 'approvalsClosed'>
  /** Rows of `inbox` that are applied by this. */
  inboxIds: string[]
}

/** `at` is Postgres' clock in ms, just before the commit. */
export interface CommitOutcome {
  won: Set<string>
  at: number
}

/** Commits the batch. A run that is not in `won` has moved on: load it and decide again. Throws when Postgres refuses a value, and then nothing is written. */
export async function commitBatch(sql: Sql, batch: readonly RunCommit[]): Promise<CommitOutcome> {
  const isLean = batch.every(({ decision: d }) => {
    return d.timersSet.length + d.timersCleared.length + d.approvalsOpened.length + d.approvalsClosed.length === 0
  })
  const core = coreParameters(batch)
  const rows = isLean
    ? await sql.unsafe<{ id: string | null; at: number }[]>(LEAN_STATEMENT, core, { prepare: true })
    : await sql.unsafe<{ id: string | null; at: number }[]>(FULL_STATEMENT, [...core, ...fullParameters(batch)], { prepare: true })
  const won = new Set<string>()
  for (const { id } of rows) if (id !== null) won.add(id)
  return { won, at: rows[0]!.at }
}

/**
 * Commits the batch; when Postgres refuses a value, finds the runs that hold one by halving and reports them, while the others commit.
 * Throws every other error: with isUnknownOutcome the whole batch has to be loaded again.
 */
export async function commitBatchBisecting(
  sql: Sql,
  batch: readonly RunCommit[],
): Promise<CommitOutcome & { refused: Map<string, Error> }> {
  try {
    return { ...(await commitBatch(sql, batch)), refused: new Map() }
  } catch (error) {
    if (!isValueRefused(error)) throw error
    if (batch.length === 1) return { won: new Set(), at: await clock(sql), refused: new Map([[batch[0]!.runId, error as Error]]) }
    const middle = batch.length >> 1
    const first = await commitBatchBisecting(sql, batch.slice(0, middle))
    const second = await commitBatchBisecting(sql, batch.slice(middle))
    return {
      won: new Set([...first.won, ...second.won]),
      at: second.at,
      refused: new Map([...first.refused, ...second.refused]),
    }
  }
}
