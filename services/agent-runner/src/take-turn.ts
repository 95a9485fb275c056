/** Takes a turn from the queue to its record: asked at most once while we live, never acknowledged before its answer is safe. */
import { type AgentTurn, callIdOf, type InboxFact } from '@baton/contracts'
import type { Logger, Tracing } from '@baton/runtime'
import type { TurnOutcome } from './ask-model.ts'
import type { Claims } from './claim-turn.ts'
import type { TurnMetrics } from './metrics.ts'
import type { TurnRecord } from './record-turn.ts'
import { spanOfTurn } from './trace-turn.ts'

export interface TakeTurnDeps {
  record: TurnRecord
  claims: Claims
  ask(turn: AgentTurn, signal: AbortSignal): Promise<TurnOutcome>
  metrics: TurnMetrics
  tracing: Tracing
  log: Logger
  /** Aborted when the service stops: a turn under way is then handed back to the queue. */
  signal: AbortSignal
}

/**
 * Resolves when the turn may be acknowledged: it is recorded, or nobody wants it, or another replica holds it. Rejects when the queue should
 * deliver it again. A turn that was paid for is written with patience: only then may it be forgotten here.
 */
export async function takeTurn(turn: AgentTurn, deps: TakeTurnDeps): Promise<void> {
  const { record, claims, metrics, log } = deps
  const where = { runId: turn.runId, path: turn.path, generation: turn.generation, attempt: turn.attempt, model: turn.model }
  // A claim that is lost with its holder is seen by the runner, which sends the turn again.
  const claim = await claims.take(callIdOf(turn))
  if (!claim) {
    metrics.skipped('held')
    return log.info(where, 'turn is held by another replica')
  }
  try {
    const state = await record.stateOf(turn)
    if (state !== 'open') {
      metrics.skipped('settled')
      if (state === 'unwanted') await record.withdraw(turn)
      return log.info({ ...where, state }, 'turn is settled already')
    }
    const startedAt = Date.now()
    const outcome = await deps.ask(turn, deps.signal)
    const durationMs = Date.now() - startedAt
    const { path, generation, attempt } = turn
    const fact: InboxFact = { kind: 'turn', path, generation, attempt, startedAt, outcome }
    await record.settle(turn, fact)
    metrics.took(turn, outcome, durationMs)
    const span = deps.tracing.exporting ? spanOfTurn(turn, outcome, startedAt, durationMs) : undefined
    if (span) deps.tracing.record(span)
    log.info({ ...where, status: outcome.status, code: codeOf(outcome), durationMs }, 'turn taken')
  } finally {
    await claim.release()
  }
}

function codeOf(outcome: TurnOutcome): string | undefined {
  return outcome.status === 'failed' ? outcome.error.code : undefined
}
