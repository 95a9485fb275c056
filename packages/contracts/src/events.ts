/** Events: one immutable fact about a run. Stored as rows, shown as CloudEvents 1.0 objects with the extension attribute `seq`. */
import { z } from 'zod'
import { idOf } from './ids.ts'
import { Json } from './json.ts'
import { inTrace, spanIdOfRun, spanIdOfStep } from './trace.ts'

export const EVENT_TYPES = [
  'run.created',
  'run.admitted',
  'run.started',
  'run.waiting',
  'run.resumed',
  'run.paused',
  'run.reopened',
  'run.ending',
  'run.succeeded',
  'run.failed',
  'run.cancelled',
  'run.timed_out',
  'run.patched',
  'run.forked',
  'step.scheduled',
  'step.started',
  'step.retrying',
  'step.waiting',
  'step.ending',
  'step.replayed',
  'step.succeeded',
  'step.failed',
  'step.skipped',
  'step.cancelled',
  'callback.received',
  'approval.opened',
  'approval.claimed',
  'approval.delegated',
  'approval.escalated',
  'approval.decided',
  'approval.expired',
  'approval.cancelled',
  'task.opened',
  'task.claimed',
  'task.progressed',
  'task.released',
  'task.handed_off',
  'task.lease_expired',
  'task.completed',
  'task.failed',
  'task.cancelled',
] as const
/** Type without the `dev.baton.` prefix, as rows and streams carry it. */
export type EventType = (typeof EVENT_TYPES)[number]

/** An event as rows and streams hold it. `runId` is the bare UUID; `at` is milliseconds since 1970; `path` is empty for events of the run itself. */
export const StoredEvent = z.object({
  runId: z.string(),
  seq: z.int().positive(),
  type: z.enum(EVENT_TYPES),
  path: z.string(),
  at: z.number(),
  data: z.record(z.string(), Json),
})
export type StoredEvent = z.infer<typeof StoredEvent>

/** One entry of the stream `events:{lane}`: what one batch of a runner committed. */
export const EventsEntry = z.array(StoredEvent.extend({ namespace: z.string(), workflow: z.string(), trace: z.string().optional() }))
export type LiveEvent = TracedEvent & { namespace: string; workflow: string }
/** With the traceparent that its run was started with, which is stored once for all its events. */
export type TracedEvent = StoredEvent & { trace?: string | null }

/** An event as REST, WebSocket and SSE show it (CloudEvents 1.0). */
export const CloudEvent = z.object({
  specversion: z.literal('1.0'),
  id: z.string().describe('`<run id>/<seq>`'),
  source: z.string().describe('`/runs/<run id>`'),
  type: z.string().describe('`dev.baton.…`'),
  subject: z.string().optional().describe('the step path; absent for events of the run itself'),
  time: z.string(),
  datacontenttype: z.literal('application/json'),
  seq: z.int().positive(),
  traceparent: z
    .string()
    .optional()
    .describe(
      'W3C traceparent (the CloudEvents distributed tracing extension): the span of the attempt that the event is about, else that of the run',
    ),
  data: z.record(z.string(), Json),
})
export type CloudEvent = z.infer<typeof CloudEvent>

/** The public form of a stored event. */
export function cloudEventOf(event: TracedEvent): CloudEvent {
  const id = idOf('run', event.runId)
  const traceparent = inTrace(event.trace, spanIdOfEvent(event))
  return {
    specversion: '1.0',
    id: `${id}/${event.seq}`,
    source: `/runs/${id}`,
    type: `dev.baton.${event.type}`,
    ...(event.path === '' ? {} : { subject: event.path }),
    time: new Date(event.at).toISOString(),
    datacontenttype: 'application/json',
    seq: event.seq,
    ...(traceparent === undefined ? {} : { traceparent }),
    data: event.data,
  }
}

function spanIdOfEvent({ runId, type, path, data }: StoredEvent): string {
  const { generation, attempt } = data
  // What was skipped was never attempted.
  const isAttempt = path !== '' && type !== 'step.skipped' && typeof generation === 'number' && typeof attempt === 'number'
  return isAttempt ? spanIdOfStep({ runId, path, generation, attempt }) : spanIdOfRun(runId)
}
