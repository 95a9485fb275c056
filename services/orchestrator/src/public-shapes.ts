/** Rows of the store as the API shows them. */
import { type ApiKey, idOf, type Json, type Run, type WorkflowSummary, type WorkflowVersion } from '@baton/contracts'
import type { ApiKeyRow, RunRow, WorkflowRow, WorkflowVersionRow } from '@baton/store'

/** RFC 3339 of milliseconds since 1970. */
export function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : timeOf(ms)
}

/** A run; payloads over the inline limit show as references. */
export function runOf(row: RunRow): Run {
  return {
    id: idOf('run', row.id),
    namespace: row.namespace,
    workflow: row.workflow,
    version: row.version,
    status: row.status,
    ...(row.ending ? { ending: row.ending } : {}),
    input: row.input as Json,
    output: row.output as Json,
    error: row.error,
    labels: row.labels,
    priority: row.priority,
    createdAt: timeOf(row.createdAt),
    startedAt: timeOrNull(row.startedAt),
    endedAt: timeOrNull(row.endedAt),
    lastSeq: row.seq,
    ...(row.forkedFrom ? { forkedFrom: idOf('run', row.forkedFrom) } : {}),
    ...(row.parentRun ? { parent: { run: idOf('run', row.parentRun), step: row.parentStep ?? '' } } : {}),
  }
}

/** A workflow as lists show it. */
export function workflowOf(row: WorkflowRow): WorkflowSummary {
  const { name, description, version, tags, canaryPercent, archived } = row
  const canary = canaryPercent === null ? {} : { canaryPercent }
  return { name, description, version, tags, ...canary, archived, createdAt: timeOf(row.createdAt), updatedAt: timeOf(row.updatedAt) }
}

/** A version without its definition. */
export function versionOf(row: WorkflowVersionRow): WorkflowVersion {
  const { name, version, checksum, createdBy } = row
  return { name, version, checksum, createdAt: timeOf(row.createdAt), createdBy }
}

/** An API key without its secret part, which nobody has. */
export function apiKeyOf(row: ApiKeyRow): ApiKey {
  const { name, role, groups, namespace } = row
  return {
    id: idOf('key', row.id),
    name,
    role,
    groups,
    namespace,
    createdAt: timeOf(row.createdAt),
    revokedAt: timeOrNull(row.revokedAt),
  }
}
