/** What is told of a call beside its result: a span when spans are exported, a line of the log at level debug. */
import { type HttpCall, inTrace, spanIdOfRun, spanIdOfStep } from '@baton/contracts'
import { type Logger, nameOfStep, originOf, type SpanRecord, stepAttributes, type Tracing } from '@baton/runtime'
import type { Outcome } from './call-http.ts'
import type { RunCallOptions } from './run-call.ts'

type MakeCall = RunCallOptions['makeCall']

/** The same function while nobody listens. */
export function traceCalls(make: MakeCall, { tracing, log }: { tracing: Tracing; log: Logger }): MakeCall {
  const isTold = log.isLevelEnabled('debug')
  if (!tracing.exporting && !isTold) return make
  return async (call, mayBegin) => {
    const startMs = Date.now()
    const startedAt = performance.now()
    const outcome = await make(call, mayBegin)
    const durationMs = performance.now() - startedAt
    const span = tracing.exporting ? spanOf(call, outcome, startMs, startMs + durationMs) : undefined
    if (span) tracing.record(span)
    if (isTold) {
      const { runId, path, generation, attempt } = call
      const result = outcome.status === 'failed' ? outcome.error.code : outcome.status
      log.debug({ runId, path, generation, attempt, ...originOf(call), outcome: result, durationMs: Math.round(durationMs) }, 'call made')
    }
    return outcome
  }
}

/** The URL is that of the definition, before secrets were put in its place; of it only the host is told. */
function spanOf(call: HttpCall, outcome: Outcome, startMs: number, endMs: number): SpanRecord | undefined {
  const trace = inTrace(call.trace, spanIdOfStep(call))
  if (trace === undefined) return undefined
  const url = secretIn(call, '/url') ? null : URL.parse(call.request.url)
  const status = statusOf(outcome)
  return {
    name: nameOfStep(call.request.method, call.path),
    kind: 'client',
    trace,
    parentSpanId: spanIdOfRun(call.runId),
    startMs,
    endMs,
    attributes: {
      ...stepAttributes('http', call),
      'http.request.method': call.request.method,
      'http.request.resend_count': call.attempt > 1 ? call.attempt - 1 : undefined,
      'http.response.status_code': status,
      'server.address': url?.hostname,
      'server.port': url ? Number(url.port || (url.protocol === 'https:' ? 443 : 80)) : undefined,
      'url.scheme': url?.protocol.slice(0, -1),
    },
    ...(outcome.status === 'failed' ? { error: status !== undefined && status >= 400 ? String(status) : outcome.error.code } : {}),
  }
}

function secretIn(call: HttpCall, pointer: string): boolean {
  return call.request.secrets?.some((slot) => slot.pointer === pointer) === true
}

/** Unknown of an output that is stored beside the run. */
function statusOf(outcome: Outcome): number | undefined {
  if (outcome.status === 'failed') return outcome.error.status
  const { status } = outcome.output as { status?: unknown }
  return typeof status === 'number' ? status : undefined
}
