/** What a call on a task may do, and what it makes of it: pure, so that it can be asked before the body is read and again under the lock. */
import { isDeepStrictEqual } from 'node:util'
import type { BatonError, BlobRef, InboxFact, Json, RunStatus } from '@baton/contracts'
import type { TaskResult, TaskRow } from './tasks.ts'

/** Who calls: the identity of a key, and its name. */
export interface TaskCaller {
  id: string
  name: string
  /** Also what was handed to somebody else. */
  mayTakeAny: boolean
}

export type TaskCall =
  | { call: 'claim' }
  /** What is left out stays as it was; with none of it, it is a sign of life alone. */
  | { call: 'progress'; percent?: number | undefined; note?: string | undefined; data?: Json | undefined }
  | { call: 'complete'; output: Json | BlobRef }
  | { call: 'fail'; error: BatonError; retryable: boolean }
  | { call: 'release' }
  | { call: 'handoff'; to: { id: string; name: string } | null; capabilities: readonly string[] | null; reason: string; context: Json }

/** A task as it stands, with what counts beside its row: the state of its run, and Postgres' time (ms). */
export type TaskSeen = TaskRow & { runStatus: RunStatus; readAt: number }

/**
 * Why not. closed: it has ended; held: by somebody else; claim-lost: the caller held it, and its lease ran out, or a later claim took its place;
 * not-claimed: nobody holds it; reserved: it was handed to somebody else; paused: its run starts nothing new.
 */
export type TaskRefusal = 'closed' | 'held' | 'claim-lost' | 'not-claimed' | 'reserved' | 'paused'

/** `token`: the fencing token that the caller sent, if any. */
export function refusalOf(task: TaskSeen, caller: TaskCaller, call: TaskCall['call'], token?: number): TaskRefusal | undefined {
  if (task.closedAt !== null) return 'closed'
  const isHeld = task.status === 'claimed' && task.leaseUntil! > task.readAt
  if (call === 'claim') {
    if (isHeld) return 'held'
    if (task.reservedFor !== null && task.reservedFor !== caller.id && !caller.mayTakeAny) return 'reserved'
    return task.runStatus === 'paused' ? 'paused' : undefined
  }
  if (task.holder !== caller.id) return isHeld ? 'held' : 'not-claimed'
  return isHeld && (token === undefined || token === task.claims) ? undefined : 'claim-lost'
}

/** True when the caller has ended the task in this very way before: an answer that got lost. */
export function isRepeated(task: TaskRow, caller: TaskCaller, call: TaskCall, token?: number): boolean {
  const result = resultOf(call)
  if (!result || task.closedAt === null || task.holder !== caller.id) return false
  return (token === undefined || token === task.claims) && isDeepStrictEqual(task.result, result)
}

/** The row after a call that is not refused, and what its run is told. */
export function moved(task: TaskSeen, caller: TaskCaller, asked: TaskCall): { task: TaskRow; facts: InboxFact[] } {
  const { task: row, facts } = judged(task, caller, asked)
  return { task: row, facts: facts.filter((fact) => fact.kind !== 'task-news' || fact.type === 'progressed' || isTold(task, fact.type)) }
}

/** What happens to so many claims of a task is told. The row always has the last, and the end is always told. */
const CLAIMS_TOLD_MAX = 100

/** False for the news of a claim after those: who claims and releases in a loop must not fill the events of the run. */
export function isTold({ claims }: TaskRow, type: TaskNews['type']): boolean {
  return (type === 'claimed' ? claims + 1 : claims) <= CLAIMS_TOLD_MAX
}

