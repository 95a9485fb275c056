/** Calls for tests. */
import { randomUUIDv7 } from 'node:crypto'
import type { HttpCall, HttpRequest } from '@baton/contracts'
import { createCallbackTokens, createOutbound } from '@baton/runtime'
import type { Teardown } from '@baton/testing'
import { createAnswerRoom } from '../src/answer-room.ts'
import { type CallHttpOptions, callHttp, type Outcome } from '../src/call-http.ts'
import { createCallbackAddresses } from '../src/callback-addresses.ts'
import { createTokenSource } from '../src/oauth2-tokens.ts'

export function callOf(request: Partial<HttpRequest> & { url: string }, more: Partial<HttpCall> = {}): HttpCall {
  return {
    runId: randomUUIDv7(),
    namespace: 'default',
    path: 'charge',
    generation: 0,
    attempt: 1,
    at: Date.now(),
    timeoutMs: 5_000,
    request: { method: 'GET', ...request },
    ...more,
  }
}

/** Makes calls to loopback with these secrets; blobs are collected. */
export function caller(
  t: Teardown,
  secrets: Record<string, string> = {},
  limits: Partial<CallHttpOptions['limits']> = {},
  room: CallHttpOptions['room'] = createAnswerRoom(100_000_000),
  { allow = ['127.0.0.1'], now, pace }: { allow?: readonly string[]; now?: () => number; pace?: CallHttpOptions['pace'] } = {},
) {
  const outbound = createOutbound({ allow })
  t.teardown(() => outbound.close())
  const blobs = new Map<string, string>()
  const options: CallHttpOptions = {
    outbound,
    tokens: createTokenSource(outbound, now),
    room,
    readSecrets: async (_namespace, names) => new Map(names.filter((name) => name in secrets).map((name) => [name, secrets[name]!])),
    callbackOf: createCallbackAddresses('https://baton.example/', createCallbackTokens('master')),
    putBlob: async (_namespace, id, json) => void blobs.set(id, json),
    ...(pace ? { pace } : {}),
    limits: { pagesMax: 1_000, responseBytesMax: 1_000_000, inlineBytesMax: 65_536, outputBytesMax: 1_000_000, ...limits },
  }
  return { blobs, make: (call: HttpCall) => callHttp(call, options) }
}

/** The output of a call that must have succeeded. */
export function outputOf(outcome: Outcome): { status: number; headers: Record<string, unknown>; body: unknown; durationMs: number } {
  if (outcome.status !== 'succeeded') throw new Error(`${outcome.error.code}: ${outcome.error.message}`)
  return outcome.output as never
}
