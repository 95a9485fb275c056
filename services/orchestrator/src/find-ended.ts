import { findReopening, getRunsByIds, lastSeqs, type Sql } from '@baton/store'

/** Tells which of some runs (bare UUIDs) have ended, and are not about to be reopened. Only those that moved since they were last asked about are looked at closely. */
export function createFindEnded(sql: Sql): (runIds: readonly string[]) => Promise<string[]> {
  let seen = new Map<string, number>()
  return async (runIds) => {
    const seqs = await lastSeqs(sql, runIds)
    const moved = [...seqs].filter(([id, seq]) => seen.get(id) !== seq).map(([id]) => id)
    const reopening = await findReopening(sql, moved) // before the rows: what is applied in between shows in them
    const rows = await getRunsByIds(sql, moved)
    seen = seqs
    const ended = rows.filter((run) => run.endedAt !== null).map((run) => run.id)
    return ended.filter((id) => !reopening.has(id))
  }
}
