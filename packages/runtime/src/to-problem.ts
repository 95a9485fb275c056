import type { ErrorCode } from '@baton/contracts'
import { ProblemException as Exception, explainIssues, type ProblemException, problem } from './problem.ts'
import { InvalidContent } from './validate-content.ts'

/** Codes of fastify's own errors that are the caller's fault. */
const FASTIFY_CODES: Readonly<Record<string, [ErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['BTN_MEDIA_TYPE', 'this media type is not taken here; send application/json'],
  FST_ERR_CTP_INVALID_CONTENT_TYPE: ['BTN_MEDIA_TYPE', 'the content-type header cannot be read'],
  FST_ERR_CTP_EMPTY_TYPE: ['BTN_MEDIA_TYPE', 'a body needs a content-type'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['BTN_TOO_LARGE', 'the body is larger than this route takes'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['BTN_BAD_REQUEST', 'the body is not as long as content-length says'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['BTN_MALFORMED_BODY', 'the body is empty'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['BTN_MALFORMED_BODY', 'the body is not well-formed JSON'],
  FST_ERR_BAD_URL: ['BTN_BAD_REQUEST', 'the URL is not well-formed'],
  FST_ERR_MAX_PARAM_LENGTH: ['BTN_NOT_FOUND', 'nothing at this address'],
  FST_ERR_ROUTE_METHOD_NOT_SUPPORTED: ['BTN_METHOD_NOT_ALLOWED', 'this method is not taken here'],
}

const PLACES: Readonly<Record<string, string>> = { body: '', querystring: '/query', headers: '/headers', params: '/path' }

/** Whatever was thrown, as a problem. What nobody foresaw is a 500 without detail: that goes to the log alone. */
export function toProblem(error: unknown): ProblemException {
  if (error instanceof Exception) return error
  if (error instanceof InvalidContent) return invalid(error)
  const { code, statusCode, message } = (error ?? {}) as { code?: string; statusCode?: number; message?: string }
  const known = code === undefined ? undefined : FASTIFY_CODES[code]
  if (known) return problem(known[0], known[1], { cause: error })
  if (code === 'CONNECTION_TIMEOUT')
    return problem('BTN_UNAVAILABLE', 'the database did not answer in time; what was asked for may have happened, or may yet happen', {
      headers: { 'retry-after': '1' },
      cause: error,
    })
  if (isDependencyAway(code, message))
    return problem('BTN_UNAVAILABLE', 'something this needs is away', { headers: { 'retry-after': '1' }, cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return problem('BTN_BAD_REQUEST', message ?? 'bad request', { cause: error })
  return problem('BTN_INTERNAL', 'something went wrong on our side; the log has it under the request id', { cause: error })
}

function invalid(error: InvalidContent): ProblemException {
  // A path parameter that cannot be is an address where nothing is.
  if (error.validationContext === 'params') return problem('BTN_NOT_FOUND', 'nothing at this address', { cause: error })
  const errors = explainIssues(error.issues, PLACES[error.validationContext] ?? '')
  const [first] = errors
  const detail = first ? `${first.pointer || 'body'}: ${first.message}` : 'the request is invalid'
  return problem('BTN_INVALID_REQUEST', detail, { errors, cause: error })
}

const SOCKET_CODES =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|EPIPE|ETIMEDOUT|CONNECTION_\w+|CONNECT_TIMEOUT)$/
/** Classes of SQLSTATE that pass by themselves: connection, rollback, resources (a full disk), not in this state, operator, system. */
const PASSING_SQLSTATES = /^(08|40|53|55|57|58)\w{3}$/

/** Errors of the connections to Postgres and Redis, and those of a Postgres that cannot serve now. */
function isDependencyAway(code: string | undefined, message: string | undefined): boolean {
  if (code !== undefined && (SOCKET_CODES.test(code) || PASSING_SQLSTATES.test(code))) return true
  return message !== undefined && /^(Stream isn't writeable|Connection is closed|Reached the max retries per request)/.test(message)
}
