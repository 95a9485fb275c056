/** Makes one call and says how it went. Nothing here throws for what a service or a workflow does; only our own infrastructure may. */
import { createHash } from 'node:crypto'
import type { BatonError, ErrorCode, Fact, HttpCall, HttpRequest, Json } from '@baton/contracts'
import { validateAgainst } from '@baton/engine'
import { NotBegun, type Outbound, type OutboundAnswer } from '@baton/runtime'
import type { AnswerRoom, AnswerShare } from './answer-room.ts'
import { callPages } from './call-pages.ts'
import { callWithToken } from './call-with-token.ts'
import { explainFailure } from './explain-failure.ts'
import { fillSecrets, holdsCallback, SecretUnknown, secretNames } from './fill-secrets.ts'
import { blobsStored } from './metrics.ts'
import type { TokenSource } from './oauth2-tokens.ts'
import { isExpected, isRetryable, readBody, readHeaders, readText, retryAfterMs } from './read-answer.ts'
import { createRedactor, type Redactor } from './redact-secrets.ts'
import { type RenderedRequest, renderRequest } from './render-request.ts'
import type { ReadSecrets } from './secrets-cache.ts'

export type Outcome = Extract<Fact, { kind: 'result' }>['outcome']

export interface CallLimits {
  responseBytesMax: number
  pagesMax: number
  inlineBytesMax: number
  outputBytesMax: number
}

export interface CallbackAddress {
  url: string
  token: string
}

export interface CallHttpOptions {
  outbound: Pick<Outbound, 'request'>
  readSecrets: ReadSecrets
  /** Where a callback of the call goes; the token in it is the credential of whoever posts there. */
  callbackOf(call: HttpCall): CallbackAddress
  /** Stores the JSON text of an output under `sha256:<hex>`. */
  putBlob(namespace: string, id: string, json: string): Promise<void>
  limits: CallLimits
  /** Where the bytes of answers under way are counted. */
  room: Pick<AnswerRoom, 'open'>
  tokens: TokenSource
  /** Asked when a request of the call is about to be written; see NotBegun. */
  mayBegin?: (() => boolean) | undefined
  /** Waits until the host of the call may be asked for one more page. */
  pace?(call: HttpCall): Promise<void> | undefined
}

/** Below this, escapes and headers included, an output cannot come near the inline limit; its size is not measured. */
const SURELY_SMALL = 4 * 1024
const EXCERPT_CHARS = 300
const NONE: readonly string[] = []

/** An answer that a step does not take. */
class Refused extends Error {
  readonly error: BatonError
  readonly retryable: boolean
  constructor(error: BatonError, retryable: boolean) {
    super(error.message)
    this.error = error
    this.retryable = retryable
  }
}

/** One attempt. Throws only what is our own: what `readSecrets` (save SecretUnknown) and `putBlob` throw, and NotBegun. */
export function callHttp(call: HttpCall, options: CallHttpOptions): Promise<Outcome> {
  const { secrets: slots, auth } = call.request
  if ((slots === undefined || slots.length === 0) && auth?.type !== 'oauth2') return attempt(call, call.request, NONE, undefined, options)
  return callWithSecrets(call, slots ?? [], options)
}

async function callWithSecrets(call: HttpCall, slots: NonNullable<HttpRequest['secrets']>, options: CallHttpOptions): Promise<Outcome> {
  let values: ReadonlyMap<string, string>
  let filled: HttpRequest
  const callback = options.callbackOf(call)
  try {
    values = await options.readSecrets(call.namespace, secretNames(slots))
    filled = fillSecrets(call.request, slots, { secrets: values, callbackUrl: callback.url })
  } catch (error) {
    if (!(error instanceof SecretUnknown)) throw error
    return failed('BTN_SECRET_UNKNOWN', error.message, false)
  }
  const secretHeaders = slots.filter(({ pointer }) => pointer.startsWith('/headers/')).map(({ pointer }) => pointer.slice(9).toLowerCase())
  const secrets = [...secretForms(filled, values), ...(holdsCallback(slots) ? [callback.token] : [])]
  if (filled.auth?.type !== 'oauth2') return attempt(call, filled, secretHeaders, createRedactor(secrets), options)
  return callWithToken(call, filled, {
    client: filled.auth,
    tokens: options.tokens,
    secrets,
    attempt: (again, request, redactor) => attempt(again, request, secretHeaders, redactor, options),
  })
}

