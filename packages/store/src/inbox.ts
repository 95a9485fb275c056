/** Facts that somebody was told are accepted. The commit that applies a row deletes it. */
import type { InboxFact } from '@baton/contracts'
import type { Db } from './connect.ts'
import { jsons, texts } from './encode-columns.ts'
import type { PartitionCut } from './runs.ts'

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

/** Which of these runs are about to be reopened: a retry or a replay of them is accepted and not applied yet. */
export async function findReopening(db: Db, runIds: readonly string[]): Promise<Set<string>> {
  if (runIds.length === 0) return new Set()
  const rows = await db<{ runId: string }[]>`
    select distinct run_id from inbox where run_id = any(${[...runIds]}::uuid[]) and fact ->> 'kind' in ('retry', 'replay')`
  return new Set(rows.map((row) => row.runId))
}

const OUTCOMES: ReadonlySet<InboxFact['kind']> = new Set([
  'approval-decided',
  'turn',
  'event',
  'callback',
  'child-ended',
  'task-ended',
  'task-news',
])

/** All that waits for these runs. Outcomes (decisions, turns, events, callbacks, ends of child runs and of tasks) come before commands (cancel, pause): what was accepted first must not be lost to them. */
export async function loadInbox(db: Db, runIds: readonly string[]): Promise<InboxRow[]> {
  if (runIds.length === 0) return []
  const rows = await db<InboxRow[]>`select id::text, run_id, fact from inbox where run_id = any(${[...runIds]}::uuid[]) order by inbox.id`
  const isOutcome = (row: InboxRow) => OUTCOMES.has(row.fact.kind)
  return [...rows.filter(isOutcome), ...rows.filter((row) => !isOutcome(row))]
}

/**
 * Rows that have waited since before the cut of their partition: their wake-up was lost. At most `limit`, oldest first, after the row `afterId`;
 * a run may have several.
 */
export async function findStale(
  db: Db,
  cuts: readonly PartitionCut[],
  afterId: string | null,
  limit: number,
): Promise<{ id: string; runId: string }[]> {
  return db<{ id: string; runId: string }[]>`
    select i.id::text, i.run_id
      from unnest(${cuts.map((cut) => cut.partition)}::smallint[], ${cuts.map((cut) => cut.before)}::float8[]) as p (partition, before)
      cross join lateral (
        select i.id, i.run_id from inbox i
         where partition_of(i.run_id) = p.partition and i.id > ${afterId ?? '0'}::bigint and i.created_at < to_timestamp(p.before / 1000)
         order by i.id limit ${limit}
      ) as i
     order by i.id limit ${limit}`
}

/** Puts down facts for several runs; returns the ids of the runs. */
export async function addAllToInbox(tx: Db, rows: readonly { namespace: string; runId: string; fact: InboxFact }[]): Promise<string[]> {
  if (rows.length === 0) return []
  await tx.unsafe(
    `insert into inbox (namespace, run_id, fact)
     select * from rows from (unnest($1::text[], $2::uuid[]), json_array_elements($3::text::json)) as i (namespace, run_id, fact)`,
    [texts(rows.map((row) => row.namespace)), texts(rows.map((row) => row.runId)), jsons(rows.map((row) => row.fact))],
    { prepare: true },
  )
  return rows.map((row) => row.runId)
}
