/**
 * Everything Baton knows about Postgres, which is the truth of all it does. Invariants: the events of a run have no gap; a run moves only
 * through commitBatch, behind its fence; what was accepted stands in a table before anybody is told; only the clock of Postgres counts.
 */
export * from './accept-events.ts'
export * from './api-keys.ts'
export {
  type ApprovalFilter,
  type ApprovalRef,
  type ApprovalRow,
  findApproval,
  findOverdue,
  findUnnotified,
  getApproval,
  listApprovals,
  listApprovalsOf,
  listPendingApprovals,
  markNotified,
  type VoteRow,
} from './approvals.ts'
export { type AuditFilter, type AuditRow, addAudit, listAudit, type NewAuditEntry } from './audit.ts'
export * from './blobs.ts'
export { type CallbackOf, type CallbackStanding, findCallback, takeCallback } from './callbacks.ts'
export * from './collect-blobs.ts'
export { type BisectedOutcome, type CommitOutcome, commitBatch, commitBatchBisecting, type RunCommit } from './commit-batch.ts'
export type { Beyond } from './commit-beyond.ts'
export { type ConnectOptions, clock, connect, type Db, type Sql, withTransaction } from './connect.ts'
export { type CreatedRun, type CreatedRuns, createRuns, createRunsTogether, type NewRun } from './create-runs.ts'
export type { Listed, Page } from './cursors.ts'
export { DatabaseUrlInvalid, libpqUrl, readDatabaseUrl } from './database-url.ts'
export { type DecisionRequest, type DecisionResult, decideApproval } from './decide-approval.ts'
export * from './errors.ts'
export * from './events.ts'
export { findPooler, type Pooler } from './find-pooler.ts'
export * from './find-runs.ts'
export * from './find-stuck.ts'
export { createFork, type NewFork } from './fork-runs.ts'
export { deleteExpiredKeys, findFirstRuns } from './idempotency.ts'
export * from './inbox.ts'
export {
  type Backlog,
  countOpenRuns,
  type OpenRuns,
  type OpenTasks,
  type PendingApprovals,
  readBacklog,
  readOpenTasks,
  readPendingApprovals,
} from './levels.ts'
export * from './load-runs.ts'
export { type MigrateOptions, type MigrateResult, MigrationChanged, migrate } from './migrate.ts'
export * from './move-task.ts'
export { ensureEventPartitions } from './partitions.ts'
export { lockRun, patchRun, type RunPatch } from './patch-run.ts'
export { MigrationInvalid, type MigrationKind } from './read-migrations.ts'
export { dropEmptyPartitions, listRetentions, type RetentionPolicy, removeExpiredRuns } from './remove-runs.ts'
export * from './runs.ts'
export * from './schedules.ts'
export {
  type AppliedMigration,
  readSchemaState,
  refuseTooNew,
  SchemaMissing,
  type SchemaState,
  SchemaTooNew,
  type WaitForSchemaOptions,
  waitForSchema,
} from './schema-state.ts'
export { createSecretBox, type SecretBox, type SecretRow, SecretUnreadable } from './secrets.ts'
export * from './snapshots.ts'
export { isEligible, tally, type Voter } from './tally.ts'
export * from './tasks.ts'
export * from './timers.ts'
export * from './triggers.ts'
export * from './vars.ts'
export * from './wanted.ts'
export * from './workflows.ts'
