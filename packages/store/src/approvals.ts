/** Reading approvals. They are opened and closed by the commits of their runs, and decided by decide-approval.ts. */
import type { ApprovalOption, ApprovalStatus, Json } from '@baton/contracts'
import type { Db } from './connect.ts'
import { type Listed, type Page, pageOf, readCursor } from './cursors.ts'
import type { Voter } from './tally.ts'

export interface VoteRow {
  voter: string
  name: string
  role: string
  groups: string[]
  decision: string
  comment: string | null
  data: Json
  at: number
}

/** A row of `approvals` with its votes, oldest first. Ids are bare, times are ms since 1970. */
export interface ApprovalRow {
  id: string
  namespace: string
  runId: string
  path: string
  generation: number
  workflow: string
  /** Identity of who started the run. */
  startedBy: string
  status: ApprovalStatus
  title: string
  description: string | null
  data: Json
  form: Json
  options: ApprovalOption[]
  assignees: string[]
  quorum: number | 'all'
  veto: boolean
  allowSelf: boolean
  requireComment: boolean | string[]
  notify: Json | null
  notifySecrets: Json | null
  notifiedAt: number | null
  decision: string | null
  deadline: number | null
  createdAt: number
  closedAt: number | null
  votes: VoteRow[]
  /** Traceparent of the request that started the run. */
  trace: string | null
  /** When it was read, by the clock of Postgres. */
  readAt: number
}

/** How an approval is named: by its id, or by run and step path (then the latest generation is meant). */
export type ApprovalRef = { id: string } | { runId: string; path: string }

/** An approval of the namespace. */
export async function getApproval(db: Db, namespace: string, ref: ApprovalRef): Promise<ApprovalRow | undefined> {
  const which = 'id' in ref ? db`a.id = ${ref.id}` : db`a.run_id = ${ref.runId} and a.path = ${ref.path}`
  const rows = await db<RawApproval[]>`
    select ${columns(db)} from approvals a where a.namespace = ${namespace} and ${which} order by a.generation desc limit 1`
  return rows.map(approvalOf)[0]
}

/** All approvals of a run with their votes, oldest first. */
export async function listApprovalsOf(db: Db, runId: string): Promise<ApprovalRow[]> {
  return (await db<RawApproval[]>`select ${columns(db)} from approvals a where a.run_id = ${runId} order by a.id`).map(approvalOf)
}

/** An approval by its id alone, for the services that act on it. */
export async function findApproval(db: Db, id: string): Promise<ApprovalRow | undefined> {
  return (await db<RawApproval[]>`select ${columns(db)} from approvals a where a.id = ${id}`).map(approvalOf)[0]
}

type RawApproval = Omit<ApprovalRow, 'quorum'> & { quorum: number | null }

/** A row with its votes, in one query: who votes waits for it. */
function columns(db: Db) {
  return db`
    a.*, clock_timestamp()::timestamptz(3) as read_at, (select r.trace from runs r where r.id = a.run_id) as trace,
    (
      select coalesce(json_agg(json_build_object('voter', v.voter, 'name', v.name, 'role', v.role, 'groups', v.groups, 'decision', v.decision,
                               'comment', v.comment, 'data', v.data, 'at', (extract(epoch from v.at) * 1000)::float8) order by v.at, v.voter), '[]')
        from approval_votes v where v.approval_id = a.id
    ) as votes`
}

function approvalOf({ quorum, ...row }: RawApproval): ApprovalRow {
  return { ...row, quorum: quorum ?? 'all' }
}

export interface ApprovalFilter {
  status?: ApprovalStatus | undefined
  /** Those that this voter may decide; pending ones that have not his vote yet, unless a status is given. */
  assignee?: Voter | undefined
  runId?: string | undefined
}

/** Approvals of the namespace, newest first. Throws InvalidCursor. */
export async function listApprovals(db: Db, namespace: string, filter: ApprovalFilter, page: Page): Promise<Listed<ApprovalRow>> {
  const [after] = readCursor<[string]>(page.cursor, ['uuid']) ?? []
  const { assignee, runId } = filter
  const status = filter.status ?? (assignee ? 'pending' : undefined)
  const rows = await db<RawApproval[]>`
    select ${columns(db)} from approvals a
     where a.namespace = ${namespace}
       ${status === undefined ? db`` : db`and a.status = ${status}`}
       ${runId === undefined ? db`` : db`and a.run_id = ${runId}`}
       ${assignee ? mayDecide(db, assignee) : db``}
       ${assignee && status === 'pending' ? notVoted(db, assignee) : db``}
       ${after === undefined ? db`` : db`and a.id < ${after}`}
     order by a.id desc limit ${page.limit + 1}`
  return pageOf(rows.map(approvalOf), page.limit, (last) => [last.id])
}

function mayDecide(db: Db, voter: Voter) {
  const entries = [`user:${voter.name}`, `role:${voter.role}`, ...voter.groups.map((group) => `group:${group}`)]
  const anyRole = voter.role === 'admin' ? db`or exists (select from unnest(a.assignees) as entry where entry like 'role:%')` : db``
  return db`and (a.assignees && ${entries}::text[] ${anyRole}) and (a.allow_self or a.started_by <> ${voter.id})`
}

function notVoted(db: Db, voter: Voter) {
  return db`and not exists (select from approval_votes v where v.approval_id = a.id and v.voter = ${voter.id})`
}

/** Pending approvals of a run, oldest first: what `/why` names. */
export async function listPendingApprovals(db: Db, runId: string): Promise<ApprovalRow[]> {
  const rows = await db<RawApproval[]>`
    select ${columns(db)} from approvals a where a.run_id = ${runId} and a.status = 'pending' order by a.id`
  return rows.map(approvalOf)
}

interface UnnotifiedRow {
  approvalId: string
  namespace: string
  trace: string | null
  requestId: string | null
}

/** Pending approvals with `notify` that nobody was told of for longer, oldest first; `trace` and `requestId` are those of the run. */
export async function findUnnotified(db: Db, olderThanMs: number, limit: number): Promise<UnnotifiedRow[]> {
  return db<UnnotifiedRow[]>`
    select a.id as approval_id, a.namespace, r.trace, r.request_id
      from approvals a join runs r on r.id = a.run_id
     where a.status = 'pending' and a.notify is not null and a.notified_at is null
       and a.created_at < now() - ${olderThanMs}::float8 * interval '1 ms'
     order by a.id limit ${limit}`
}

/** Remembers that everybody was told. False when that was known. */
export async function markNotified(db: Db, id: string): Promise<boolean> {
  const { count } = await db`update approvals set notified_at = now() where id = ${id} and notified_at is null`
  return count > 0
}

/** Pending approvals whose deadline passed longer ago, by the clock of Postgres: their timer should have fired. Paused runs wait for the resume. */
export async function findOverdue(db: Db, byMs: number, limit: number): Promise<{ approvalId: string; runId: string }[]> {
  return db<{ approvalId: string; runId: string }[]>`
    select a.id as approval_id, a.run_id
      from approvals a join runs r on r.id = a.run_id and r.status in ('queued', 'running', 'waiting')
     where a.status = 'pending' and a.deadline < now() - ${byMs}::float8 * interval '1 ms'
     order by a.deadline limit ${limit}`
}
