/** Cancel, pause, resume: what may be asked of a run in which state, and how it is put down for the runner. */
import { type Ending, type InboxFact, isTerminal, type RunStatus } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { addAudit, addToInbox, type Db, getRun, loadInbox, type RunRow, type Sql, withTransaction } from '@baton/store'
import type { Asker } from './asker.ts'

export type Command = 'cancel' | 'pause' | 'resume'

interface Standing {
  status: RunStatus
  ending: Ending | null
}

/** `already`: there is nothing to do (200). Otherwise it is accepted (202), or impossible (409). */
export type Verdict = 'already' | 'accept' | 'impossible'

/** What a command means for a run that stands there. */
export function judge(command: Command, { status, ending }: Standing): Verdict {
  if (command === 'cancel' && (status === 'cancelled' || ending === 'cancelled')) return 'already'
  if (isTerminal(status) || ending) return 'impossible'
  if (command === 'pause') return status === 'paused' ? 'already' : 'accept'
  if (command === 'resume') return status === 'paused' ? 'accept' : 'already'
  return 'accept'
}

/** Throws 409 with the state when the command cannot be; a retry or a replay that was accepted counts. */
export async function refuseImpossible(db: Db, command: Command, run: Standing & { id: string }): Promise<void> {
  if (judge(command, run) !== 'impossible') return
  refuse(command, (await loadInbox(db, [run.id])).map(({ fact }) => fact).reduce(foresee, run))
}

function refuse(command: Command, run: Standing): void {
  if (judge(command, run) !== 'impossible') return
  const state = run.ending && !isTerminal(run.status) ? `ending as ${run.ending}` : run.status
  throw problem('BTN_RUN_STATE', `a run that is ${state} cannot be ${PAST[command]}`)
}

const PAST = { cancel: 'cancelled', pause: 'paused', resume: 'resumed' } as const

/**
 * Puts the command into the inbox of the run, in the transaction that judges it. What was accepted before and is not applied yet counts: a
 * resume right after a pause is not lost. The inbox is read first: what a runner applies in between is then seen twice, and not at all otherwise.
 * Gives the run as it is now.
 */
export function controlRun(sql: Sql, run: { id: string }, command: Command, by: Asker): Promise<{ row: RunRow; verdict: Verdict }> {
  return withTransaction(sql, async (tx) => {
    const accepted = await loadInbox(tx, [run.id])
    const row = await getRun(tx, by.namespace, run.id)
    if (!row) throw problem('BTN_RUN_NOT_FOUND', 'no such run')
    const standing = accepted.map(({ fact }) => fact).reduce(foresee, { status: row.status, ending: row.ending })
    const verdict = judge(command, standing)
    if (verdict === 'impossible') refuse(command, standing)
    if (verdict === 'accept') {
      await addToInbox(tx, by.namespace, run.id, { kind: command, by: by.id })
      await addAudit(tx, { namespace: by.namespace, actor: by.id, action: `run.${command}`, runId: run.id, requestId: by.requestId })
    }
    return { row, verdict }
  })
}

/** Where a run will stand when this fact is applied. */
function foresee(standing: Standing, fact: InboxFact): Standing {
  if (isTerminal(standing.status)) {
    return fact.kind === 'retry' || fact.kind === 'replay' ? { status: 'running', ending: null } : standing
  }
  if (fact.kind === 'cancel') return { ...standing, ending: standing.ending ?? 'cancelled' }
  if (fact.kind === 'pause') return { ...standing, status: 'paused' }
  if (fact.kind === 'resume' && standing.status === 'paused') return { ...standing, status: 'running' }
  return standing
}
