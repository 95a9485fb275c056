/** A call that shows an access token: fetched before, and fetched once again when the service does not take it any more. */
import type { ErrorCode, HttpCall, HttpRequest } from '@baton/contracts'
import type { Outcome } from './call-http.ts'
import { basicOf, type ClientCredentials, type Grant, TokenRefused, type TokenSource } from './oauth2-tokens.ts'
import { createRedactor, type Redactor } from './redact-secrets.ts'

export interface CallWithTokenOptions {
  client: ClientCredentials
  tokens: TokenSource
  /** Values to redact beside the client's secret and the tokens. */
  secrets: readonly string[]
  attempt(call: HttpCall, request: HttpRequest, redactor: Redactor): Promise<Outcome>
}

/** One attempt, the token included in its time. A call that was answered with 401 is made once more, under the same Idempotency-Key. */
export async function callWithToken(call: HttpCall, request: HttpRequest, options: CallWithTokenOptions): Promise<Outcome> {
  const { client, tokens, attempt } = options
  const known = [...options.secrets, client.clientSecret, basicOf(client)]
  const deadline = performance.now() + call.timeoutMs
  for (let tries = 1; ; tries++) {
    let grant: Grant
    try {
      grant = await tokens.get(call.namespace, client, deadline - performance.now())
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error
      const message = createRedactor(known).text(error.message)
      return { status: 'failed', error: { ...error.error, message }, retryable: error.retryable }
    }
    known.push(grant.token)
    const timeoutMs = Math.max(1, Math.ceil(deadline - performance.now()))
    const shown: HttpRequest = { ...request, auth: { type: 'bearer', token: grant.token } }
    const outcome = await attempt({ ...call, timeoutMs }, shown, createRedactor(known))
    if (tries === 2 || !isTokenRefused(outcome)) return outcome
    tokens.drop(grant)
  }
}

function isTokenRefused(outcome: Outcome): boolean {
  return outcome.status === 'failed' && outcome.error.code === ('BTN_HTTP_STATUS' satisfies ErrorCode) && outcome.error.status === 401
}
