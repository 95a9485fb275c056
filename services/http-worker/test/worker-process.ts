/** A worker in a process of its own, for tests that kill it: real Redis and real calls, and every call is wanted. Prints `ready`. */

import type { HttpCall } from '@baton/contracts'
import { connectRedis, createLogger, LIFE, REPLICA } from '@baton/runtime'
import { takeCalls } from '../src/take-calls.ts'
import { caller } from './calls.ts'
import { openGate } from './gates.ts'

const [redisUrl, concurrency] = process.argv.slice(2)
const redis = connectRedis(redisUrl!, { name: 'test-worker' })
const log = createLogger({ name: 'test-worker', level: 'warn' }, process.stderr)
const { make } = caller({ teardown: () => {} })
/** Of two at one place the first has ended. */
function nameOf(place: string | undefined) {
  if (place === undefined) return { consumer: REPLICA }
  const consumer = `${place}-${LIFE}`
  return { consumer, isEarlierLife: (other: string) => other.startsWith(`${place}-`) && other !== consumer }
}
const taker = takeCalls({
  redis,
  ...nameOf(process.env.PLACE),
  log,
  concurrency: Number(concurrency ?? 128),
  askAfterMs: 10_000,
  takeoverMs: Number(process.env.TAKEOVER_MS ?? 3_000),
  crashesMax: 3,
  isWanted: async () => true,
  isEnding: () => false,
  now: Date.now,
  ...(process.env.BREAKER_FAILURES
    ? { gate: await openGate({ teardown: () => {} }, redisUrl!, { failures: Number(process.env.BREAKER_FAILURES) }) }
    : {}),
  makeCall: (call: HttpCall) => make(call),
})
process.once('SIGTERM', () => void taker.stop(Number(process.env.GRACE_MS ?? 20_000)).then(() => process.exit(0)))
process.stdout.write('ready\n')
