/** Whether work that a worker picked up late is still wanted. Open to workers. */
import type { Ending, RunStatus } from '@baton/contracts'
import { isTerminal } from '@baton/contracts'
import type { Db } from './connect.ts'

/** What identifies a call or a turn. */
export interface WantedCall {
  runId: string
  path: string
  generation: number
  attempt: number
}

/**
 * True when exactly this attempt is scheduled and has not ended, and the run is not ending (compensations run while it is). A call that was
 * sent twice is wanted twice: its answer is taken once.
 */
export async function isCallWanted(db: Db, call: WantedCall): Promise<boolean> {
  const rows = await db<{ status: RunStatus; ending: Ending | null; type: string | null; data: Attempt | null }[]>`
    select r.status, r.ending, e.type, e.data
      from runs r
      left join lateral (
        select e.seq, e.type, case when e.type = 'step.scheduled' then e.data end as data
          from run_events e where e.run_id = r.id and e.path = ${call.path} and e.type like 'step.%'
      ) as e on true
     where r.id = ${call.runId} order by e.seq`
  const [first] = rows
  if (!first || isTerminal(first.status)) return false
  if (first.ending !== null && !call.path.endsWith('.compensate')) return false
  const last = rows.findLast((row) => row.type !== 'step.started')
  return last?.type === 'step.scheduled' && last.data?.generation === call.generation && last.data.attempt === call.attempt
}

interface Attempt {
  generation: number
  attempt: number
}
