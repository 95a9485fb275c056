/**
 * Access tokens by client credentials (RFC 6749 §4.4), in the memory of this worker alone: one request for a token at a time, whoever waits for
 * it shares it, and it is used until shortly before it expires or a service refuses it.
 */
import { createHash } from 'node:crypto'
import type { BatonError, ErrorCode, HttpAuth } from '@baton/contracts'
import type { Outbound, OutboundAnswer } from '@baton/runtime'
import { explainFailure } from './explain-failure.ts'
import { tokensAsked } from './metrics.ts'
import { isRetryable, retryAfterMs } from './read-answer.ts'

export type ClientCredentials = Extract<HttpAuth, { type: 'oauth2' }>

/** A token, and where it is kept. */
export interface Grant {
  key: string
  token: string
}

export interface TokenSource {
  /** Gives a token within `timeoutMs`, or throws TokenRefused. */
  get(namespace: string, client: ClientCredentials, timeoutMs: number): Promise<Grant>
  /** A service has refused it: whoever asks next gets a new one. */
  drop(grant: Grant): void
}

/** There is no token. Neither secret nor token stands in it, save what the token URL echoes: redact it. */
export class TokenRefused extends Error {
  readonly error: BatonError
  readonly retryable: boolean
  constructor(error: BatonError, retryable: boolean) {
    super(error.message)
    this.name = 'TokenRefused'
    this.error = error
    this.retryable = retryable
  }
}

/** Of a token that does not say. */
const LIFETIME_S = 300
/** A token is not used in the last fifth of its time, nor in its last 30 s when it lives longer: a call may take a while. */
const MARGIN_MS_MAX = 30_000
const MARGIN_SHARE = 0.2
const FETCH_MS_MAX = 30_000
const BYTES_MAX = 1024 * 1024
const ENTRIES_MAX = 1_000

/** Fetches through the guard of `outbound`; `now` is in ms. */
export function createTokenSource(outbound: Pick<Outbound, 'request'>, now: () => number = () => performance.now()): TokenSource {
  const known = new Map<string, { token: string; until: number }>()
  const fetching = new Map<string, Promise<string>>()

  async function begin(key: string, client: ClientCredentials): Promise<string> {
    const askedAt = now()
    const { token, lifetimeMs } = await fetchToken(outbound, client)
    if (known.size >= ENTRIES_MAX) known.delete(known.keys().next().value!)
    known.set(key, { token, until: askedAt + lifetimeMs - Math.min(MARGIN_MS_MAX, lifetimeMs * MARGIN_SHARE) })
    return token
  }

  return {
    async get(namespace, client, timeoutMs) {
      const key = keyOf(namespace, client)
      const entry = known.get(key)
      if (entry && entry.until > now()) return { key, token: entry.token }
      const shared = fetching.get(key) ?? begin(key, client).finally(() => fetching.delete(key))
      fetching.set(key, shared)
      return { key, token: await within(shared, timeoutMs) }
    },
    drop({ key, token }) {
      if (known.get(key)?.token === token) known.delete(key)
    },
  }
}

/** What is a token's own: also the secret, by its hash, so that a new one is used at once. */
function keyOf(namespace: string, { tokenUrl, clientId, clientSecret, scope, audience, clientAuth }: ClientCredentials): string {
  const parts = [namespace, tokenUrl, clientId, clientSecret, scope ?? null, audience ?? null, clientAuth]
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}

async function within<T>(shared: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>()
  const error: BatonError = { code: 'BTN_OAUTH2_TOKEN' satisfies ErrorCode, message: 'no access token within the timeout of the step' }
  const timer = setTimeout(() => late.reject(new TokenRefused(error, true)), Math.max(0, timeoutMs))
  return Promise.race([shared, late.promise]).finally(() => clearTimeout(timer))
}

async function fetchToken(outbound: Pick<Outbound, 'request'>, client: ClientCredentials): Promise<{ token: string; lifetimeMs: number }> {
  try {
    const answer = await outbound.request(client.tokenUrl, { ...requestOf(client), timeoutMs: FETCH_MS_MAX, bytesMax: BYTES_MAX })
    const granted = readToken(client, answer)
    tokensAsked.inc({ outcome: 'granted' })
    return granted
  } catch (error) {
    tokensAsked.inc({ outcome: 'refused' })
    if (error instanceof TokenRefused) throw error
    const { code, message, retryable } = explainFailure(error)
    throw refused(client, message, retryable, code === 'BTN_ADDRESS_REFUSED' ? { code } : {})
  }
}

/** The credentials go to the token URL and nowhere else: redirects are an error. */
function requestOf(client: ClientCredentials) {
  const form = new URLSearchParams({ grant_type: 'client_credentials' })
  if (client.scope) form.set('scope', client.scope)
  if (client.audience) form.set('audience', client.audience)
  const headers: Record<string, string> = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
  if (client.clientAuth === 'body') {
    form.set('client_id', client.clientId)
    form.set('client_secret', client.clientSecret)
  } else headers['authorization'] = `Basic ${basicOf(client)}`
  return { method: 'POST', headers, body: form.toString(), redirect: 'error' as const }
}

/** RFC 6749 §2.3.1: both are form-encoded before they are joined. */
export function basicOf({ clientId, clientSecret }: ClientCredentials): string {
  return Buffer.from(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`).toString('base64')
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

function readToken(client: ClientCredentials, { status, headers, body }: OutboundAnswer): { token: string; lifetimeMs: number } {
  const answer = parse(body.toString('utf8'))
  if (status !== 200 && status !== 201) {
    const waitMs = retryAfterMs(headers['retry-after'], Date.now())
    throw refused(client, `answered ${status}${reasonOf(answer)}`, isRetryable(status), {
      status,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    })
  }
  const { access_token: token, token_type: type, expires_in: seconds } = answer
  if (typeof token !== 'string' || token === '') throw refused(client, 'answered without an access_token', false)
  if (type !== undefined && String(type).toLowerCase() !== 'bearer')
    throw refused(client, `gave a token of type ${JSON.stringify(type).slice(0, 40)}, not Bearer`, false)
  const lifetimeS = seconds === undefined || seconds === null || Number.isNaN(Number(seconds)) ? LIFETIME_S : Number(seconds)
  return { token, lifetimeMs: lifetimeS * 1_000 }
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** `error` and `error_description` of RFC 6749 §5.2, and nothing else of what was answered. */
function reasonOf({ error, error_description: description }: Record<string, unknown>): string {
  const texts = [error, description].filter((text) => typeof text === 'string')
  return texts.length === 0 ? '' : `: ${texts.join(': ').slice(0, 300).toWellFormed()}`
}

function refused(client: ClientCredentials, message: string, retryable: boolean, more: Partial<BatonError> = {}): TokenRefused {
  const url = client.tokenUrl.split(/[?#]/, 1)[0]!.slice(0, 300)
  return new TokenRefused(
    { code: 'BTN_OAUTH2_TOKEN' satisfies ErrorCode, message: `no access token from ${url}: ${message}`, ...more },
    retryable,
  )
}
