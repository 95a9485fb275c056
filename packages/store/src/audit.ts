/** Who did what to which run. An entry is written in the transaction that does it, and never changed. */
import type { AuditAction, Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'

export interface NewAuditEntry {
  namespace: string
  /** Who: the public id of a key. */
  actor: string
  action: AuditAction
  /** A bare UUID. */
  runId?: string
  requestId?: string
  data?: Record<string, Json>
}

/** Ids are texts: they may outgrow what a number holds. */
export interface AuditRow {
  id: string
  at: number
  actor: string
  action: AuditAction
  runId: string | null
  requestId: string | null
  data: Record<string, Json>
}

export interface AuditFilter {
  runId?: string | undefined
  actor?: string | undefined
  action?: AuditAction | undefined
  /** RFC 3339; inclusive. */
  since?: string | undefined
  /** RFC 3339; exclusive. */
  until?: string | undefined
}

/** Puts an entry down; call it in the transaction that does what it says. */
export async function addAudit(db: Db, entry: NewAuditEntry): Promise<void> {
  await db`
    insert into audit (namespace, actor, action, run_id, request_id, data)
    values (${entry.namespace}, ${entry.actor}, ${entry.action}, ${entry.runId ?? null}, ${entry.requestId ?? null},
            ${JSON.stringify(entry.data ?? {})}::text::json)`
}

/** Entries of the namespace, newest first. Throws InvalidCursor. */
export async function listAudit(db: Db, namespace: string, filter: AuditFilter, page: Page): Promise<Listed<AuditRow>> {
  const [after] = readCursor<[number]>(page.cursor, ['number']) ?? []
  const rows = await db<AuditRow[]>`
    select id::text, at, actor, action, run_id, request_id, data from audit
     where namespace = ${namespace}
       ${filter.runId === undefined ? db`` : db`and run_id = ${filter.runId}`}
       ${filter.actor === undefined ? db`` : db`and actor = ${filter.actor}`}
       ${filter.action === undefined ? db`` : db`and action = ${filter.action}`}
       ${filter.since === undefined ? db`` : db`and at >= ${filter.since}`}
       ${filter.until === undefined ? db`` : db`and at < ${filter.until}`}
       ${after === undefined ? db`` : db`and audit.id < ${after}::bigint`}
     order by audit.id desc limit ${page.limit + 1}`
  return pageOf(rows, page.limit, (last) => [Number(last.id)])
}
