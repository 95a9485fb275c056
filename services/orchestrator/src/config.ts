import { LIMITS } from '@baton/contracts'
import { commonSettings, databaseSettings, directUrl, traceSettings, wholeNumber } from '@baton/runtime'
import { z } from 'zod'

const MIB = 1024 * 1024
const limit = (byDefault: number, max = 2 ** 31 - 1) => wholeNumber(1, max).default(byDefault)

/** How long a database may be away that is to be migrated; of the orchestrator and of migrate.js. */
export const migrateAwayMsMax = wholeNumber(0, 3_600_000)
  .default(60_000)
  .describe('how long the database may be away before migrating it fails')

/** Settings of the orchestrator, by the names of their environment variables; README.md lists them. */
export const Settings = z.object({
  ...traceSettings,
  ...databaseSettings,
  DATABASE_DIRECT_URL: directUrl,
  REDIS_URL: commonSettings.REDIS_URL,
  HOST: commonSettings.HOST,
  PORT: commonSettings.PORT.default(8081),
  LOG_LEVEL: commonSettings.LOG_LEVEL,
  BATON_ADMIN_KEY: commonSettings.BATON_ADMIN_KEY,
  BATON_MASTER_KEY: commonSettings.BATON_MASTER_KEY,
  BATON_MIGRATE_AT_START: z
    .enum(['true', 'false'])
    .default('true')
    .transform((text) => text === 'true')
    .describe('whether the database is migrated at the start; false where a job of its own does it'),
  BATON_MIGRATE_AWAY_MS_MAX: migrateAwayMsMax,
  BATON_POSTGRES_CONNECTIONS_MAX: limit(10, 1_000).describe('connections to Postgres'),
  BATON_POSTGRES_TIMEOUT_MS: wholeNumber(100, 600_000)
    .default(15_000)
    .describe('how long a statement may take; then the caller is answered with 503'),
  BATON_DEFINITION_BYTES_MAX: limit(LIMITS.definitionBytesMax).describe('largest definition'),
  BATON_STEPS_MAX: limit(LIMITS.stepsMax).describe('steps of a definition'),
  BATON_NESTING_MAX: limit(LIMITS.nestingMax, 50).describe('depth of steps inside steps'),
  BATON_RUN_INPUT_BYTES_MAX: limit(LIMITS.runInputBytesMax).describe('largest input of a run'),
  BATON_INLINE_BYTES_MAX: limit(LIMITS.inlinePayloadBytesMax).describe('larger payloads are stored beside the run, as blobs'),
  BATON_STEP_OUTPUT_BYTES_MAX: limit(LIMITS.stepOutputBytesMax).describe('largest output of a task'),
  BATON_JSON_DEPTH_MAX: limit(200, 2_000).describe('depth of lists and objects in an input'),
  BATON_BODY_BYTES_MAX: limit(MIB).describe('largest body of other requests'),
  BATON_BATCH_RUNS_MAX: limit(LIMITS.batchRunsMax).describe('runs that one batch may start'),
  BATON_BATCH_BYTES_MAX: limit(16 * MIB).describe('largest body of a batch'),
  BATON_EVENT_BYTES_MAX: limit(LIMITS.eventBytesMax).describe('largest event from outside, as JSON'),
  BATON_EVENTS_BATCH_MAX: limit(LIMITS.eventsBatchMax, 100_000).describe('events of one batch'),
  BATON_EVENTS_BATCH_BYTES_MAX: limit(16 * MIB).describe('largest body of a request with events'),
  BATON_HOOK_BYTES_MAX: limit(LIMITS.hookBytesMax).describe('largest body of a delivery to a webhook'),
  BATON_CALLBACK_BYTES_MAX: limit(LIMITS.callbackBytesMax, LIMITS.stepOutputBytesMax).describe('largest body of a callback'),
  BATON_SCHEDULE_LATE_MS_MAX: wholeNumber(1_000, 3_600_000)
    .default(5_000)
    .describe('a slot that nobody could fire for this long was missed: catchUp says what becomes of it'),
  BATON_CATCH_UP_SLOTS_MAX: limit(LIMITS.catchUpSlotsMax, 100_000).describe('slots that catchUp: all makes up for at most, the newest'),
  BATON_BULK_RUNS_MAX: limit(500, 10_000).describe('runs that one retry or fork in bulk may move'),
  BATON_STUCK_RUNS_MAX: limit(2_000, 1_000_000).describe('runs that one look for stuck ones folds; the answer says when there are more'),
  BATON_WAITERS_MAX: limit(10_000).describe('requests that may wait for runs to end at once'),
  BATON_START_GROUP_RUNS_MAX: limit(500).describe('runs that are started in one statement'),
  BATON_START_GROUPS_MAX: limit(2, 100).describe('such statements under way at once'),
  BATON_PLAN_CACHE_BYTES_MAX: limit(64 * MIB).describe('definitions that are kept compiled, by their size'),
  BATON_STATE_CACHE_EVENTS_MAX: limit(100_000).describe('folded runs that are kept for readers, by their events'),
  BATON_FOLD_EVENTS_MAX: limit(100_000).describe('events of a run that views and controls of it fold'),
  BATON_KEY_CACHE_MS: wholeNumber(0, 10_000).default(10_000).describe('how long a known API key is not looked up again'),
})
export type Settings = z.output<typeof Settings>
