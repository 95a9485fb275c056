/** What the engine is told (facts) and what it answers (a decision). Run ids are bare UUIDs, times are milliseconds since 1970. */
import type { AgentTurn, Approval, BatonError, BlobRef, HttpCall, InboxFact, Json, StoredEvent } from '@baton/contracts'

export const TIMER_KINDS = ['wait', 'retry', 'approval', 'timeout', 'run', 'more'] as const
/**
 * wait: end of a `wait` step, or of the delay of a loop; retry: end of a backoff; approval: its deadline; timeout: of a step; run: the run's
 * own timeout (path ''); more: a container has more to start than one decision may hold.
 */
export type TimerKind = (typeof TIMER_KINDS)[number]

type Outcome = { status: 'succeeded'; output: Json } | { status: 'failed'; error: BatonError; retryable: boolean }

export type EngineFact =
  | { kind: 'start' }
  | { kind: 'result'; path: string; generation: number; attempt: number; startedAt: number; outcome: Outcome; redelivered?: boolean }
  | { kind: 'timer'; path: string; timer: TimerKind; generation: number; attempt: number }
  /** Send again the commands of these calls (ids as callIdOf gives them), if they are still scheduled and not ended. `all` = every one. */
  | { kind: 'resend'; calls: readonly string[] | 'all' }
  /** The run cannot go on as it is (Postgres refuses a value, a fact crashes us): it fails at once, also what is in flight. */
  | { kind: 'abort'; error: BatonError }
  | InboxFact

/** What every run is born with; the rest of its state is folded from its events. */
export interface RunHeader {
  runId: string
  namespace: string
  workflow: string
  version: number
  checksum: string
  input: Json | BlobRef
  labels: Record<string, string>
  priority: number
  startedBy: string
  createdAt: number
  /** Traceparent of the request that started it. */
  trace?: string
  /** Id of that request. */
  requestId?: string
  /** Of a child run: the step that started it, and waits for its end unless its generation is null. */
  parent?: { runId: string; path: string; generation: number | null }
  /** Child runs above it, and itself: 0 for a run that no step started. */
  depth?: number
}

/** What a `workflow` step starts: the version as it is at that moment. */
export interface ChildTarget {
  version: number
  checksum: string
  /** JSON Schema of its input. */
  input?: Json
  timeoutMs?: number
  /** What takes its place in so many percent of the runs. */
  canary?: Omit<ChildTarget, 'canary'> & { percent: number }
}

/** A run that a step starts. */
export interface ChildStart {
  /** Bare UUIDv7. */
  id: string
  path: string
  /** null: nobody waits for its end. */
  generation: number | null
  workflow: string
  version: number
  checksum: string
  input: Json | BlobRef
  timeoutMs?: number
}

/** An event that a step tells the world, as a CloudEvent. */
export interface EmittedEvent {
  id: string
  source: string
  type: string
  subject?: string
  event: Json
}

/** What a run with a concurrency key wants of its slot. */
export type SlotWish = { act: 'ask'; key: string; limit: number; onConflict: 'queue' | 'reject' | 'cancel-running' } | { act: 'leave' }

/** A new row of `tasks`. */
export interface TaskOpening {
  /** Bare UUIDv7. */
  id: string
  path: string
  generation: number
  attempt: number
  capabilities: readonly string[]
  payload: Json | BlobRef
  leaseMs: number
  priority: number
}

/** A new row of `approvals`. */
export interface ApprovalOpening {
  id: string
  path: string
  generation: number
  title: string
  description: string | null
  data: Json
  form: Json
  options: Approval['options']
  assignees: string[]
  quorum: number | 'all'
  veto: boolean
  allowSelf: boolean
  requireComment: boolean | string[]
  notify: Json | null
  notifySecrets: Json | null
  deadline: number | null
}

export interface TimerSetting {
  path: string
  timer: TimerKind
  generation: number
  attempt: number
  dueAt: number
}

/** Everything that follows from some facts about one run. Committed as one, or not at all. */
export interface Decision {
  events: StoredEvent[]
  calls: Omit<HttpCall, 'at'>[]
  turns: Omit<AgentTurn, 'at'>[]
  timersSet: TimerSetting[]
  timersCleared: { path: string; timer: TimerKind }[]
  approvalsOpened: ApprovalOpening[]
  /** Compare-and-set from `pending`; when one is no longer pending the whole decision is void and must be made again. */
  approvalsClosed: { id: string; status: 'expired' | 'cancelled'; decision: string | null }[]
  tasksOpened: TaskOpening[]
  /** Bare ids. Compare-and-set from open or claimed, as for approvals. */
  tasksClosed: string[]
  /** Steps that begin to wait for events of a type. Those up to number `after` were taken before. */
  waitersSet: { path: string; generation: number; type: string; after: number }[]
  /** Paths of steps that wait for events no longer. */
  waitersCleared: string[]
  /** Steps that ended without their callback: none may be taken for them any more. Compare-and-set, as for approvals. */
  callbacksClosed: { path: string; generation: number }[]
  /** Steps that an abort ended: no callback may be taken for them from now on, and one that came before changes nothing. */
  callbacksGivenUp: { path: string; generation: number }[]
  emitted: EmittedEvent[]
  children: ChildStart[]
  /** What other runs of the namespace are told: a parent of its child's end, a child that it is cancelled. Bare run ids. */
  told: { runId: string; fact: InboxFact }[]
  slot?: SlotWish
  /** Payloads over 64 KiB that the events refer to: by `sha256:<hex>`, their JSON text. To be stored before the events. */
  blobs: Map<string, string>
}

/** A decision that decides nothing. */
export function emptyDecision(): Decision {
  return {
    events: [],
    calls: [],
    turns: [],
    timersSet: [],
    timersCleared: [],
    approvalsOpened: [],
    approvalsClosed: [],
    tasksOpened: [],
    tasksClosed: [],
    waitersSet: [],
    waitersCleared: [],
    callbacksClosed: [],
    callbacksGivenUp: [],
    emitted: [],
    children: [],
    told: [],
    blobs: new Map(),
  }
}

/** What the engine may ask of the world while it decides. */
export interface DecideContext {
  /** By the clock of Postgres. */
  now: number
  /** Uniform in [0, 1): jitter. */
  random(): number
  /** A bare UUIDv7 for a new approval, task or run. */
  newUuid(): string
  /** Variables of the namespace; only asked for when the plan uses them. */
  vars: Readonly<Record<string, Json>>
  /** Payloads by `sha256:<hex>` that were loaded because an earlier try threw BlobsNeeded. */
  blobs: ReadonlyMap<string, Json>
  inlineBytesMax: number
  outputBytesMax: number
  /** What the `workflow` steps of the plan would start now, by childKeyOf; what is missing does not exist or is archived. */
  workflows?: ReadonlyMap<string, ChildTarget>
  /** Items of one `forEach`. */
  forEachItemsMax: number
  /** A decision that has put down so many events (2 000) starts no further items and rounds. */
  eventsMax?: number
}

/** Thrown when an expression reads payloads that are not in the context. Load them, reload the state and decide again. */
export class BlobsNeeded extends Error {
  readonly blobs: readonly string[]
  constructor(blobs: readonly string[]) {
    super(`payloads needed: ${blobs.join(', ')}`)
    this.blobs = blobs
  }
}
