/** What all spans of attempts of steps have in common, whoever makes them. */
import { idOf } from '@baton/contracts'
import type { SpanRecord } from './tracing.ts'

/** The name of a span: what is done, and the path of the step without its indexes, so that there are few. */
export function nameOfStep(what: string, path: string): string {
  return `${what} ${path.replace(/\[\d+\]/g, '[]')}`
}

/** Which attempt of which step of which run. */
export function stepAttributes(
  kind: string,
  step: { runId: string; namespace: string; path: string; generation: number; attempt: number; requestId?: string | undefined },
): SpanRecord['attributes'] {
  return {
    'baton.namespace': step.namespace,
    'baton.run.id': idOf('run', step.runId),
    'baton.request.id': step.requestId,
    'baton.step.kind': kind,
    'baton.step.path': step.path,
    'baton.step.generation': step.generation,
    'baton.step.attempt': step.attempt,
  }
}
