/**
 * What a batch of decisions changes, in one statement and one round trip. A run takes part when its `seq` is still the one that was decided
 * on (the fence), every approval it closes is still pending and no callback that it gives up was received; otherwise nothing of it is written. Rows are locked in the order of their
 * keys, or two runners would deadlock; `for no key update` lets readers of the key pass.
 */
import type { Decision, summaryOf } from '@baton/engine'
import { closeCallbacks, reopenCallbacks } from './callbacks.ts'
import { type Beyond, lockBeyond, type Reaching, writeBeyond } from './commit-beyond.ts'
import {
  coreParameters,
  FULL_STATEMENT,
  fullParameters,
  LEAN_STATEMENT,
  ONE_STATEMENT,
  ONE_WITH_INBOX_STATEMENT,
  oneParameters,
} from './commit-statements.ts'
import { clock, type Db, type Sql, withTransaction } from './connect.ts'
import { isTransient, isValueRefused } from './errors.ts'

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
  /** What it changes outside the run, if anything. */
  beyond?: Beyond
}

/** `at` is Postgres' clock in ms, just before the commit. `woken` are runs that have something new in their inbox. */
export interface CommitOutcome {
  won: Set<string>
  at: number
  woken?: readonly string[]
}

/** Commits the batch. A run that is not in `won` has moved on: load it and decide again. Throws when Postgres refuses a value, and then nothing is written. */
export function commitBatch(sql: Sql, batch: readonly RunCommit[]): Promise<CommitOutcome> {
  const isLean = batch.every(({ decision: d }) => {
    return d.timersSet.length + d.timersCleared.length + d.approvalsOpened.length + d.approvalsClosed.length === 0
  })
  const reaching = batch.filter((commit): commit is RunCommit & Reaching => commit.beyond !== undefined)
  return reaching.length === 0 ? commitWith(sql, batch, isLean) : commitReaching(sql, batch, reaching, isLean)
}

/** With what goes beyond the runs themselves, in one transaction. */
function commitReaching(sql: Sql, batch: readonly RunCommit[], reaching: readonly Reaching[], isLean: boolean): Promise<CommitOutcome> {
  return withTransaction(sql, async (tx) => {
    const late = await lockBeyond(tx, reaching)
    const closed = await closeCallbacks(
      tx,
      reaching.filter(({ runId }) => !late.has(runId)),
    )
    const inTime = late.size + closed.void.size === 0 ? batch : batch.filter(({ runId }) => !late.has(runId) && !closed.void.has(runId))
    const outcome = inTime.length === 0 ? { won: new Set<string>(), at: await clock(tx) } : await commitWith(tx, inTime, isLean)
    await reopenCallbacks(
      tx,
      closed.written.filter(({ runId }) => !outcome.won.has(runId)),
    )
    const won = reaching.filter(({ runId }) => outcome.won.has(runId))
    return { ...outcome, woken: [...(await writeBeyond(tx, won))] }
  })
}

async function commitWith(sql: Db, batch: readonly RunCommit[], isLean: boolean): Promise<CommitOutcome> {
  const [statement, parameters] = statementOf(batch, isLean)
  const rows = await sql.unsafe<{ id: string | null; at: number }[]>(statement, parameters, { prepare: true })
  const won = new Set<string>()
  for (const { id } of rows) if (id !== null) won.add(id)
  return { won, at: rows[0]!.at }
}

function statementOf(batch: readonly RunCommit[], isLean: boolean): [statement: string, parameters: (string | number | null)[]] {
  if (!isLean) return [FULL_STATEMENT, [...coreParameters(batch), ...fullParameters(batch)]]
  const [only] = batch
  if (batch.length === 1 && only!.toSeq > only!.fromSeq) {
    return [only!.inboxIds.length > 0 ? ONE_WITH_INBOX_STATEMENT : ONE_STATEMENT, oneParameters(only!)]
  }
  return [LEAN_STATEMENT, coreParameters(batch)]
}

/**
 * `refused` are runs with a value that Postgres does not take: the same one fails again. `failed` are runs whose commit fails for another
 * reason that is their own: they may be tried again later. Nothing of either was written.
 */
export interface BisectedOutcome extends CommitOutcome {
  refused: Map<string, Error>
  failed: Map<string, Error>
}

/**
 * Commits the batch; when that fails for a reason that does not pass by itself, finds the runs at fault by halving, while the others commit.
 * Throws what passes, and what would stop every run: the whole batch has then to be tried again, and with isUnknownOutcome to be loaded again.
 */
export async function commitBatchBisecting(sql: Sql, batch: readonly RunCommit[]): Promise<BisectedOutcome> {
  try {
    return { ...(await commitBatch(sql, batch)), refused: new Map(), failed: new Map() }
  } catch (error) {
    if (isTransient(error)) throw error
    if (batch.length === 1) return blame(sql, batch[0]!, error as Error)
    const middle = batch.length >> 1
    const first = await commitBatchBisecting(sql, batch.slice(0, middle))
    const second = await commitBatchBisecting(sql, batch.slice(middle))
    return {
      won: new Set([...first.won, ...second.won]),
      at: second.at,
      woken: [...(first.woken ?? []), ...(second.woken ?? [])],
      refused: new Map([...first.refused, ...second.refused]),
      failed: new Map([...first.failed, ...second.failed]),
    }
  }
}

const NOTHING = { events: [], timersSet: [], timersCleared: [], approvalsOpened: [], approvalsClosed: [] }

/** The fault is the run's only if the statement itself goes through: a commit that changes nothing tells. */
async function blame(sql: Sql, commit: RunCommit, error: Error): Promise<BisectedOutcome> {
  const none = { won: new Set<string>(), refused: new Map<string, Error>(), failed: new Map<string, Error>() }
  if (isValueRefused(error)) return { ...none, at: await clock(sql), refused: new Map([[commit.runId, error]]) }
  const { at } = await commitWith(sql, [{ ...commit, toSeq: commit.fromSeq, summary: null, inboxIds: [], decision: NOTHING }], false)
  return { ...none, at, failed: new Map([[commit.runId, error]]) }
}
