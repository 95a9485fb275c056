/** Requests to the REST API: authorised, retried where that is safe, and problems as errors. */
import type { Problem } from '@baton/contracts'
import { backoffMs, pause } from './pause.ts'
import { BatonProblem, BatonUnreachable } from './problem.ts'

/** Every call takes these. */
export interface CallOptions {
  signal?: AbortSignal
}

/** One request. `query` values that are undefined are left out, lists are repeated. */
export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number | boolean | readonly string[] | undefined>
  /** Sent as JSON, or as it is when `contentType` is given. */
  body?: unknown
  contentType?: string
  headers?: Record<string, string>
  /** The request may be sent again though it is not a GET: it carries an Idempotency-Key. */
  repeatable?: boolean
  /** How long the answer may take beyond the ordinary timeout. */
  waitMs?: number
  signal?: AbortSignal
}

export interface HttpOptions {
  url: string
  key: string
  namespace?: string | undefined
  /** Further tries of a request that may be repeated. */
  retries: number
  timeoutMs: number
  fetch: typeof fetch
}

/** Sends a request; gives the parsed answer (undefined for 204). Throws BatonProblem or BatonUnreachable. */
export type Send = <T>(request: HttpRequest) => Promise<T>

const BACKOFF_MS = 200
const BACKOFF_MS_MAX = 5_000
/** Longer than this nobody wants to be kept waiting by a Retry-After. */
const RETRY_AFTER_MS_MAX = 60_000

/** Makes the sender. */
export function createSend(options: HttpOptions): Send {
  return async function send<T>(request: HttpRequest): Promise<T> {
    const repeatable = request.method === 'GET' || request.repeatable === true
    for (let tries = 0; ; tries++) {
      const outcome = await attempt(options, request)
      if ('value' in outcome) return outcome.value as T
      if (!repeatable || !outcome.transient || tries >= options.retries) throw outcome.error
      await pause(outcome.retryAfterMs ?? backoffMs(tries, BACKOFF_MS, BACKOFF_MS_MAX), request.signal)
    }
  }
}

type Outcome = { value: unknown } | { error: Error; transient: boolean; retryAfterMs?: number | undefined }

async function attempt(options: HttpOptions, request: HttpRequest): Promise<Outcome> {
  const url = urlOf(options.url, request)
  const timeout = AbortSignal.timeout(options.timeoutMs + (request.waitMs ?? 0))
  const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal])
  try {
    const response = await options.fetch(url, { method: request.method, signal, ...contentOf(options, request) })
    const text = await response.text()
    if (response.ok) return { value: text === '' ? undefined : JSON.parse(text) }
    return failureOf(response, text)
  } catch (err) {
    request.signal?.throwIfAborted()
    return { error: new BatonUnreachable(options.url, err), transient: true }
  }
}

function failureOf(response: Response, text: string): Outcome {
  const transient = response.status === 503 || response.status === 429
  return { error: problemOf(response, text), transient, retryAfterMs: transient ? retryAfterOf(response) : undefined }
}

/** The problem that an answer tells of; also when a proxy answered with something else. */
export function problemOf(response: Response, text: string): BatonProblem {
  let problem: Partial<Problem> = {}
  try {
    problem = JSON.parse(text) as Partial<Problem>
  } catch {
    // Not ours: the status has to do.
  }
  return new BatonProblem({ ...problem, status: response.status }, response.headers.get('x-request-id') ?? undefined)
}

function urlOf(base: string, { path, query = {} }: HttpRequest): string {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one))
  }
  const search = params.toString()
  return `${base}${path}${search === '' ? '' : `?${search}`}`
}

function contentOf(options: HttpOptions, request: HttpRequest): { headers: Record<string, string>; body?: string } {
  const headers: Record<string, string> = { ...authHeaders(options), accept: 'application/json', ...request.headers }
  if (request.body === undefined) return { headers }
  headers['content-type'] = request.contentType ?? 'application/json'
  return { headers, body: request.contentType === undefined ? JSON.stringify(request.body) : String(request.body) }
}

/** Headers that say who asks, and in which namespace. */
export function authHeaders({ key, namespace }: { key: string; namespace?: string | undefined }): Record<string, string> {
  return { authorization: `Bearer ${key}`, ...(namespace === undefined ? {} : { 'x-baton-namespace': namespace }) }
}

/** Seconds or an HTTP date, in milliseconds. */
function retryAfterOf(response: Response): number | undefined {
  const header = response.headers.get('retry-after')
  if (header === null) return undefined
  const seconds = Number(header)
  const ms = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1_000
  return Number.isNaN(ms) ? undefined : Math.min(RETRY_AFTER_MS_MAX, Math.max(0, ms))
}
