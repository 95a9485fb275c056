/** The past of runs, as Postgres has it. The only thing that fanout asks of the store beside keys. */
import type { TracedEvent } from '@baton/contracts'

/** Reads of the past; run ids are bare UUIDs. All of them throw when Postgres is away. */
export interface History {
  /** The run's last `seq` and whether it has ended, or undefined when the namespace has no such run. */
  findRun(namespace: string, runId: string): Promise<{ lastSeq: number; ended: boolean } | undefined>
  /** The last `seq` of each run that exists, in one query. */
  lastSeqs(runIds: readonly string[]): Promise<Map<string, number>>
  /** Events with seq > after, in order, at most `limit`. */
  listEvents(runId: string, after: number, limit: number): Promise<TracedEvent[]>
}
