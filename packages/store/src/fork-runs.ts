/** Forks: runs that begin with what another run has done already. */
import { idOf, type StoredEvent } from '@baton/contracts'
import { type BlobUse, noteBlobUses } from './collect-blobs.ts'
import type { Db } from './connect.ts'
import { createRuns, type NewRun } from './create-runs.ts'
import { jsons, numbers, texts } from './encode-columns.ts'

export interface NewFork {
  run: NewRun & { forkedFrom: string }
  /** The step from which on it runs. */
  from: string
  /** Behind run.created and run.forked, in their order. */
  events: Pick<StoredEvent, 'type' | 'path' | 'data'>[]
  /** Payloads that its input and its events refer to. */
  blobs: readonly string[]
}

/** Starts a fork with its events, in the transaction that is given. Returns when it was created, in ms, and the number of its last event. */
export async function createFork(tx: Db, { run, from, events, blobs }: NewFork): Promise<{ at: number; seq: number }> {
  const uses = blobs.map((sha256): BlobUse => ({ namespace: run.namespace, sha256, runId: run.id }))
  await noteBlobUses(tx, uses)
  const { at } = await createRuns(tx, [run])
  const forked = { type: 'run.forked' as const, path: '', data: { forkedFrom: idOf('run', run.forkedFrom), from, by: run.startedBy } }
  const all = [forked, ...events]
  await tx`
    with told as (
      insert into run_events (run_id, seq, at, namespace, type, path, data)
      select ${run.id}, e.seq, to_timestamp(${at}::float8 / 1000), ${run.namespace}, e.type, e.path, e.data
        from rows from (
          unnest(${numbers(all.map((_, index) => index + 2))}::text::int[], ${texts(all.map((event) => event.type))}::text::text[],
                 ${texts(all.map((event) => event.path))}::text::text[]),
          json_array_elements(${jsons(all.map((event) => event.data))}::text::json)
        ) as e (seq, type, path, data)
    )
    update runs set seq = ${all.length + 1} where id = ${run.id}`
  return { at, seq: all.length + 1 }
}
