/**
 * Retention: every few minutes, ended runs that are older than their workflow keeps them are exported, where that is asked for, and removed. One
 * runner at a time does it, in batches of a transaction each; a crash at any line leaves whole runs, exported or not.
 */
import { parseDuration } from '@baton/contracts'
import type { Logger } from '@baton/runtime'
import {
  clock,
  type Db,
  dropEmptyPartitions,
  listRetentions,
  type RetentionPolicy,
  type RunRow,
  removeExpiredRuns,
  type Sql,
} from '@baton/store'
import { exportRuns } from './export-runs.ts'

const WORKFLOWS_AT_ONCE = 200
/** Locked while they are exported and deleted: a retry of one of them waits for that long. */
const RUNS_AT_ONCE = 25

export interface RetainOptions {
  sql: Sql
  log: Logger
  /** Of workflows that say nothing themselves; undefined: for ever. */
  keptMs: number | undefined
  /** Where runs are written to before they go. */
  exportFolder: string | undefined
  /** Runs that one round removes at most. */
  runsMax: number
  everyMs: number
  onRemoved(count: number): void
  onExported(bytes: number): void
  onFailed(): void
}

/** Keeps at it until it is stopped; what is under way then is finished. */
export function retainRuns(options: RetainOptions): { stop(): Promise<void> } {
  const { log } = options
  const stopping = new AbortController()
  let round = Promise.resolve()
  const begin = () => {
    round = removeOld(options, stopping.signal).catch((error: unknown) => {
      options.onFailed()
      log.warn({ err: error }, 'old runs could not be removed, will be tried again')
    })
  }
  const timer = setInterval(() => void round.then(() => stopping.signal.aborted || begin()), options.everyMs)
  timer.unref()
  begin()
  return {
    async stop() {
      clearInterval(timer)
      stopping.abort()
      await round
    },
  }
}

/** One round. */
export async function removeOld(options: RetainOptions, signal: AbortSignal): Promise<void> {
  const { sql, log } = options
  let left = options.runsMax
  let removed = 0
  for (let after: RetentionPolicy | null = null; left > 0 && !signal.aborted; ) {
    const page: Awaited<ReturnType<typeof listRetentions>> = await listRetentions(sql, after, WORKFLOWS_AT_ONCE)
    const policies = page.flatMap((row) => policyOf(row, options.keptMs))
    while (policies.length > 0 && left > 0 && !signal.aborted) {
      const count = await removeBatch(options, policies, Math.min(RUNS_AT_ONCE, left))
      if (count === undefined) return // another runner is at it
      left -= count
      removed += count
      if (count === 0) break
    }
    if (page.length < WORKFLOWS_AT_ONCE) break
    after = { ...page.at(-1)!, keptMs: 0 }
  }
  if (removed > 0) log.info({ count: removed }, 'old runs removed')
  const partitions = signal.aborted ? [] : await dropEmptyPartitions(sql)
  if (partitions.length > 0) log.info({ partitions }, 'partitions of events dropped')
}

/** Of none when it is kept for ever. */
function policyOf(row: Awaited<ReturnType<typeof listRetentions>>[number], byDefault: number | undefined): RetentionPolicy[] {
  const keptMs = row.retention === null ? byDefault : parseDuration(row.retention)
  return keptMs === undefined ? [] : [{ namespace: row.namespace, workflow: row.workflow, keptMs }]
}

async function removeBatch(options: RetainOptions, policies: readonly RetentionPolicy[], limit: number): Promise<number | undefined> {
  const { sql, exportFolder } = options
  let bytes = 0
  const keep = async (tx: Db, runs: readonly RunRow[]) => {
    const day = new Date(await clock(tx)).toISOString().slice(0, 10)
    bytes = await exportRuns(tx, exportFolder!, day, runs)
  }
  const count = await removeExpiredRuns(sql, policies, limit, exportFolder === undefined ? undefined : keep)
  if (count) options.onRemoved(count)
  if (bytes > 0) options.onExported(bytes)
  return count
}
