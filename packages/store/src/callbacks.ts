/**
 * Callbacks: each generation of a step takes one. Invariant: a row of `callbacks` is written once. With `received` the callback is in the inbox of
 * the run (the same statement), and no runner ends the step without it; with `closed` the step has ended, and no callback is taken.
 */
import type { InboxFact, RunStatus } from '@baton/contracts'
import type { Decision } from '@baton/engine'
import type { Db } from './connect.ts'
import { numbers, texts } from './encode-columns.ts'

/** What a callback is for. */
export interface CallbackOf {
  runId: string
  path: string
  generation: number
}

/** How a step stands towards its callback. */
export interface CallbackStanding {
  namespace: string
  workflow: string
  status: RunStatus
  ended: boolean
  outcome: 'received' | 'closed' | null
  /** When that was. */
  at: number | null
  /** The clock of Postgres. */
  now: number
}

/** Undefined when there is no such run. */
export async function findCallback(db: Db, { runId, path, generation }: CallbackOf): Promise<CallbackStanding | undefined> {
  const [row] = await db<CallbackStanding[]>`
    select r.namespace, r.workflow, r.status, r.ended_at is not null as ended, c.outcome, c.at, clock_timestamp()::timestamptz(3) as now
      from runs r left join callbacks c on c.run_id = r.id and c.path = ${path} and c.generation = ${generation}
     where r.id = ${runId}`
  return row
}

/** Puts the callback into the inbox of its run, unless the run has ended, the step has, or a callback came before. False: it was not taken. */
export async function takeCallback(db: Db, runId: string, fact: Extract<InboxFact, { kind: 'callback' }>): Promise<boolean> {
  const rows = await db`
    with taken as (
      insert into callbacks (namespace, run_id, path, generation, outcome)
      select r.namespace, r.id, ${fact.path}, ${fact.generation}, 'received' from runs r where r.id = ${runId} and r.ended_at is null
      on conflict do nothing
      returning namespace, run_id
    )
    insert into inbox (namespace, run_id, fact) select namespace, run_id, ${JSON.stringify(fact)}::text::json from taken
    returning id`
  return rows.length > 0
}

/** What decisions close, by run. */
type Closing = { runId: string; namespace: string; beyond: Pick<Decision, 'callbacksClosed'> & Partial<Pick<Decision, 'callbacksGivenUp'>> }

/** Rows that were written, and runs for which one stood there already: what was decided of them is void. */
interface Closed {
  written: CallbackOf[]
  void: Set<string>
}

/**
 * Closes them, before the rows of the runs are touched. Waits for whoever is about to take a callback. Those that were given up are closed unless
 * a row stands there: then too no further callback is taken, and what was decided holds.
 */
export async function closeCallbacks(tx: Db, all: readonly Closing[]): Promise<Closed> {
  const closed = all.flatMap(({ runId, namespace, beyond: { callbacksClosed, callbacksGivenUp = [] } }) =>
    [...callbacksClosed, ...callbacksGivenUp].map((row) => ({ ...row, runId, namespace })),
  )
  const givenUp = new Set(all.flatMap(({ runId, beyond }) => (beyond.callbacksGivenUp ?? []).map((row) => keyOf({ ...row, runId }))))
  if (closed.length === 0) return { written: [], void: new Set() }
  const rows = await tx<(CallbackOf & { won: boolean })[]>`
    with c as materialized (
      select * from unnest(
        ${texts(closed.map((row) => row.namespace))}::text[], ${texts(closed.map((row) => row.runId))}::uuid[],
        ${texts(closed.map((row) => row.path))}::text[], ${numbers(closed.map((row) => row.generation))}::int[]
      ) as c (namespace, run_id, path, generation)
    ),
    written as (
      insert into callbacks (namespace, run_id, path, generation, outcome)
      select namespace, run_id, path, generation, 'closed' from c order by run_id, path, generation
      on conflict do nothing
      returning run_id, path, generation
    )
    select c.run_id, c.path, c.generation, w.run_id is not null as won
      from c left join written w on w.run_id = c.run_id and w.path = c.path and w.generation = c.generation`
  const late = rows.filter((row) => !row.won && !givenUp.has(keyOf(row)))
  return { written: rows.filter(({ won }) => won), void: new Set(late.map(({ runId }) => runId)) }
}

const keyOf = ({ runId, path, generation }: CallbackOf) => `${runId} ${generation} ${path}`

/** Takes back rows that closeCallbacks wrote, of runs whose commit did not win. */
export async function reopenCallbacks(tx: Db, rows: readonly CallbackOf[]): Promise<void> {
  if (rows.length === 0) return
  await tx`
    delete from callbacks c using unnest(
      ${texts(rows.map((row) => row.runId))}::uuid[], ${texts(rows.map((row) => row.path))}::text[],
      ${numbers(rows.map((row) => row.generation))}::int[]
    ) as l (run_id, path, generation)
     where c.run_id = l.run_id and c.path = l.path and c.generation = l.generation`
}