/** Basic authorization hides its secret in a base64 of two. */
function secretForms(request: HttpRequest, values: ReadonlyMap<string, string>): string[] {
  const { auth } = request
  const basic = auth?.type === 'basic' ? [Buffer.from(`${auth.username}:${auth.password}`).toString('base64')] : []
  return [...values.values(), ...basic]
}

async function attempt(
  call: HttpCall,
  request: HttpRequest,
  secretHeaders: readonly string[],
  redactor: Redactor | undefined,
  options: CallHttpOptions,
): Promise<Outcome> {
  const startedAt = performance.now()
  // Most answers are small and take none.
  let share: AnswerShare | undefined
  let rendered: RenderedRequest | undefined
  try {
    rendered = renderRequest(call, request, secretHeaders)
    if (request.paginate) {
      share = options.room.open()
      return await attemptPages(call, request, secretHeaders, redactor, share, options)
    }
    const { limits } = options
    const answer = await options.outbound.request(rendered.url, {
      method: rendered.method,
      headers: rendered.headers,
      body: rendered.body,
      sensitiveHeaders: rendered.sensitiveHeaders,
      timeoutMs: call.timeoutMs,
      room(bytes) {
        share ??= options.room.open()
        return share.grow(bytes)
      },
      bytesMax: bytesMaxOf(request, limits),
      redirect: request.redirect ?? 'follow',
      mayBegin: options.mayBegin,
    })
    return await outputOf(call, request, answer, Math.round(performance.now() - startedAt), redactor, options)
  } catch (error) {
    if (error instanceof StorageFailed) throw error.cause
    if (error instanceof NotBegun) throw error
    const { code, message, retryable, ...more } =
      error instanceof Refused ? { ...error.error, retryable: error.retryable } : explainFailure(error)
    const text = `${requestLine(call, rendered, redactor)}${message}`
    return { status: 'failed', error: { code, message: redactor ? redactor.text(text) : text, ...more }, retryable }
  } finally {
    share?.close()
  }
}

