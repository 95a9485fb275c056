/**
 * Retry and replay (CONTRACT §3): judged by what the run's events fold to, while nobody else can write the run, and put down for the runner in
 * the same transaction.
 */
import type { InboxFact } from '@baton/contracts'
import { type RunState, reopeningOf } from '@baton/engine'
import { problem } from '@baton/runtime'
import { addAudit, addToInbox, type Db, loadInbox, lockRun, type RunRow, type Sql, withTransaction } from '@baton/store'
import type { Asker } from './asker.ts'
import { type ConfigPatch, configurePatch } from './configure-step.ts'
import { type PatchDeps, writePatch } from './patch-definition.ts'

type Reopening = Extract<InboxFact, { kind: 'retry' | 'replay' }>
type Asked = { kind: 'retry' } | { kind: 'replay'; path: string }

/** `already`: the same was accepted and is not applied yet. */
export interface Reopened {
  row: RunRow
  verdict: 'already' | 'accept'
}

/** Throws what forbids it: 404 for an unknown step, 409 otherwise. */
export function refuseReopening(state: RunState, asked: Asked): void {
  const plan = reopeningOf(state, asked)
  if ('refused' in plan) throw problem(plan.code, plan.refused)
}

/** Lets a run that failed, was cancelled or timed out begin again what failed or was cancelled. */
export function retryRun(deps: PatchDeps & { sql: Sql }, runId: string, reason: string | undefined, by: Asker): Promise<Reopened> {
  return withTransaction(deps.sql, async (tx) => {
    const { row, accepted } = await lockForReopening(tx, runId, by)
    if (accepted.some(({ kind }) => kind === 'retry')) return { row, verdict: 'already' }
    refuseSecond(accepted)
    refuseReopening((await deps.foldRun(row)).state, { kind: 'retry' })
    await putDown(tx, runId, { kind: 'retry', by: by.id, ...(reason === undefined ? {} : { reason }) }, by)
    return { row, verdict: 'accept' }
  })
}

/** Lets a step, and all that depends on it, begin again; with another body of its kind where `config` changes it. */
export function replayStep(
  deps: PatchDeps & { sql: Sql },
  runId: string,
  asked: { path: string; reason: string; config?: ConfigPatch | undefined },
  by: Asker,
): Promise<Reopened> {
  const { path, reason, config } = asked
  return withTransaction(deps.sql, async (tx) => {
    const { row, accepted } = await lockForReopening(tx, runId, by)
    if (!config && accepted.some((fact) => fact.kind === 'replay' && fact.path === path)) return { row, verdict: 'already' }
    refuseSecond(accepted)
    refuseReopening((await deps.foldRun(row)).state, { kind: 'replay', path })
    if (config) {
      const patched = configurePatch(await deps.loadWhole(tx, row), path, config, deps.limits)
      if (patched) {
        refuseReopening(patched.state, { kind: 'replay', path })
        await writePatch(tx, patched, by, { replay: path, reason })
      }
    }
    await putDown(tx, runId, { kind: 'replay', by: by.id, path, reason }, by, config && { config })
    return { row, verdict: 'accept' }
  })
}

async function lockForReopening(tx: Db, runId: string, by: Asker): Promise<{ row: RunRow; accepted: Reopening[] }> {
  const row = await lockRun(tx, by.namespace, runId)
  if (!row) throw problem('BTN_RUN_NOT_FOUND', 'no such run')
  // After the lock: what was applied is in the row, and what is not is here.
  const facts = (await loadInbox(tx, [runId])).map(({ fact }) => fact)
  return { row, accepted: facts.filter((fact): fact is Reopening => fact.kind === 'retry' || fact.kind === 'replay') }
}

function refuseSecond(accepted: readonly Reopening[]): void {
  const [first] = accepted
  if (!first) return
  const what = first.kind === 'retry' ? 'a retry of the run' : `a replay of step ${first.path}`
  throw problem('BTN_RUN_STATE', `${what} was accepted and has not begun yet`)
}

async function putDown(tx: Db, runId: string, fact: Reopening, by: Asker, more: object = {}): Promise<void> {
  await addToInbox(tx, by.namespace, runId, fact)
  const { kind, by: _, ...data } = fact
  const entry = { namespace: by.namespace, actor: by.id, runId, requestId: by.requestId }
  await addAudit(tx, { ...entry, action: `run.${kind}`, data: { ...data, ...more } })
}
