/**
 * Everything Baton knows about Postgres, which is the truth of all it does. Invariants: the events of a run have no gap; a run moves only
 * through commitBatch, behind its fence; what was accepted stands in a table before anybody is told; only the clock of Postgres counts.
 */
export { type CommitOutcome, commitBatch, commitBatchBisecting, type RunCommit } from './commit-batch.ts'
export { type ConnectOptions, clock, connect, type Db, type Sql, withTransaction } from './connect.ts'
export { type CreatedRun, type CreatedRuns, createRuns, createRunsTogether, type NewRun } from './create-runs.ts'
export { ConnectionLost, InvalidCursor, isUniqueViolation, isUnknownOutcome, isValueRefused } from './errors.ts'
export { deleteExpiredKeys } from './idempotency.ts'
export { addToInbox, findStale, type InboxRow, loadInbox } from './inbox.ts'
export { type LoadedRun, loadRuns } from './load-runs.ts'
export { MigrationChanged, migrate, SchemaMissing, waitForSchema } from './migrate.ts'
export { ensureEventPartitions } from './partitions.ts'
export { type DueTimer, dueTimers, nextDue } from './timers.ts'
