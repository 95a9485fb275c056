/** State machines of runs, steps and approvals: one total table each; the store derives its compare-and-set from them. */
export const RUN_STATUSES = ['queued', 'running', 'waiting', 'paused', 'succeeded', 'failed', 'cancelled', 'timed_out'] as const
export type RunStatus = (typeof RUN_STATUSES)[number]

export const RUN_TRANSITIONS = {
  queued: ['running', 'paused', 'failed', 'cancelled', 'timed_out'],
  running: ['waiting', 'paused', 'succeeded', 'failed', 'cancelled', 'timed_out'],
  waiting: ['running', 'paused', 'succeeded', 'failed', 'cancelled', 'timed_out'],
  paused: ['queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled', 'timed_out'],
  succeeded: ['running'],
  failed: ['running'],
  cancelled: ['running'],
  timed_out: ['running'],
} as const satisfies Record<RunStatus, readonly RunStatus[]>

export const TERMINAL_RUN_STATUSES = ['succeeded', 'failed', 'cancelled', 'timed_out'] as const satisfies readonly RunStatus[]
export type TerminalRunStatus = (typeof TERMINAL_RUN_STATUSES)[number]
export type Ending = 'failed' | 'cancelled' | 'timed_out'

/** True when the run has ended (it may still be reopened by retry or replay). */
export function isTerminal(status: RunStatus): status is TerminalRunStatus {
  return (TERMINAL_RUN_STATUSES as readonly string[]).includes(status)
}

export const STEP_STATUSES = ['pending', 'ready', 'running', 'retrying', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled'] as const
export type StepStatus = (typeof STEP_STATUSES)[number]

export const STEP_TRANSITIONS = {
  pending: ['ready', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled'],
  ready: ['running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled'],
  running: ['retrying', 'succeeded', 'failed', 'cancelled'],
  retrying: ['running', 'failed', 'cancelled'],
  waiting: ['succeeded', 'failed', 'cancelled', 'retrying'],
  succeeded: ['pending'],
  failed: ['pending'],
  skipped: ['pending'],
  cancelled: ['pending'],
} as const satisfies Record<StepStatus, readonly StepStatus[]>

export const APPROVAL_STATUSES = ['pending', 'decided', 'expired', 'cancelled'] as const
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number]

export const TASK_STATUSES = ['open', 'claimed', 'completed', 'failed', 'cancelled'] as const
export type TaskStatus = (typeof TASK_STATUSES)[number]

/** An open one can end by its run alone; only who holds it completes or fails it. */
export const TASK_TRANSITIONS = {
  open: ['claimed', 'cancelled'],
  claimed: ['open', 'claimed', 'completed', 'failed', 'cancelled'],
  completed: [],
  failed: [],
  cancelled: [],
} as const satisfies Record<TaskStatus, readonly TaskStatus[]>

export const STEP_KINDS = [
  'http',
  'approval',
  'agent',
  'task',
  'set',
  'switch',
  'forEach',
  'loop',
  'workflow',
  'wait',
  'waitFor',
  'emit',
  'fail',
] as const
export type StepKind = (typeof STEP_KINDS)[number]

export const ROLES = ['admin', 'developer', 'operator', 'viewer', 'worker'] as const
export type Role = (typeof ROLES)[number]
