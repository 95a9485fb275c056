import { commonSettings, databaseSettings, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'

/** Settings of the hitl-worker, by the names of their environment variables. README.md says what each is for. */
export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8084),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  BATON_MASTER_KEY: commonSettings.BATON_MASTER_KEY,
  BATON_HTTP_ALLOW: commonSettings.BATON_HTTP_ALLOW,
  BATON_PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .default('http://127.0.0.1:8081')
    .describe('where people reach the orchestrator; links in notifications begin with it'),
  HITL_CONCURRENCY: wholeNumber(1, 1_000).default(20).describe('notifications at once'),
  HITL_TIMEOUT_MS: wholeNumber(100, 600_000).default(10_000).describe('how long a receiver may take to answer'),
  HITL_RENOTIFY_MS: wholeNumber(100, 3_600_000)
    .default(30_000)
    .describe('how long an approval may stay unnotified before it is queued again, and how often that is looked for'),
  HITL_OVERDUE_MS: wholeNumber(0, 3_600_000)
    .default(10_000)
    .describe('how far past its deadline a pending approval is reported and its run woken'),
})
export type Settings = z.infer<typeof Settings>