/** What was asked, without the query: that is where people put tokens. Redacted before it is cut, or half a secret would stay. */
function requestLine(call: HttpCall, rendered: RenderedRequest | undefined, redactor: Redactor | undefined): string {
  const whole = rendered?.url ?? call.request.url
  const url = (redactor ? redactor.text(whole) : whole).split(/[?#]/, 1)[0]!.replace(/\/\/[^/@]*@/, '//')
  return `${call.request.method} ${url.slice(0, 300)}: `
}

async function outputOf(
  call: HttpCall,
  request: HttpRequest,
  answer: OutboundAnswer,
  durationMs: number,
  redactor: Redactor | undefined,
  options: CallHttpOptions,
): Promise<Outcome> {
  let body = bodyOf(request, answer, redactor)
  let headers: Json = readHeaders(answer.headers)
  if (redactor) {
    body = redactor.json(body)
    headers = redactor.json(headers)
  }
  const output: Json = { status: answer.status, headers, body, durationMs }
  if (answer.body.length <= SURELY_SMALL) return { status: 'succeeded', output }
  return { status: 'succeeded', output: await storeLarge(call.namespace, output, options) }
}

/** The body of an answer that is as the step expects. */
function bodyOf(request: HttpRequest, answer: OutboundAnswer, redactor: Redactor | undefined): Json {
  if (!isExpected(answer.status, request.expect?.status)) throw unexpected(answer, redactor)
  const body = readBody(request.response, answer.headers['content-type'], answer.body)
  if (request.expect?.schema !== undefined) checkSchema(request.expect.schema, body)
  return body
}

function bytesMaxOf(request: HttpRequest, limits: CallLimits): number {
  return Math.min(request.bytesMax ?? limits.responseBytesMax, limits.responseBytesMax)
}

/** All pages of a list as one answer: status and headers of the last page, the items of all. */
async function attemptPages(
  call: HttpCall,
  request: HttpRequest,
  secretHeaders: readonly string[],
  redactor: Redactor | undefined,
  share: AnswerShare,
  options: CallHttpOptions,
): Promise<Outcome> {
  const startedAt = performance.now()
  const { outbound, limits, pace, mayBegin } = options
  const { last, items, count, more, bytes } = await callPages(call, request, request.paginate!, {
    outbound,
    share,
    secretHeaders,
    pace,
    mayBegin,
    bytesMax: bytesMaxOf(request, limits),
    pagesMax: limits.pagesMax,
    read: (answer) => bodyOf(request, answer, redactor),
  })
  const headers = readHeaders(last.headers)
  const output: Json = {
    status: last.status,
    headers: redactor ? redactor.json(headers) : headers,
    body: redactor ? redactor.json(items) : items,
    pages: count,
    ...(more ? { more } : {}),
    durationMs: Math.round(performance.now() - startedAt),
  }
  return { status: 'succeeded', output: bytes <= SURELY_SMALL ? output : await storeLarge(call.namespace, output, options) }
}

function unexpected(answer: OutboundAnswer, redactor: Redactor | undefined): Refused {
  const { status } = answer
  const excerpt = excerptOf(answer.body, answer.headers['content-type'], redactor)
  const error: BatonError = {
    code: 'BTN_HTTP_STATUS' satisfies ErrorCode,
    message: `answered ${status}${excerpt === '' ? '' : `: ${excerpt}`}`,
    status,
  }
  const waitMs = retryAfterMs(answer.headers['retry-after'], Date.now())
  if (waitMs !== undefined) error.retryAfterMs = waitMs
  return new Refused(error, isRetryable(status))
}

/** The beginning of a textual body on one line. Secrets go before it is cut, or half of one would stay. */
function excerptOf(body: Buffer, type: string | undefined, redactor: Redactor | undefined): string {
  if (type !== undefined && !/json|text|xml/i.test(type)) return ''
  const text = redactor ? redactor.text(readText(body, type)) : readText(body.subarray(0, 4 * EXCERPT_CHARS), type)
  return text.replaceAll('\0', '').replace(/\s+/g, ' ').trim().slice(0, EXCERPT_CHARS).toWellFormed()
}

function checkSchema(schema: Json, body: Json): void {
  const problems = validateAgainst(schema, body, '/body')
  if (problems.length === 0) return
  const listed = problems.slice(0, 3).map(({ pointer, message }) => `${pointer} ${message}`)
  const more = problems.length > 3 ? ` and ${problems.length - 3} more` : ''
  throw new Refused({ code: 'BTN_HTTP_RESPONSE', message: `the answer does not match expect.schema: ${listed.join('; ')}${more}` }, false)
}

/** The blob could not be stored: not the step's fault. */
class StorageFailed extends Error {}

async function storeLarge(namespace: string, output: Json, options: CallHttpOptions): Promise<Json> {
  const json = JSON.stringify(output)
  const bytes = Buffer.byteLength(json)
  const { inlineBytesMax, outputBytesMax } = options.limits
  if (bytes > outputBytesMax) {
    throw new Refused(
      { code: 'BTN_OUTPUT_TOO_LARGE', message: `the output is ${bytes} bytes of JSON, the limit is ${outputBytesMax}` },
      false,
    )
  }
  if (bytes <= inlineBytesMax) return output
  const id = `sha256:${createHash('sha256').update(json).digest('hex')}`
  try {
    await options.putBlob(namespace, id, json)
  } catch (error) {
    throw new StorageFailed('blob not stored', { cause: error })
  }
  blobsStored.inc()
  return { $blob: id, bytes }
}

/** A failed outcome. */
export function failed(code: ErrorCode, message: string, retryable: boolean): Outcome {
  return { status: 'failed', error: { code, message }, retryable }
}
