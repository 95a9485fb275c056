/** Reading tasks. They are opened and withdrawn by the commits of their runs, and moved by who works on them through move-task.ts. */
import type { BatonError, BlobRef, Json, TaskStatus } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

export interface TaskProgress {
  percent: number | null
  note: string | null
  data: Json
  at: number
}

export interface TaskHandoff {
  by: string
  /** Name of the key that it was handed to; null: to whoever has the capabilities. */
  to: string | null
  reason: string
  context: Json
  at: number
}

/** How it was ended by who held it. */
export type TaskResult = { output: Json | BlobRef } | { error: BatonError; retryable: boolean }

/** A row of `tasks`. Ids are bare save those of keys, times are ms since 1970. */
export interface TaskRow {
  id: string
  namespace: string
  runId: string
  path: string
  generation: number
  attempt: number
  workflow: string
  capabilities: string[]
  payload: Json | BlobRef
  leaseMs: number
  priority: number
  status: TaskStatus
  /** Identity and name of the key that alone may claim it. */
  reservedFor: string | null
  reservedName: string | null
  /** Identity and name of the key that holds it, or held it when it ended. */
  holder: string | null
  holderName: string | null
  /** How often it was claimed: the fencing token of the last claim. */
  claims: number
  claimedAt: number | null
  leaseUntil: number | null
  leaseExpiries: number
  progress: TaskProgress | null
  progressTold: number
  progressToldAt: number | null
  handoff: TaskHandoff | null
  result: TaskResult | null
  createdAt: number
  closedAt: number | null
}

/** A task of the namespace. */
export async function getTask(db: Db, namespace: string, id: string): Promise<TaskRow | undefined> {
  const [row] = await db<TaskRow[]>`select t.* from tasks t where t.namespace = ${namespace} and t.id = ${id}`
  return row
}

export interface TaskFilter {
  /** Tasks that ask for one of these. */
  capabilities?: readonly string[] | undefined
  statuses?: readonly TaskStatus[] | undefined
  runId?: string | undefined
}

/**
 * Tasks of the namespace, newest first. Each status is walked by itself in the order of its index, and no further than the page. Throws
 * InvalidCursor.
 */
export async function listTasks(db: Db, namespace: string, filter: TaskFilter, page: Page): Promise<Listed<TaskRow>> {
  const [after] = readCursor<[string]>(page.cursor, ['uuid']) ?? []
  const { capabilities, statuses, runId } = filter
  const wanted = db`
    t.namespace = ${namespace}
    ${capabilities === undefined ? db`` : db`and t.capabilities && ${[...capabilities]}::text[]`}
    ${runId === undefined ? db`` : db`and t.run_id = ${runId}`}
    ${after === undefined ? db`` : db`and t.id < ${after}`}`
  const most = page.limit + 1
  const rows = statuses
    ? await db<TaskRow[]>`
        select t.* from unnest(${[...new Set(statuses)]}::text[]) as s (status)
         cross join lateral (
           select t.* from tasks t where t.status = s.status and ${wanted} order by t.id desc limit ${most}
         ) as t
         order by t.id desc limit ${most}`
    : await db<TaskRow[]>`select t.* from tasks t where ${wanted} order by t.id desc limit ${most}`
  return pageOf(rows, page.limit, (last) => [last.id])
}

/** Tasks of a run that have not ended: what `/why` names. */
export async function listOpenTasks(db: Db, runId: string): Promise<TaskRow[]> {
  return db<TaskRow[]>`select t.* from tasks t where t.run_id = ${runId} and t.closed_at is null order by t.id`
}
