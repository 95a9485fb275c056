/** Reading what happened in a run. Events are written by createRuns and commitBatch alone. */
import type { TracedEvent } from '@baton/contracts'
import type { Db } from './connect.ts'

/** Events of a run with a seq above `after`, in order, at most `limit`. */
export async function listEvents(db: Db, runId: string, after: number, limit: number): Promise<TracedEvent[]> {
  return db<TracedEvent[]>`
    select run_id, seq, type, path, at, data, (select trace from runs where id = ${runId}) as trace
      from run_events where run_id = ${runId} and seq > ${after} order by seq limit ${limit}`
}
