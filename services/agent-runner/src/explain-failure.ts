/** From what the AI SDK throws to the error that users see. */
import type { BatonError } from '@baton/contracts'
import { APICallError, RetryError } from 'ai'

export interface Failure {
  status: 'failed'
  error: BatonError
  /** Trying again may help: the network, a timeout, 408, 425, 429 or 5xx. */
  retryable: boolean
}

const RETRYABLE_STATUSES = new Set([408, 425, 429])
const MESSAGE_CHARS_MAX = 500

/** A failure that trying again cannot mend. */
export function failed(code: string, message: string): Failure {
  return { status: 'failed', error: { code, message }, retryable: false }
}

/** The failure that stands for whatever a model threw. Messages of providers are cut; their answers and our headers are left out. */
export function explainFailure(thrown: unknown, model: string): Failure {
  const error = RetryError.isInstance(thrown) ? thrown.lastError : thrown
  if (APICallError.isInstance(error)) return explainStatus(error, model)
  const message = error instanceof Error ? error.message : String(error)
  return failed('BTN_AGENT', `${model}: ${shorten(message)}`)
}

function explainStatus(error: APICallError, model: string): Failure {
  const status = error.statusCode
  // Without a status the request or its answer was lost on the way; a 200 that cannot be read is the model's fault.
  if (status === undefined) return { ...failed('BTN_AGENT', `${model} could not be reached: ${shorten(error.message)}`), retryable: true }
  const retryAfterMs = retryAfterOf(error.responseHeaders)
  return {
    status: 'failed',
    error: {
      code: status === 404 ? 'BTN_AGENT_MODEL' : 'BTN_AGENT',
      message: `${model} answered ${status}: ${shorten(error.message)}`,
      status,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
    retryable: RETRYABLE_STATUSES.has(status) || status >= 500,
  }
}

/** `Retry-After` in milliseconds: seconds or an HTTP date. */
function retryAfterOf(headers: Record<string, string> | undefined): number | undefined {
  const value = headers?.['retry-after']
  if (value === undefined) return undefined
  const seconds = Number(value)
  const ms = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) && ms >= 0 ? Math.round(ms) : undefined
}

function shorten(message: string): string {
  return message.length > MESSAGE_CHARS_MAX ? `${message.slice(0, MESSAGE_CHARS_MAX)}…` : message
}