function judged(task: TaskSeen, caller: TaskCaller, asked: TaskCall): { task: TaskRow; facts: InboxFact[] } {
  const { runStatus: _, readAt: at, ...row } = task
  const by = caller.name
  const news = (type: TaskNews['type'], data: Record<string, Json>) => newsOf(row, type, data)
  const free = { status: 'open', holder: null, holderName: null, claimedAt: null, leaseUntil: null } as const
  switch (asked.call) {
    case 'claim':
      return claimed(row, caller, at)
    case 'progress':
      return progressed(row, caller, at, asked)
    case 'release':
      return { task: { ...row, ...free }, facts: [news('released', { by })] }
    case 'handoff': {
      const { to, reason, context } = asked
      const capabilities = [...(asked.capabilities ?? row.capabilities)]
      const reserved = { reservedFor: to?.id ?? null, reservedName: to?.name ?? null }
      const handoff = { by, to: to?.name ?? null, reason, context, at }
      const told = { by, to: handoff.to, capabilities, reason, context }
      return { task: { ...row, ...free, ...reserved, capabilities, handoff }, facts: [news('handed_off', told)] }
    }
    default:
      return ended(row, caller, at, asked)
  }
}

function claimed(row: TaskRow, caller: TaskCaller, at: number) {
  const facts: InboxFact[] = []
  const leaseUntil = at + row.leaseMs
  const claims = row.claims + 1
  const isLate = row.status === 'claimed'
  if (isLate) facts.push(leaseExpired(row))
  facts.push(newsOf(row, 'claimed', { by: caller.name, fencingToken: claims, leaseUntil: new Date(leaseUntil).toISOString() }))
  const task: TaskRow = {
    ...row,
    ...{ status: 'claimed', holder: caller.id, holderName: caller.name, claims, claimedAt: at, leaseUntil },
    ...{ reservedFor: null, reservedName: null },
    // After so many claims the progress of all of them counts as that of one.
    ...(claims <= CLAIMS_TOLD_MAX ? { progressTold: 0, progressToldAt: null } : {}),
    leaseExpiries: row.leaseExpiries + (isLate ? 1 : 0),
  }
  return { task, facts }
}

/** So many of a claim are told at once; after them one in so many ms. The row always has the last. */
const PROGRESS_TOLD_MAX = 20
const PROGRESS_EVERY_MS = 10_000

function progressed(row: TaskRow, caller: TaskCaller, at: number, asked: Extract<TaskCall, { call: 'progress' }>) {
  const alive = { ...row, leaseUntil: at + row.leaseMs }
  if (asked.percent === undefined && asked.note === undefined && asked.data === undefined) return { task: alive, facts: [] }
  const { percent = row.progress?.percent ?? null, note = row.progress?.note ?? null, data = row.progress?.data ?? null } = asked
  const isTold = row.progressTold < PROGRESS_TOLD_MAX || at - row.progressToldAt! >= PROGRESS_EVERY_MS
  const facts = isTold ? [newsOf(row, 'progressed', { by: caller.name, percent, note, data })] : []
  const told = isTold ? { progressTold: row.progressTold + 1, progressToldAt: at } : {}
  return { task: { ...alive, progress: { percent, note, data, at }, ...told }, facts }
}

function ended(row: TaskRow, caller: TaskCaller, at: number, asked: Extract<TaskCall, { call: 'complete' | 'fail' }>) {
  const status = asked.call === 'complete' ? ('completed' as const) : ('failed' as const)
  const outcome =
    asked.call === 'complete'
      ? { status: 'succeeded' as const, output: asked.output as Json }
      : { status: 'failed' as const, error: asked.error, retryable: asked.retryable }
  const { path, generation, id } = row
  const fact: InboxFact = { kind: 'task-ended', path, generation, task: id, by: caller.name, outcome }
  return { task: { ...row, status, leaseUntil: null, closedAt: at, result: resultOf(asked)! }, facts: [fact] }
}

function resultOf(asked: TaskCall): TaskResult | undefined {
  if (asked.call === 'complete') return { output: asked.output }
  return asked.call === 'fail' ? { error: asked.error, retryable: asked.retryable } : undefined
}

type TaskNews = Extract<InboxFact, { kind: 'task-news' }>

function newsOf({ path, generation, id }: TaskRow, type: TaskNews['type'], data: Record<string, Json>): TaskNews {
  return { kind: 'task-news', path, generation, task: id, type, data }
}

/** Who held the task fell silent. */
export function leaseExpired(row: TaskRow): TaskNews {
  return newsOf(row, 'lease_expired', { by: row.holderName })
}
