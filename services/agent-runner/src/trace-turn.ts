/** The span of a turn, by the semantic conventions for generative AI: never what was asked or answered. */
import { type AgentTurn, inTrace, spanIdOfRun, spanIdOfStep } from '@baton/contracts'
import { type SpanRecord, stepAttributes } from '@baton/runtime'
import type { TurnOutcome } from './ask-model.ts'

/** Traceparent of the attempt that this turn is. */
export function traceOfTurn(turn: AgentTurn): string | undefined {
  return inTrace(turn.trace, spanIdOfStep(turn))
}

/** Undefined when the run has no trace. */
export function spanOfTurn(turn: AgentTurn, outcome: TurnOutcome, startMs: number, durationMs: number): SpanRecord | undefined {
  const trace = traceOfTurn(turn)
  if (trace === undefined) return undefined
  const slash = turn.model.indexOf('/')
  const usage = outcome.status === 'succeeded' ? (outcome.output as { usage?: Record<string, number> }).usage : undefined
  return {
    name: `chat ${turn.model.slice(slash + 1)}`,
    kind: 'client',
    trace,
    parentSpanId: spanIdOfRun(turn.runId),
    startMs,
    endMs: startMs + durationMs,
    attributes: {
      ...stepAttributes('agent', turn),
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': turn.model.slice(0, Math.max(0, slash)),
      'gen_ai.request.model': turn.model.slice(slash + 1),
      'gen_ai.usage.input_tokens': usage?.['inputTokens'],
      'gen_ai.usage.output_tokens': usage?.['outputTokens'],
    },
    ...(outcome.status === 'failed' ? { error: outcome.error.code } : {}),
  }
}
