/** Rows of the tables that runs live in, and what a commit changes of them; as packages/store has them. */
import type { BatonError, InboxFact, Json, RunStatus, StoredEvent } from '@baton/contracts'
import type { Beyond } from './memory-beyond.ts'

export interface RunHeader {
  runId: string
  namespace: string
  workflow: string
  version: number
  checksum: string
  input: Json
  labels: Record<string, string>
  priority: number
  startedBy: string
  createdAt: number
  parent?: { runId: string; path: string; generation: number | null }
  depth?: number
}

export interface RunRow {
  header: RunHeader
  seq: number
  status: RunStatus
  ending: string | null
  output: unknown
  error: BatonError | null
  updatedAt: number
  /** JSON of each event, by seq from 1. */
  events: string[]
}

export interface TimerRow {
  runId: string
  path: string
  timer: string
  generation: number
  attempt: number
  dueAt: number
}

export interface ApprovalRow {
  id: string
  runId: string
  path: string
  generation: number
  options: { id: string; approves?: boolean | undefined; rejects?: boolean | undefined }[]
  deadline: number | null
  status: 'pending' | 'decided' | 'expired' | 'cancelled'
  decision: string | null
}

export interface InboxRow {
  id: string
  runId: string
  fact: InboxFact
  createdAt: number
}

/** What a commit changes of one run; as packages/store has it. */
export interface Commit {
  runId: string
  workflow: string
  fromSeq: number
  toSeq: number
  summary: { status: RunStatus; ending: string | null; output: unknown; error: BatonError | null } | null
  decision: {
    events: readonly StoredEvent[]
    timersSet: readonly Omit<TimerRow, 'runId'>[]
    timersCleared: readonly { path: string; timer: string }[]
    approvalsOpened: readonly Pick<ApprovalRow, 'id' | 'path' | 'generation' | 'options' | 'deadline'>[]
    approvalsClosed: readonly { id: string; status: 'expired' | 'cancelled'; decision: string | null }[]
  }
  inboxIds: readonly string[]
  beyond?: Beyond
}

/** A run that begins with what another one has done: its events behind run.created and run.forked. */
export interface NewFork {
  header: RunHeader
  timeoutMs: number | undefined
  from: string
  forkedFrom: string
  events: readonly Pick<StoredEvent, 'type' | 'path' | 'data'>[]
}

/** A partition, and the time before which something in it counts. */
export interface Cut {
  partition: number
  before: number
}
