/**
 * A run goes on by another definition. Written by who asks for it, behind the same fence as every commit: a runner that holds the run as it was
 * loses the fence and loads it again, with the new definition.
 */
import type { Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import type { RunRow } from './runs.ts'

/** The run, locked against every other writer to the end of the transaction; undefined when the namespace has none. */
export async function lockRun(tx: Db, namespace: string, id: string): Promise<RunRow | undefined> {
  const [row] = await tx<RunRow[]>`select * from runs where id = ${id} and namespace = ${namespace} for no key update`
  return row
}

export interface RunPatch {
  runId: string
  namespace: string
  /** The `seq` that was judged. */
  seq: number
  /** When its last event was, in ms: the new one is not before it. */
  at: number
  checksum: string
  definition: Json
  /** The one that comes next. */
  definitionVersion: number
  /** Who, and what the event run.patched holds beside that and the version. */
  data: { by: string } & Record<string, Json>
}

/** Writes the definition, the run's row and its event run.patched, as one. False when the run has moved on since it was judged. */
export async function patchRun(db: Db, patch: RunPatch): Promise<boolean> {
  const { runId, namespace, seq, at, checksum, definitionVersion, data } = patch
  const rows = await db`
    with defined as (
      insert into definitions (namespace, checksum, source) values (${namespace}, ${checksum}, ${JSON.stringify(patch.definition)}::text::json)
      on conflict do nothing
    ),
    won as (
      update runs set seq = seq + 1, checksum = ${checksum}, definition_version = ${definitionVersion}, updated_at = now()
       where id = ${runId} and namespace = ${namespace} and seq = ${seq}
      returning id, namespace, seq
    ),
    told as (
      insert into run_events (run_id, seq, at, namespace, type, path, data)
      select id, seq, greatest(clock_timestamp()::timestamptz(3), to_timestamp(${at}::float8 / 1000)), namespace, 'run.patched', '',
             ${JSON.stringify({ definitionVersion, ...data })}::text::json
        from won
    )
    select from won`
  return rows.length > 0
}
