/** Settings of the workflow-runner; README.md explains them. */
import { LIMITS, parseDuration } from '@baton/contracts'
import { commonSettings, databaseSettings, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'

const EVENTS_KEPT_MS_MIN = 60_000

export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8082),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  RUNNER_BATCH_FACTS_MAX: wholeNumber(1, 100_000).default(400).describe('facts in one batch and commit'),
  RUNNER_CACHE_RUNS_MAX: wholeNumber(1, 10_000_000).default(5_000).describe('states of runs kept in memory'),
  RUNNER_CACHE_WAITING_MAX: wholeNumber(0, 10_000_000).default(1_000).describe('of these, runs that wait for people or for time'),
  RUNNER_CACHE_BYTES_MAX: wholeNumber(1, 1e12).default(268_435_456).describe('bytes of the states kept in memory, estimated'),
  RUNNER_LEASE_MS: wholeNumber(500, 600_000).default(3_000).describe('how long a partition stays with a runner that does not renew it'),
  RUNNER_SWEEP_MS: wholeNumber(100, 600_000).default(5_000).describe('how often the reconciler looks'),
  RUNNER_LOST_AFTER_MS: wholeNumber(100, 600_000).default(10_000).describe('age at which a call without a trace in Redis counts as lost'),
  RUNNER_EVENTS_BYTES_MAX: wholeNumber(65_536, 2 ** 40)
    .default(16 * 1024 * 1024)
    .describe('bytes of live events that a runner keeps in Redis'),
  RUNNER_BLOBS_KEPT_MS: wholeNumber(60_000, 1e12).default(86_400_000).describe('how long a payload that nothing refers to is kept'),
  BATON_EVENTS_KEEP: z
    .string()
    .default('24h')
    .transform((text, ctx) => {
      const ms = parseDuration(text)
      if (ms !== undefined && ms >= EVENTS_KEPT_MS_MIN) return ms
      ctx.addIssue({ code: 'custom', message: 'must be a duration of at least a minute, such as 24h' })
      return z.NEVER
    })
    .describe('how long an event from outside is kept, and known again by its source and id'),
  BATON_RETENTION: z
    .string()
    .default('')
    .transform((text, ctx) => {
      const ms = text === '' ? undefined : parseDuration(text)
      if (text === '' || ms !== undefined) return ms
      ctx.addIssue({ code: 'custom', message: 'must be a duration such as 30d, or empty' })
      return z.NEVER
    })
    .describe('how long ended runs are kept whose workflow does not say it; empty: for ever'),
  BATON_EXPORT_FOLDER: z.string().optional().describe('where runs are written to as JSON Lines before they are removed; empty: nowhere'),
  RUNNER_RETENTION_EVERY_MS: wholeNumber(1_000, 86_400_000).default(300_000).describe('how often old runs are looked for'),
  RUNNER_RETENTION_RUNS_MAX: wholeNumber(1, 10_000_000).default(50_000).describe('runs that are removed each time at most'),
  RUNNER_DATABASE_CONNECTIONS_MAX: wholeNumber(1, 1_000).default(4),
  RUNNER_DATABASE_STATEMENT_MS_MAX: wholeNumber(500, 3_600_000)
    .default(60_000)
    .describe('how long a statement may take; then what it was for is decided again'),
  BATON_INLINE_PAYLOAD_BYTES_MAX: wholeNumber(1, 1e9).default(LIMITS.inlinePayloadBytesMax),
  BATON_STEP_OUTPUT_BYTES_MAX: wholeNumber(1, 1e9).default(LIMITS.stepOutputBytesMax),
  BATON_FOR_EACH_ITEMS_MAX: wholeNumber(1, 1_000_000).default(LIMITS.forEachItemsMax).describe('items of one forEach'),
})
export type Settings = z.infer<typeof Settings>
