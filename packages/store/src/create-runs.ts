/** Starting runs: one statement for all that came in the same moment, durable when it answers. */
import { type BlobRef, type Json, partitionOf } from '@baton/contracts'
import { createdDataOf } from '@baton/engine'
import { type Db, type Sql, withTransaction } from './connect.ts'
import { jsons, numbers, texts } from './encode-columns.ts'
import { type FirstRun, findFirstRuns } from './idempotency.ts'

/** A run to be started. The caller has checked its input and that labels and keys hold no U+0000. */
export interface NewRun {
  /** A bare UUIDv7. */
  id: string
  namespace: string
  workflow: string
  version: number
  /** Names the frozen copy in `definitions`. */
  checksum: string
  input: Json | BlobRef
  labels?: Record<string, string>
  priority?: number
  startedBy: string
  /** W3C traceparent of the request that starts it. */
  trace?: string
  /** Id of that request. */
  requestId?: string
  /** The run's own timeout, counted from its creation. */
  timeoutMs?: number
  forkedFrom?: string
  /** The step that starts it, and waits for its end unless its generation is null. */
  parent?: { runId: string; path: string; generation: number | null }
  /** How many runs are above it. */
  depth?: number
  /** `bodyHash` tells the same request from another one with the same key. */
  idempotency?: { key: string; bodyHash: string }
}

/** created: this run. known: the key belongs to the run `id`, started by the same body. mismatch: by another body. */
export interface CreatedRun {
  outcome: 'created' | 'known' | 'mismatch'
  /** The run that the key stands for. */
  id: string
}

/** `at` is the creation time of all runs that were created, in ms by Postgres' clock. `runs` is in the order of what was asked. */
export interface CreatedRuns {
  at: number
  runs: CreatedRun[]
}

/** Starts runs: their rows, their first event, their timeout and their idempotency keys, in one statement. */
export function createRuns(db: Db, items: readonly NewRun[]): Promise<CreatedRuns> {
  return createIn(db, items)
}

/** Starts all of them, or none when one has a key that belongs to another body; the answer then says which. */
export async function createRunsTogether(sql: Sql, items: readonly NewRun[]): Promise<CreatedRuns> {
  if (items.every((item) => !item.idempotency)) return createIn(sql, items)
  class Mismatch extends Error {
    readonly created: CreatedRuns
    constructor(created: CreatedRuns) {
      super('a key belongs to another body')
      this.created = created
    }
  }
  try {
    return await withTransaction(sql, async (tx) => {
      const created = await createIn(tx, items)
      if (created.runs.some((run) => run.outcome === 'mismatch')) throw new Mismatch(created)
      return created
    })
  } catch (error) {
    if (error instanceof Mismatch) return error.created
    throw error
  }
}

async function createIn(db: Db, items: readonly NewRun[]): Promise<CreatedRuns> {
  if (items.length === 0) return { at: Date.now(), runs: [] }
  const leaders = leadersOf(items)
  const unique = items.filter((item, index) => leaders[index] === item)
  const rows = await db.unsafe<{ id: string | null; at: number }[]>(STATEMENT, parametersOf(unique), { prepare: true })
  const created = new Set(rows.map((row) => row.id))
  const known = unique.filter((item) => !created.has(item.id))
  const first = await findFirstRuns(db, known)
  const runs = items.map((item, index): CreatedRun => {
    const leader = leaders[index]!
    if (created.has(leader.id)) return outcomeOf(item, { runId: leader.id, bodyHash: leader.idempotency?.bodyHash ?? '' }, item === leader)
    return outcomeOf(item, first.get(leader)!, false)
  })
  return { at: rows[0]!.at, runs }
}

function outcomeOf(item: NewRun, first: FirstRun, isNew: boolean): CreatedRun {
  if (isNew) return { outcome: 'created', id: item.id }
  return { outcome: item.idempotency?.bodyHash === first.bodyHash ? 'known' : 'mismatch', id: first.runId }
}

