/** One run as its reader sees it: whole, and, when asked, not before it has ended. */
import { isBlobRef, isTerminal, type Json, type Run, uuidOf } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { findReopening, getRun, type RunRow, type Sql } from '@baton/store'
import type { FastifyReply } from 'fastify'
import { runOf } from './public-shapes.ts'
import { resolveBlobs } from './resolve-blobs.ts'
import type { RunWaiters } from './run-waiters.ts'
import { actAndWait } from './waiting-answers.ts'

/** Gives a run (bare UUID), at once or after up to `waitMs`, with input and output in full. */
export type ShowRun = (reply: FastifyReply, namespace: string, id: string, waitMs?: number) => Promise<Run>

export function createShowRun({ sql, waiters }: { sql: Sql; waiters: RunWaiters }): ShowRun {
  return async (reply, namespace, id, waitMs) => {
    if (!waitMs) return wholeRun(sql, await readRun(sql, namespace, id))
    const over = await findOver(sql, namespace, id)
    if (over) return wholeRun(sql, over)
    const ended = await actAndWait(waiters, reply, { runId: id, ms: waitMs }, async () => {
      // Read again: it may have ended before we began to listen.
      const result = await findOver(sql, namespace, id)
      return { result, isOver: result !== undefined }
    })
    return wholeRun(sql, ended ?? (await readRun(sql, namespace, id)))
  }
}

/**
 * The run if it has ended and is not about to be reopened: then its next end is waited for. The inbox is read first: what is applied in between
 * shows in the row.
 */
async function findOver(sql: Sql, namespace: string, id: string): Promise<RunRow | undefined> {
  const reopening = await findReopening(sql, [id])
  const row = await readRun(sql, namespace, id)
  return isTerminal(row.status) && !reopening.has(id) ? row : undefined
}

async function readRun(sql: Sql, namespace: string, id: string): Promise<RunRow> {
  const row = await getRun(sql, namespace, id)
  if (!row) throw problem('BTN_RUN_NOT_FOUND', 'no such run')
  return row
}

/** The run that an address names (`run_…`); 404 for everything else. */
export async function findRun(sql: Sql, namespace: string, id: string): Promise<RunRow> {
  const uuid = uuidOf('run', id)
  const row = uuid && (await getRun(sql, namespace, uuid))
  if (!row) throw problem('BTN_RUN_NOT_FOUND', `no run ${id.slice(0, 100)}`)
  return row
}

/** The public run with input and output in full, whatever their size. */
export async function wholeRun(sql: Sql, row: RunRow): Promise<Run> {
  const run = runOf(row)
  if (!isBlobRef(run.input) && !isBlobRef(run.output)) return run
  const [input, output] = (await resolveBlobs(sql, row.namespace, [run.input, run.output])) as [Json, Json]
  return { ...run, input, output }
}
