/** Who did what to which run. */
import { AuditEntry, AuditQuery, idOf, listOf, uuidOf } from '@baton/contracts'
import { type AuditRow, listAudit } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { timeOf } from '../public-shapes.ts'
import { addRoute } from '../route.ts'

/** GET /audit. */
export function auditRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/audit',
    tag: 'audit',
    summary: 'What was done to runs by whom, newest first',
    description:
      'Filters: run, by, action, since (inclusive), until (exclusive). An entry is written with what it tells of, and never changed.',
    query: AuditQuery,
    answers: { 200: listOf(AuditEntry) },
    async handle({ caller, query }) {
      const { limit, cursor, run, by, ...filter } = query
      const runId = run === undefined ? undefined : uuidOf('run', run)
      if (run !== undefined && runId === undefined) return { items: [], nextCursor: null }
      const { items, nextCursor } = await listAudit(sql, caller.namespace, { ...filter, runId, actor: by }, { limit, cursor })
      return { items: items.map(entryOf), nextCursor }
    },
  })
}

function entryOf({ id, at, actor, action, runId, requestId, data }: AuditRow): AuditEntry {
  return { id, at: timeOf(at), by: actor, action, run: runId === null ? null : idOf('run', runId), requestId, data }
}
