/** What is told of a run that was committed: its spans when they are exported, its end in the log. Called after the commit, so each event is told once. */
import { idOf, inTrace, isTerminal, type StoredEvent, spanIdOf, spanIdOfRun, spanIdOfStep } from '@baton/contracts'
import type { RunState } from '@baton/engine'
import { type Logger, nameOfStep, originOf, type SpanRecord, stepAttributes, type Tracing } from '@baton/runtime'

export type TellCommitted = (state: RunState, events: readonly StoredEvent[]) => void

const STEP_ENDS = new Set(['step.succeeded', 'step.failed', 'step.cancelled'])

/** Ends that are not a success are told at level info, the others at debug: there may be thousands a second. */
export function createRunTracer({
  tracing,
  log,
}: {
  tracing: Tracing
  log: Pick<Logger, 'info' | 'debug' | 'isLevelEnabled'>
}): TellCommitted {
  return (state, events) => {
    if (isTerminal(state.status) && events.length > 0) {
      const level = state.status === 'succeeded' ? 'debug' : 'info'
      if (log.isLevelEnabled(level)) log[level](endOf(state), 'run ended')
    }
    if (!tracing.exporting || state.header.trace === undefined) return
    for (const event of events) {
      const span = STEP_ENDS.has(event.type) ? stepSpan(state, event) : undefined
      if (span) tracing.record(span)
    }
    if (isTerminal(state.status) && events.length > 0) tracing.record(runSpan(state, events.at(-1)!))
  }
}

function endOf({ header, status, error, seq }: RunState): object {
  return { runId: header.runId, workflow: header.workflow, status, code: error?.code, seq, ...originOf(header) }
}

function runSpan({ header, status, error }: RunState, last: StoredEvent): SpanRecord {
  const { runId, workflow, version, namespace, requestId, createdAt } = header
  return {
    name: `run ${workflow}`,
    kind: 'internal',
    trace: inTrace(header.trace, spanIdOfRun(runId))!,
    parentSpanId: spanIdOf(header.trace!),
    startMs: createdAt,
    endMs: last.at,
    attributes: {
      'baton.namespace': namespace,
      'baton.run.id': idOf('run', runId),
      'baton.request.id': requestId,
      'baton.workflow.name': workflow,
      'baton.workflow.version': version,
      'baton.run.status': status,
    },
    ...(status === 'failed' || status === 'timed_out' ? { error: error?.code ?? status } : {}),
  }
}

/** Of what the runner does itself. An attempt that was begun by a worker is told by that worker. */
function stepSpan(state: RunState, event: StoredEvent): SpanRecord | undefined {
  const step = state.steps.get(event.path)
  const { generation, attempt, startedAt, error } = event.data
  if (!step || typeof generation !== 'number' || typeof attempt !== 'number') return undefined
  const { kind } = step.step
  if ((kind === 'http' || kind === 'agent') && startedAt !== undefined) return undefined
  const { runId, namespace, requestId, trace } = state.header
  const identity = { runId, path: event.path, generation, attempt }
  const code = (error as { code?: unknown } | undefined)?.code
  return {
    name: nameOfStep(kind, event.path),
    kind: 'internal',
    trace: inTrace(trace, spanIdOfStep(identity))!,
    parentSpanId: spanIdOfRun(runId),
    startMs: typeof startedAt === 'string' ? Date.parse(startedAt) : event.at,
    endMs: event.at,
    attributes: { ...stepAttributes(kind, { ...identity, namespace, requestId }), 'baton.step.status': event.type.slice('step.'.length) },
    ...(event.type === 'step.failed' ? { error: typeof code === 'string' ? code : 'failed' } : {}),
  }
}
