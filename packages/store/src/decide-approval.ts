/**
 * A vote and what follows from it, in one statement that counts only if nothing has happened to the approval since it was read (`votes_cast`
 * and `closed_at` are compared under the lock of its row). So votes are counted one after the other and there is exactly one outcome, also
 * against the commit that expires or cancels it; whoever comes second reads again.
 */
import type { ApprovalStatus, InboxFact, Json, ProblemError } from '@baton/contracts'
import { type ApprovalRef, type ApprovalRow, getApproval, type VoteRow } from './approvals.ts'
import type { Db } from './connect.ts'
import type { InboxRow } from './inbox.ts'
import { isEligible, type Outcome, settledByVotes, tally, type Voter } from './tally.ts'

export interface DecisionRequest {
  namespace: string
  approval: ApprovalRef
  voter: Voter
  decision: string
  comment: string | null
  data: Json
  /** Checks `data` against the form of the approval; pointers begin with /data. */
  validate?: (approval: ApprovalRow) => ProblemError[]
  /** Voters who have no row in api_keys: they count when it is asked whether an option can still win. */
  otherVoters?: readonly Voter[]
  /** The approval, when it has just been read. */
  seen?: ApprovalRow
}

/** Refusals are told in the order of the contract: unknown, not allowed, state, invalid. */
export type DecisionResult =
  /** The vote counts. `decided` is the row that the inbox of the run has when it settled the question. */
  | { outcome: 'voted'; decided: InboxRow | undefined; approval: ApprovalRow }
  | { outcome: 'not-found' }
  | { outcome: 'not-eligible' | 'self'; approval: ApprovalRow }
  /** It takes no votes any more; `status` is `expired` also when the deadline has passed and nobody has acted on it yet. */
  | { outcome: 'closed'; status: Exclude<ApprovalStatus, 'pending'>; approval: ApprovalRow }
  | { outcome: 'already-voted'; vote: VoteRow; approval: ApprovalRow }
  | { outcome: 'invalid'; errors: ProblemError[]; approval: ApprovalRow }

/** Each try that fails means that somebody else has voted, or that the approval was closed. */
const TRIES_MAX = 1_000

/** Casts a vote. Wake the run (a fact `inbox`) when it decided the approval. */
export async function decideApproval(db: Db, request: DecisionRequest): Promise<DecisionResult> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const seen = tries === 0 ? request.seen : undefined
    const approval = seen ?? (await getApproval(db, request.namespace, request.approval))
    if (!approval) return { outcome: 'not-found' }
    const refusal = refuse(request, approval, approval.readAt)
    if (refusal) return refusal
    const vote = voteOf(request, approval.readAt)
    const votes = [...approval.votes, vote]
    const outcome = await outcomeOf(db, request, { ...approval, votes })
    const written = await castVote(db, approval, vote, outcome)
    if (written) return { outcome: 'voted', ...written }
  }
  throw new Error(`an approval changed ${TRIES_MAX} times while a vote was cast`)
}

function refuse(request: DecisionRequest, approval: ApprovalRow, now: number): DecisionResult | undefined {
  const { voter } = request
  if (!isEligible(approval.assignees, voter)) return { outcome: 'not-eligible', approval }
  if (!approval.allowSelf && approval.startedBy === voter.id) return { outcome: 'self', approval }
  const own = approval.votes.find((vote) => vote.voter === voter.id)
  if (own) return { outcome: 'already-voted', vote: own, approval }
  if (approval.status !== 'pending') return { outcome: 'closed', status: approval.status, approval }
  if (approval.deadline !== null && approval.deadline <= now) return { outcome: 'closed', status: 'expired', approval }
  const errors = problemsOf(request, approval)
  return errors.length > 0 ? { outcome: 'invalid', errors, approval } : undefined
}

function problemsOf(request: DecisionRequest, approval: ApprovalRow): ProblemError[] {
  const { decision, comment, validate } = request
  const options = approval.options.map((option) => option.id)
  if (!options.includes(decision)) return [{ pointer: '/decision', message: `must be one of ${options.join(', ')}` }]
  const { requireComment } = approval
  const needsComment = requireComment === true || (Array.isArray(requireComment) && requireComment.includes(decision))
  const missing = needsComment && !comment?.trim() ? [{ pointer: '/comment', message: `"${decision}" needs a comment` }] : []
  return [...missing, ...(validate?.(approval) ?? [])]
}

