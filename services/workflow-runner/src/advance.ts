/** What the hot path (advance-runs.ts) is given: its facts, its store and its queues. */
import type { BatonError, Fact, Json, StoredEvent } from '@baton/contracts'
import type { ChildRef, ChildTarget, EngineFact, Plan, RunState } from '@baton/engine'
import type { BlobUse, InboxRow, LoadedRun, RunCommit } from '@baton/store'
import type { Outgoing } from './outgoing.ts'

/** What the hot path needs of Postgres. */
export interface AdvanceStore {
  /** `whole`: with all events, not from a snapshot. */
  loadRuns(runIds: string[], options?: { whole?: boolean }): Promise<Map<string, LoadedRun>>
  loadInbox(runIds: string[]): Promise<InboxRow[]>
  /**
   * One statement; throws when its outcome is unknown. `refused` are runs whose values Postgres does not take, `failed` those whose commit
   * fails for another reason of their own: nothing of them was written.
   */
  commit(batch: RunCommit[]): Promise<{
    won: ReadonlySet<string>
    /** Runs, of this batch or others, that have something new in their inbox. */
    woken?: readonly string[]
    refused: ReadonlyMap<string, Error>
    failed?: ReadonlyMap<string, Error>
    at: number
  }>
  plan(namespace: string, checksum: string): Promise<Plan>
  getBlobs(namespace: string, blobs: readonly string[]): Promise<Map<string, Json>>
  putBlobs(namespace: string, blobs: ReadonlyMap<string, string>): Promise<void>
  /** Says before the commit which payloads it may refer to: what nobody uses is collected. */
  noteBlobUses?(uses: readonly BlobUse[]): Promise<void>
  vars(namespace: string): Promise<Record<string, Json>>
  /** What `workflow` steps would start now, by childKeyOf. */
  workflows(namespace: string, children: readonly ChildRef[]): Promise<ReadonlyMap<string, ChildTarget>>
}

export interface Advance {
  store: AdvanceStore
  /** Resolves when every command was answered by its queue. */
  send(outgoing: Outgoing): Promise<void>
  cache: {
    get(runId: string): RunState | undefined
    /** `events` are what the state has grown by. */
    set(runId: string, state: RunState, events: readonly StoredEvent[]): unknown
    delete(runId: string): unknown
  }
  /** A run was committed, from `fromSeq` to where its state is, by these events. */
  committed?(state: RunState, fromSeq: number, events: readonly StoredEvent[]): void
  /** Postgres' clock in ms, as well as it is known. */
  now(): number
  random(): number
  newUuid(): string
  limits: { inlineBytesMax: number; outputBytesMax: number; forEachItemsMax: number }
  log: { warn(object: object, message: string): void; error(object: object, message: string): void }
  observe?: (batch: { facts: number; runs: number; conflicts: number; events: number; nextTimerAt: number | null }) => void
}

/** Timers of a run that fell due. */
export type TimersFact = { kind: 'timers'; runId: string; facts: Extract<EngineFact, { kind: 'timer' }>[] }
/** Ends a run that cannot go on; the other facts of the run in the same batch are dropped. */
export type AbortFact = { kind: 'abort'; runId: string; error: BatonError }

/** A fact as a queue, a timer or a sweep hands it over. */
export interface Delivery {
  fact: Fact | TimersFact | AbortFact
  /** It may have been applied before. */
  redelivered: boolean
  /** Of an entry of a stream: whether another runner has taken it over since, and may have applied it. Asks Redis when that is long enough ago. */
  wasTaken?(): boolean | Promise<boolean>
}
