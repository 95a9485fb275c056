/**
 * The TypeScript SDK of Baton, for Node 20 and later and for browsers. It takes only types from the contracts, so nothing of the platform
 * comes with it. Promises: reads and starts are tried again after a cut, nothing else is; watching a run gives every event once.
 */
export type {
  ApiKey,
  ApiKeyCreated,
  Approval,
  BulkAnswer,
  ClaimNextBody,
  CloudEvent,
  CompleteBody,
  DecisionBody,
  EventsAccepted,
  FailBody,
  HandoffBody,
  Json,
  NewSchedule,
  NewTrigger,
  PatchOperation,
  ProblemError,
  ProgressBody,
  Run,
  Schedule,
  Step,
  Task,
  TaskStatus,
  Trigger,
  TriggerSaved,
  Validation,
  VarInfo,
  Why,
  WorkflowDetail,
  WorkflowSaved,
  WorkflowSummary,
} from '@baton/contracts'
export type { ApprovalQuery } from './approvals.ts'
export { type BatonClient, type ClientOptions, createClient } from './client.ts'
export type { CallOptions } from './http.ts'
export { BatonProblem, BatonUnreachable, BatonWaitTimeout } from './problem.ts'
export type { BulkOptions, RunQuery, StartItem, StartOptions } from './runs.ts'
export type { TaskQuery } from './tasks.ts'
export type { NewEvent } from './triggers.ts'
export type { WatchOptions } from './watch-options.ts'
export type { DefinitionSource } from './workflows.ts'
