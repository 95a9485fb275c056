/** Tells people of an approval: each channel of its `notify` once, the job again until all of them have heard. */
import type { Approval, Json, Notification } from '@baton/contracts'
import type { Logger, Tracing } from '@baton/runtime'
import type { ChannelOutcome, NotifyMetrics } from './metrics.ts'
import { type Channel, readChannels, secretsIn } from './read-channels.ts'
import { linkTo, type Message, renderMessage } from './render-message.ts'
import { spanOfNotice, traceOfNotice } from './trace-notice.ts'

/** A pending approval that nobody was told of yet. */
export interface Unnotified {
  approval: Approval
  notify: Json
  notifySecrets: Json | null
  /** Bare. */
  runId: string
  /** Span of the wait that people are told of. */
  waitSpanId: string
}

export interface NotifyDeps {
  /** Undefined when it is no longer pending, or notified already. */
  find(approvalId: string): Promise<Unnotified | undefined>
  /** Decrypted values of those that exist. */
  secrets(namespace: string, names: string[]): Promise<ReadonlyMap<string, string>>
  /** The status that came back. Throws Refused when the address may not be called, anything else when it could not be reached. */
  post(message: Message, signal: AbortSignal): Promise<number>
  markNotified(approvalId: string): Promise<void>
  progress: Progress
  publicUrl: string
  metrics: NotifyMetrics
  tracing: Tracing
  log: Logger
  signal: AbortSignal
}

/** Which channels of an approval are done. May be forgotten: then they are told again, under the same Idempotency-Key. */
export interface Progress {
  done(approvalId: string): Promise<ReadonlySet<number>>
  add(approvalId: string, channel: number): Promise<void>
}

/** The address is one that must not be called; trying again cannot help. */
export class Refused extends Error {}

/** Some channels have not heard yet; the queue should deliver the job again. */
export class NotYetDelivered extends Error {}

const RETRYABLE = new Set([408, 425, 429])

/**
 * Delivers what is still to be delivered. Resolves when nothing is left to do, rejects with NotYetDelivered when trying again may help. URLs
 * of webhooks may be secrets themselves, so neither logs nor errors name them.
 */
export async function notifyApproval(job: Notification, deps: NotifyDeps): Promise<void> {
  const found = await deps.find(job.approvalId)
  if (!found) return deps.log.debug({ approvalId: job.approvalId }, 'approval needs no notification')
  const names = secretsIn(found.notifySecrets)
  const secrets = names.length === 0 ? new Map<string, string>() : await deps.secrets(job.namespace, names)
  const missing = names.filter((name) => !secrets.has(name))
  if (missing.length > 0) throw new NotYetDelivered(`notify uses secrets that do not exist: ${missing.join(', ')}`)
  const channels = readChannels(found.notify, found.notifySecrets, secrets)
  const done = await deps.progress.done(job.approvalId)
  const outcomes = await Promise.all(
    channels.map((channel, index) => (done.has(index) ? 'delivered' : tell(found, channel, index, job, deps))),
  )
  const open = outcomes.filter((outcome) => outcome === 'failed').length
  if (open > 0) throw new NotYetDelivered(`${open} of ${channels.length} channels could not be told`)
  await deps.markNotified(job.approvalId)
  deps.log.info({ approvalId: job.approvalId, runId: found.runId, channels: channels.length }, 'approval notified')
}

async function tell(found: Unnotified, channel: Channel, index: number, job: Notification, deps: NotifyDeps): Promise<ChannelOutcome> {
  const { approval } = found
  const message = renderMessage(channel, approval, linkTo(deps.publicUrl, approval))
  const trace = traceOfNotice(job, found, deps.tracing.exporting)
  const startMs = Date.now()
  const startedAt = performance.now()
  const { outcome, status, reason } = message
    ? await post(withIdentity(message, approval, index, trace), deps)
    : { outcome: 'unsupported' as const, status: undefined, reason: `${channel.kind} notifications are not set up` }
  const durationMs = performance.now() - startedAt
  deps.metrics.told(channel.kind, outcome, durationMs)
  const span = message && spanOfNotice(found, job, trace, { channel: channel.kind, outcome, status, startMs, durationMs })
  if (span && deps.tracing.exporting) deps.tracing.record(span)
  const where = { approvalId: job.approvalId, runId: found.runId, channel: channel.kind, index, outcome, status, reason }
  if (outcome === 'delivered') deps.log.debug(where, 'channel told')
  else deps.log.warn(where, outcome === 'failed' ? 'channel not told yet' : 'channel cannot be told')
  if (outcome !== 'failed') {
    await deps.progress.add(job.approvalId, index).catch((err: unknown) => deps.log.warn({ err }, 'progress not remembered'))
  }
  return outcome
}

function withIdentity(message: Message, approval: Approval, index: number, trace: string | undefined): Message {
  const headers = {
    'user-agent': 'baton',
    ...message.headers,
    'content-type': 'application/json',
    'idempotency-key': `${approval.id}/${index}`,
    ...(trace === undefined ? {} : { traceparent: trace }),
  }
  return { ...message, headers }
}

async function post(message: Message, deps: NotifyDeps): Promise<{ outcome: ChannelOutcome; status?: number; reason?: string }> {
  try {
    const status = await deps.post(message, deps.signal)
    if (status >= 200 && status < 300) return { outcome: 'delivered', status }
    const again = status >= 500 || RETRYABLE.has(status)
    return { outcome: again ? 'failed' : 'refused', status, reason: `it answered ${status}` }
  } catch (error) {
    if (error instanceof Refused) return { outcome: 'refused', reason: error.message }
    return { outcome: 'failed', reason: reasonOf(error) }
  }
}

/** The code of a network error; its message may hold the URL. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown'
}
