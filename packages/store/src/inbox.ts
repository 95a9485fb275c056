/** Facts that somebody was told are accepted. The commit that applies a row deletes it. */
import type { InboxFact } from '@baton/contracts'
import type { Db } from './connect.ts'

export interface InboxRow {
  id: string
  runId: string
  fact: InboxFact
}

/** Puts a fact down for its run; call it in the transaction that answers. Returns the row's id. */
export async function addToInbox(db: Db, namespace: string, runId: string, fact: InboxFact): Promise<string> {
  const [row] = await db<{ id: string }[]>`
    insert into inbox (namespace, run_id, fact) values (${namespace}, ${runId}, ${JSON.stringify(fact)}::text::json)
    returning id::text`
  return row!.id
}

/** All that waits for these runs. Outcomes (decisions, turns) come before commands (cancel, pause): what was accepted first must not be lost to them. */
export async function loadInbox(db: Db, runIds: readonly string[]): Promise<InboxRow[]> {
  if (runIds.length === 0) return []
  const rows = await db<InboxRow[]>`select id::text, run_id, fact from inbox where run_id = any(${[...runIds]}::uuid[]) order by inbox.id`
  const isOutcome = (row: InboxRow) => row.fact.kind === 'approval-decided' || row.fact.kind === 'turn'
  return [...rows.filter(isOutcome), ...rows.filter((row) => !isOutcome(row))]
}

/** Runs with a row that has waited for longer: its wake-up was lost. */
export async function findStale(db: Db, olderThanMs: number, limit = 1_000): Promise<string[]> {
  const rows = await db<{ runId: string }[]>`
    select run_id from inbox where created_at < now() - ${olderThanMs}::float8 * interval '1 ms' group by run_id order by min(id) limit ${limit}`
  return rows.map((row) => row.runId)
}
