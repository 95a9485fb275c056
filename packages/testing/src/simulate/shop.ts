/** The services that workflows call: the answer to an attempt is always the same, however often it is asked for. */
import type { BatonError, Json } from '@baton/contracts'
import { createDice, hashOf } from './dice.ts'

export type Outcome = { status: 'succeeded'; output: Json } | { status: 'failed'; error: BatonError; retryable: boolean }

export interface CallIdentity {
  runId: string
  path: string
  generation: number
  attempt: number
}

const ERRORS = ['BTN_TIMEOUT', 'BTN_HTTP_STATUS', 'BTN_HTTP_NETWORK']

/** What the attempt is answered. Some answers are larger than what is kept inline. */
export function answerOf({ runId, path, generation, attempt }: CallIdentity): Outcome {
  const hash = hashOf(`${runId}/${path}/${generation}/${attempt}`)
  const dice = createDice(hash)
  if (dice.chance(isBadDay(runId) ? 0.35 : 0.75))
    return { status: 'succeeded', output: { n: hash, ...(dice.chance(0.1) ? { text: 'x'.repeat(400) } : {}) } }
  return { status: 'failed', error: { code: dice.pick(ERRORS), message: `no, ${hash}` }, retryable: dice.chance(0.85) }
}

/** Some runs meet a service that fails most of the time. */
function isBadDay(runId: string): boolean {
  return hashOf(runId) % 3 === 0
}
