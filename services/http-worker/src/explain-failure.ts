import type { ErrorCode } from '@baton/contracts'
import { AddressRefused, BodyTooLarge, BodyUnreadable, OutboundTimeout, RedirectRefused } from '@baton/runtime'
import { TooManyPages } from './call-pages.ts'
import { AnswerUnreadable } from './read-answer.ts'

export interface Failure {
  code: ErrorCode
  message: string
  retryable: boolean
}

/** Requests that undici refuses to send are wrong for good. */
const UNSENDABLE = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'ERR_INVALID_CHAR'])
/** Answers that are not HTTP. */
const UNREADABLE = /^(HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_)/

/** Why a call has no answer that a step can use. What is of the network may be tried again, what is of the request may not. */
export function explainFailure(error: unknown): Failure {
  const { code, message } = error as { code?: string; message: string }
  if (error instanceof AddressRefused) return { code: 'BTN_ADDRESS_REFUSED', message, retryable: false }
  if (error instanceof OutboundTimeout) return { code: 'BTN_TIMEOUT', message, retryable: true }
  if (error instanceof BodyTooLarge) return { code: 'BTN_HTTP_TOO_LARGE', message, retryable: false }
  if (error instanceof TooManyPages) return { code: error.code, message, retryable: false }
  if (error instanceof BodyUnreadable || error instanceof RedirectRefused || error instanceof AnswerUnreadable) {
    return { code: 'BTN_HTTP_RESPONSE', message, retryable: false }
  }
  if (code !== undefined && UNSENDABLE.has(code))
    return { code: 'BTN_HTTP_NETWORK', message: `the request cannot be sent: ${message}`, retryable: false }
  const retryable = code === undefined || !UNREADABLE.test(code)
  return { code: 'BTN_HTTP_NETWORK', message: tell(error as Error, code), retryable }
}

/** Several addresses that were tried in vain are one error without a text of its own. */
function tell(error: Error, code: string | undefined): string {
  const texts = error instanceof AggregateError ? error.errors.map((one: Error) => one.message) : [error.message]
  const text = texts.filter(Boolean).join('; ') || 'the service could not be reached'
  return code === undefined || text.includes(code) ? text : `${text} (${code})`
}