/** For each item the one that goes to Postgres in its place: the first with the same key. */
function leadersOf(items: readonly NewRun[]): NewRun[] {
  const byKey = new Map<string, NewRun>()
  return items.map((item) => {
    if (!item.idempotency) return item
    const key = JSON.stringify([item.namespace, item.workflow, item.idempotency.key])
    const leader = byKey.get(key) ?? item
    byKey.set(key, leader)
    return leader
  })
}

/**
 * A key that is known keeps its run, unless it is older than 24 hours and its run has ended: then it is taken over. Keys are written in
 * order, so that two batches with the same keys wait for each other and do not deadlock.
 */
const STATEMENT = `
  with clock as materialized (select clock_timestamp()::timestamptz(3) as now),
  i as materialized (
    select * from rows from (
      unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::int[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::float8[], $12::int[], $13::uuid[], $14::uuid[], $15::text[], $19::text[],
             $20::int[], $21::smallint[]),
      json_array_elements($16::text::json), json_array_elements($17::text::json), json_array_elements($18::text::json)
    ) as i (id, namespace, workflow, version, checksum, priority, started_by, trace,
            key, body_hash, timeout_ms, partition, forked_from, parent_run, parent_step, request_id,
            parent_generation, depth, input, labels, data)
  ),
  keyed as (
    insert into idempotency_keys as k (namespace, workflow, key, run_id, body_hash, created_at)
    select i.namespace, i.workflow, i.key, i.id, i.body_hash, clock.now from i, clock
     where i.key is not null order by i.namespace, i.workflow, i.key
    on conflict (namespace, workflow, key) do update
       set run_id = excluded.run_id, body_hash = excluded.body_hash, created_at = excluded.created_at
     where k.created_at < excluded.created_at - interval '24 hours'
       and not exists (select from runs r where r.id = k.run_id and r.ended_at is null)
    returning k.run_id
  ),
  fresh as materialized (
    select i.*, clock.now from i, clock where i.key is null or i.id in (select run_id from keyed)
  ),
  made as (
    insert into runs (id, namespace, workflow, version, checksum, priority, labels, input, started_by, trace, request_id, created_at, updated_at,
                      forked_from, parent_run, parent_step, parent_generation, depth)
    select id, namespace, workflow, version, checksum, priority, labels::jsonb, input, started_by, trace, request_id, now, now,
           forked_from, parent_run, parent_step, parent_generation, depth
      from fresh
  ),
  told as (
    insert into run_events (run_id, seq, at, namespace, type, path, data)
    select id, 1, now, namespace, 'run.created', '', data from fresh
  ),
  timed as (
    insert into timers (namespace, run_id, path, timer, generation, attempt, due_at, partition)
    select namespace, id, '', 'run', 0, 1, now + timeout_ms * interval '1 ms', partition from fresh where timeout_ms is not null
  )
  select f.id, clock.now as at from clock left join fresh f on true`

function parametersOf(items: readonly NewRun[]): string[] {
  return [
    texts(items.map((run) => run.id)),
    texts(items.map((run) => run.namespace)),
    texts(items.map((run) => run.workflow)),
    numbers(items.map((run) => run.version)),
    texts(items.map((run) => run.checksum)),
    numbers(items.map((run) => run.priority ?? 5)),
    texts(items.map((run) => run.startedBy)),
    texts(items.map((run) => run.trace ?? null)),
    texts(items.map((run) => run.idempotency?.key ?? null)),
    texts(items.map((run) => run.idempotency?.bodyHash ?? null)),
    numbers(items.map((run) => run.timeoutMs ?? null)),
    numbers(items.map((run) => partitionOf(run.id))),
    texts(items.map((run) => run.forkedFrom ?? null)),
    texts(items.map((run) => run.parent?.runId ?? null)),
    texts(items.map((run) => run.parent?.path ?? null)),
    jsons(items.map((run) => run.input)),
    jsons(items.map((run) => run.labels ?? {})),
    jsons(items.map(createdDataOf)),
    texts(items.map((run) => run.requestId ?? null)),
    numbers(items.map((run) => run.parent?.generation ?? null)),
    numbers(items.map((run) => run.depth ?? 0)),
  ]
}
