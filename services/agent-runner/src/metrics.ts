import type { AgentTurn } from '@baton/contracts'
import { counter, histogram } from '@baton/runtime'
import type { TurnOutcome } from './ask-model.ts'

/** What is counted of turns. Models are not labels: their names come from definitions. */
export interface TurnMetrics {
  took(turn: AgentTurn, outcome: TurnOutcome, durationMs: number): void
  skipped(reason: 'held' | 'settled'): void
}

const MS_PER_SECOND = 1_000

/** Metrics of this process. */
export function createTurnMetrics(): TurnMetrics {
  const turns = counter('baton_agent_turns_total', 'Turns taken, by outcome (succeeded or an error code)', ['outcome'])
  const skipped = counter('baton_agent_turns_skipped_total', 'Turns that were not asked again', ['reason'])
  const seconds = histogram('baton_agent_turn_seconds', 'How long models took', [], [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600])
  const tokens = counter('baton_agent_tokens_total', 'Tokens of answers that were taken', ['direction'])
  return {
    took(_turn, outcome, durationMs) {
      turns.inc({ outcome: outcome.status === 'succeeded' ? 'succeeded' : outcome.error.code })
      seconds.observe(durationMs / MS_PER_SECOND)
      if (outcome.status !== 'succeeded') return
      const { usage } = outcome.output as { usage: { inputTokens: number; outputTokens: number } }
      tokens.inc({ direction: 'input' }, usage.inputTokens)
      tokens.inc({ direction: 'output' }, usage.outputTokens)
    },
    skipped: (reason) => skipped.inc({ reason }),
  }
}
