/** A notification in the trace of its run. Where it goes is not told: the address of a webhook may be a secret. */
import { inTrace, type Notification, newSpanId } from '@baton/contracts'
import type { SpanRecord } from '@baton/runtime'
import type { ChannelOutcome } from './metrics.ts'
import type { Unnotified } from './notify-approval.ts'

/** Traceparent that a channel is told with: of a span of its own where spans are exported, else of the wait that it is told of. */
export function traceOfNotice(job: Notification, { waitSpanId }: Unnotified, hasSpan: boolean): string | undefined {
  return inTrace(job.trace, hasSpan ? newSpanId() : waitSpanId)
}

/** The span of one try to tell one channel. */
export function spanOfNotice(
  { approval, waitSpanId }: Unnotified,
  job: Notification,
  trace: string | undefined,
  told: { channel: string; outcome: ChannelOutcome; status: number | undefined; startMs: number; durationMs: number },
): SpanRecord | undefined {
  if (trace === undefined) return undefined
  return {
    name: `notify ${told.channel}`,
    kind: 'client',
    trace,
    parentSpanId: waitSpanId,
    startMs: told.startMs,
    endMs: told.startMs + told.durationMs,
    attributes: {
      'http.request.method': 'POST',
      'http.response.status_code': told.status,
      'baton.namespace': job.namespace,
      'baton.run.id': approval.run,
      'baton.request.id': job.requestId,
      'baton.step.path': approval.step,
      'baton.approval.id': approval.id,
      'baton.notification.outcome': told.outcome,
    },
    ...(told.outcome === 'delivered' ? {} : { error: told.status === undefined ? told.outcome : String(told.status) }),
  }
}
