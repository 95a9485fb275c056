import { commonSettings, databaseSettings, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'

/** Settings of fanout, by the names of their environment variables. README.md lists them. */
export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8085),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  BATON_ADMIN_KEY: commonSettings.BATON_ADMIN_KEY,
  FANOUT_CLIENTS_MAX: wholeNumber(1, 1_000_000).default(10_000).describe('clients that may be connected, WebSocket and SSE together'),
  FANOUT_SUBSCRIPTIONS_MAX: wholeNumber(1, 100_000).default(1_000).describe('subscriptions of one client'),
  FANOUT_FRAME_BYTES_MAX: wholeNumber(64, 1024 * 1024)
    .default(16 * 1024)
    .describe('largest frame that a client may send'),
  FANOUT_BUFFER_BYTES_MAX: wholeNumber(1_024, 1024 * 1024 * 1024)
    .default(1024 * 1024)
    .describe('live bytes that may wait for a client; beyond, it is closed as too slow'),
  FANOUT_BATCH_MS: wholeNumber(0, 1_000).default(5).describe('how long events are gathered for subscribers with batch'),
  FANOUT_HEARTBEAT_MS: wholeNumber(100, 3_600_000).default(20_000).describe('how often clients are pinged; two silent rounds end one'),
  FANOUT_COMMENT_MS: wholeNumber(100, 3_600_000).default(15_000).describe('how often SSE clients get a comment'),
  FANOUT_COMPARE_MS: wholeNumber(50, 60_000).default(1_000).describe('how often followed runs are compared with Postgres'),
  FANOUT_KEY_CHECK_MS: wholeNumber(100, 55_000).default(30_000).describe('how often the keys of clients are looked up again'),
  FANOUT_DATABASE_CONNECTIONS_MAX: wholeNumber(1, 1_000).default(5).describe('connections to Postgres'),
})
export type Settings = z.output<typeof Settings>
