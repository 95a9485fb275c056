/** A run in Postgres that waits for one turn of its step `draft`, as the runner would have left it. */
import { randomUUIDv7 } from 'node:crypto'
import type { AgentTurn } from '@baton/contracts'
import type { Sql } from '@baton/store'

/** Writes the run and gives its turn. */
export async function openRun(sql: Sql, fields: Partial<AgentTurn> = {}): Promise<AgentTurn> {
  const runId = randomUUIDv7()
  await sql`
    insert into runs (id, namespace, workflow, version, checksum, status, seq, input, started_by, created_at, updated_at, started_at)
    values (${runId}, 'default', 'research', 1, 'sha256:0', 'running', 3, 'null', 'key:test', now(), now(), now())`
  await recordEvent(sql, runId, 3, 'step.scheduled', { generation: 0, attempt: 1 })
  const turn = { runId, namespace: 'default', path: 'draft', generation: 0, attempt: 1, at: Date.now(), timeoutMs: 60_000 }
  return { ...turn, model: 'mock/echo', prompt: 'hello', ...fields }
}

/** Adds an event of the step `draft`. */
export async function recordEvent(sql: Sql, runId: string, seq: number, type: string, data: object): Promise<void> {
  await sql`
    insert into run_events (run_id, seq, at, namespace, type, path, data)
    values (${runId}, ${seq}, now(), 'default', ${type}, 'draft', ${JSON.stringify(data)}::text::json)`
}