function voteOf({ voter, decision, comment, data }: DecisionRequest, at: number): VoteRow {
  return { voter: voter.id, name: voter.name, role: voter.role, groups: [...voter.groups], decision, comment, data, at }
}

function castOf(vote: VoteRow) {
  return { voter: { id: vote.voter, name: vote.name, role: vote.role, groups: vote.groups }, decision: vote.decision }
}

/** Who else may vote is only asked when the votes alone do not settle it. */
async function outcomeOf(db: Db, request: DecisionRequest, approval: ApprovalRow): Promise<Outcome | undefined> {
  const votes = approval.votes.map(castOf)
  return settledByVotes(approval, votes) ?? tally(approval, votes, await eligibleVoters(db, request, approval))
}

/** Everybody who may vote, as far as they are known: keys of the namespace, admins of every namespace, and people who are named but have no key. */
async function eligibleVoters(db: Db, request: DecisionRequest, approval: ApprovalRow): Promise<Voter[]> {
  const keys = await db<Voter[]>`
    select 'key_' || id as id, name, role, groups from api_keys
     where revoked_at is null and (namespace = ${request.namespace} or role = 'admin')`
  const known = [...keys, ...(request.otherVoters ?? [])].filter((voter) => isEligible(approval.assignees, voter))
  const names = new Set([...known, ...approval.votes].map((voter) => voter.name))
  const unknown = approval.assignees
    .filter((entry) => entry.startsWith('user:') && !names.has(entry.slice(5)))
    .map((entry): Voter => ({ id: entry, name: entry.slice(5), role: '', groups: [] }))
  return [...known, ...unknown].filter((voter) => approval.allowSelf || voter.id !== approval.startedBy)
}

/** Writes the vote, and what it decided; undefined when the approval is not what was read any more. */
async function castVote(db: Db, seen: ApprovalRow, vote: VoteRow, outcome: Outcome | undefined) {
  const votes = [...seen.votes, vote]
  const fact = outcome && factOf(seen, votes, outcome)
  const decision = outcome?.decision ?? null
  const [row] = await db<{ inboxId: string | null }[]>`
    with open as (
      update approvals a
         set votes_cast = a.votes_cast + 1, status = case when ${decision}::text is null then a.status else 'decided' end,
             decision = ${decision}, closed_at = case when ${decision}::text is null then null else ${vote.at}::timestamptz end
       where a.id = ${seen.id} and a.closed_at is null and a.votes_cast = ${seen.votes.length}
         and (a.deadline is null or a.deadline > clock_timestamp())
      returning a.id, a.namespace, a.run_id
    ),
    voted as (
      insert into approval_votes (namespace, approval_id, voter, name, role, groups, decision, comment, data, at)
      select namespace, id, ${vote.voter}, ${vote.name}, ${vote.role}, ${vote.groups}::text[], ${vote.decision}, ${vote.comment}::text,
             ${JSON.stringify(vote.data)}::text::json, ${vote.at}::timestamptz
        from open
    ),
    told as (
      insert into inbox (namespace, run_id, fact)
      select namespace, run_id, ${fact ? JSON.stringify(fact) : null}::text::json from open where ${decision}::text is not null
      returning id
    )
    select (select id::text from told) as inbox_id from open`
  if (!row) return undefined
  const closed = outcome ? { status: 'decided' as const, decision, closedAt: vote.at } : {}
  const decided = fact && { id: row.inboxId!, runId: seen.runId, fact }
  return { approval: { ...seen, votes, ...closed }, decided }
}

function factOf(approval: ApprovalRow, votes: readonly VoteRow[], { decision, rejects }: Outcome): InboxFact {
  const { comment, data, at } = votes.at(-1)!
  const inFavour = votes.filter((cast) => cast.decision === decision)
  const decidedBy = (inFavour.length > 0 ? inFavour : votes).map((cast) => cast.name)
  const { path, generation, id: approvalId } = approval
  return { kind: 'approval-decided', path, generation, approvalId, decision, rejects, comment, data, decidedBy, decidedAt: at }
}
