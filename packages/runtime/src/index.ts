/**
 * The kit that every service is made of. Invariants: only problem.ts builds error bodies; consumer groups are made at `0` wherever they are
 * read; nothing is acknowledged here that the caller has not asked for; every outgoing call passes the guard of guarded-connect.ts.
 */
export { type AllowList, parseAllowList } from './addresses.ts'
export { type CallbackTarget, type CallbackTokens, createCallbackTokens } from './callback-tokens.ts'
export { type Check, type CheckResult, checkPostgres, checkRedis, runChecks } from './checks.ts'
export { type ClaimFromOptions, type ClaimStaleOptions, claimFrom, claimStale } from './claim-stale.ts'
export { createFactSender, type FactSender, type FactSenderOptions } from './facts.ts'
export { forgetConsumers } from './forget-consumers.ts'
export { agentTurns, notifications } from './job-queues.ts'
export { malformedJson, parseJsonBodies } from './json-body.ts'
export { createReaderSource, isCluster, mastersOf, type Reader, type ReaderSource, readsOf } from './layout.ts'
export { createLogger, type Logger, urlForLog } from './logger.ts'
export {
  type AskedGauge,
  askedGauges,
  counter,
  describeMetrics,
  gauge,
  histogram,
  type Levels,
  type MetricDescription,
  metricsText,
} from './metrics.ts'
export {
  createOutbound,
  type Lookup,
  type Outbound,
  type OutboundAnswer,
  type OutboundOptions,
  type OutboundRequest,
} from './outbound.ts'
export { AddressRefused, BodyTooLarge, BodyUnreadable, NotBegun, OutboundTimeout, RedirectRefused } from './outbound-errors.ts'
export { explainIssues, ProblemException, type ProblemExtra, pointerOf, problem, problemBody } from './problem.ts'
export {
  type AddOptions,
  type ConsumeOptions,
  type Consumer,
  consume,
  createProducer,
  defineQueue,
  type JobContext,
  type JobLevels,
  type Producer,
  type QueueDefinition,
} from './queues.ts'
export { type ReadGroupOptions, readGroup } from './read-group.ts'
export { connectRedis, type Redis, type RedisConnectOptions } from './redis.ts'
export { joinTrace, traceOf } from './request-traces.ts'
export { type RunnableService, runService } from './run-service.ts'
export { createService, type ServiceOptions } from './service.ts'
export {
  commonSettings,
  databaseSettings,
  databaseUrlOf,
  directUrl,
  directUrlOf,
  loadSettings,
  parseSettings,
  SettingsError,
  wholeNumber,
} from './settings.ts'
export { nameOfStep, stepAttributes } from './step-spans.ts'
export {
  ackEntries,
  type EntrySchema,
  ensureGroup,
  ensureGroups,
  type GroupOptions,
  isGroupLost,
  parseEntries,
  type StaleEntry,
  type StreamEntry,
} from './streams.ts'
export { toProblem } from './to-problem.ts'
export { type TraceSettings, traceSettings } from './trace-settings.ts'
export { NO_TRACING, originOf, type SpanRecord, startTracing, type Tracing } from './tracing.ts'
export { parseContent } from './validate-content.ts'
export { LIFE, REPLICA, VERSION } from './version.ts'
export { REPEATED_AFTER_MS, type RedisWatch, redisNow, watchRedis } from './watch-redis.ts'
