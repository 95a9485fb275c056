import { getHeapStatistics } from 'node:v8'
import { LIMITS } from '@baton/contracts'
import { commonSettings, databaseSettings, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'
import { parseRateLimits } from './rate-limits.ts'

/** While an answer becomes an output it is there as bytes, as text, as a value of many small objects and as JSON. */
const HEAP_SHARE = 16

/** Settings of the http-worker, by the names of their environment variables; README.md says what each is for. */
export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8083),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  BATON_MASTER_KEY: commonSettings.BATON_MASTER_KEY,
  BATON_HTTP_ALLOW: commonSettings.BATON_HTTP_ALLOW,
  BATON_PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:8081')
    .describe('where services that are called reach the orchestrator; callback.url begins with it'),
  HTTP_WORKER_CONCURRENCY: wholeNumber(1, 10_000).default(128).describe('calls under way at once'),
  HTTP_WORKER_ASK_AFTER_MS: wholeNumber(0, 3_600_000).default(10_000).describe('a call older than this is made only if it is still wanted'),
  HTTP_WORKER_TAKEOVER_MS: wholeNumber(2_500, 600_000)
    .default(3_000)
    .describe('silence after which calls of another worker are taken over'),
  HTTP_WORKER_GRACE_MS: wholeNumber(0, 24_000).default(20_000).describe('how long running calls may take to end after SIGTERM'),
  HTTP_WORKER_CRASHES_MAX: wholeNumber(1, 100).default(3).describe('a call that lost this many workers fails its step'),
  HTTP_WORKER_SECRETS_CACHE_MS: wholeNumber(0, 60_000).default(5_000).describe('how long a secret that was read is used again'),
  HTTP_WORKER_RESPONSE_BYTES_MAX: wholeNumber(1, 1_000_000_000)
    .default(LIMITS.stepOutputBytesMax)
    .describe('largest answer, where a step has no maxBytes, and the bound of maxBytes'),
  HTTP_WORKER_ANSWER_BYTES_MAX: wholeNumber(1, 100_000_000_000)
    .default(Math.floor(getHeapStatistics().heap_size_limit / HEAP_SHARE))
    .describe('bytes of answers under way at once, all calls together; further ones wait'),
  HTTP_WORKER_PAGES_MAX: wholeNumber(1, 100_000).default(1_000).describe('bound of paginate.max'),
  HTTP_WORKER_BREAKER_FAILURES: wholeNumber(0, 1_000_000)
    .default(20)
    .describe('failures in a row after which the calls of a host wait for it; 0: they never do'),
  HTTP_WORKER_BREAKER_WAIT_MS: wholeNumber(0, 3_600_000).default(20_000).describe('how long a call waits at most for a host that fails'),
  HTTP_WORKER_RATE_LIMITS: z
    .string()
    .default('')
    .transform((text, context) => {
      try {
        return parseRateLimits(text)
      } catch (error) {
        context.addIssue((error as Error).message)
        return z.NEVER
      }
    })
    .describe('how often hosts may be called, e.g. api.example.com=10/s,*.slow.example=60/m'),
  HTTP_WORKER_WAITING_MAX: wholeNumber(1, 100_000).default(2_000).describe('calls that wait for their host without a slot'),
  HTTP_WORKER_WAITING_BYTES_MAX: wholeNumber(1, 10_000_000_000)
    .default(32 * 1024 * 1024)
    .describe('bytes of the requests of these calls'),
  HTTP_WORKER_DATABASE_CONNECTIONS_MAX: wholeNumber(1, 1_000).default(4).describe('connections to Postgres'),
  BATON_INLINE_PAYLOAD_BYTES_MAX: wholeNumber(1, 1_000_000_000)
    .default(LIMITS.inlinePayloadBytesMax)
    .describe('larger outputs are stored as blobs'),
  BATON_STEP_OUTPUT_BYTES_MAX: wholeNumber(1, 1_000_000_000).default(LIMITS.stepOutputBytesMax).describe('largest output of a step'),
})
export type Settings = z.output<typeof Settings>
