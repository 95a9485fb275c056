/**
 * A vote and what follows from it, in one transaction: the row of the approval is locked, so votes are counted one after the other and there
 * is exactly one outcome, also against the commit that expires or cancels it.
 */
import type { ApprovalStatus, InboxFact, Json, ProblemError } from '@baton/contracts'
import { type ApprovalRef, type ApprovalRow, type RawApproval, type VoteRow, withVotes } from './approvals.ts'
import { type Db, type Sql, withTransaction } from './connect.ts'
import { addToInbox } from './inbox.ts'
import { isEligible, type Outcome, tally, type Voter } from './tally.ts'

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
}

/** Refusals are told in the order of the contract: unknown, not allowed, state, invalid. */
export type DecisionResult =
  /** The vote counts. `decided` says whether it settled the question; then the inbox of the run has the fact. */
  | { outcome: 'voted'; decided: boolean; approval: ApprovalRow }
  | { outcome: 'not-found' }
  | { outcome: 'not-eligible' | 'self'; approval: ApprovalRow }
  /** It takes no votes any more; `status` is `expired` also when the deadline has passed and nobody has acted on it yet. */
  | { outcome: 'closed'; status: Exclude<ApprovalStatus, 'pending'>; approval: ApprovalRow }
  | { outcome: 'already-voted'; vote: VoteRow; approval: ApprovalRow }
  | { outcome: 'invalid'; errors: ProblemError[]; approval: ApprovalRow }

/** Casts a vote. Wake the run (a fact `inbox`) when it decided the approval. */
export function decideApproval(sql: Sql, request: DecisionRequest): Promise<DecisionResult> {
  return withTransaction(sql, async (tx) => {
    const locked = await lockApproval(tx, request)
    if (!locked) return { outcome: 'not-found' }
    const { approval, now } = locked
    const refusal = refuse(request, approval, now)
    if (refusal) return refusal
    const vote = await castVote(tx, request, approval, now)
    approval.votes.push(vote)
    const outcome = tally(approval, approval.votes.map(castOf), await eligibleVoters(tx, request, approval))
    if (outcome) await close(tx, approval, outcome, vote)
    return { outcome: 'voted', decided: outcome !== undefined, approval }
  })
}

async function lockApproval(tx: Db, { namespace, approval: ref }: DecisionRequest) {
  const which = 'id' in ref ? tx`id = ${ref.id}` : tx`run_id = ${ref.runId} and path = ${ref.path}`
  const rows = await tx<RawApproval[]>`
    select * from approvals where namespace = ${namespace} and ${which} order by generation desc limit 1 for no key update`
  const [approval] = await withVotes(tx, rows)
  if (!approval) return undefined
  // Read after the lock was given: the wait for it may have been long.
  const [row] = await tx<{ now: number }[]>`select clock_timestamp()::timestamptz(3) as now`
  return { approval, now: row!.now }
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

async function castVote(tx: Db, request: DecisionRequest, approval: ApprovalRow, now: number): Promise<VoteRow> {
  const { voter, decision, comment, data, namespace } = request
  const [vote] = await tx<VoteRow[]>`
    insert into approval_votes (namespace, approval_id, voter, name, role, groups, decision, comment, data, at)
    values (${namespace}, ${approval.id}, ${voter.id}, ${voter.name}, ${voter.role}, ${[...voter.groups]}::text[], ${decision}, ${comment},
            ${JSON.stringify(data)}::text::json, ${now}::timestamptz)
    returning voter, name, role, groups, decision, comment, data, at`
  return vote!
}

function castOf(vote: VoteRow) {
  return { voter: { id: vote.voter, name: vote.name, role: vote.role, groups: vote.groups }, decision: vote.decision }
}

/** Everybody who may vote, as far as they are known: keys of the namespace, admins of every namespace, and people who are named but have no key. */
async function eligibleVoters(tx: Db, request: DecisionRequest, approval: ApprovalRow): Promise<Voter[]> {
  const keys = await tx<Voter[]>`
    select 'key_' || id as id, name, role, groups from api_keys
     where revoked_at is null and (namespace = ${request.namespace} or role = 'admin')`
  const known = [...keys, ...(request.otherVoters ?? [])].filter((voter) => isEligible(approval.assignees, voter))
  const names = new Set([...known, ...approval.votes].map((voter) => voter.name))
  const unknown = approval.assignees
    .filter((entry) => entry.startsWith('user:') && !names.has(entry.slice(5)))
    .map((entry): Voter => ({ id: entry, name: entry.slice(5), role: '', groups: [] }))
  return [...known, ...unknown].filter((voter) => approval.allowSelf || voter.id !== approval.startedBy)
}

async function close(tx: Db, approval: ApprovalRow, outcome: Outcome, vote: VoteRow): Promise<void> {
  const { decision, rejects } = outcome
  await tx`
    update approvals set status = 'decided', decision = ${decision}, closed_at = ${vote.at}::timestamptz
     where id = ${approval.id} and status = 'pending'`
  Object.assign(approval, { status: 'decided', decision, closedAt: vote.at })
  const inFavour = approval.votes.filter((cast) => cast.decision === decision)
  const fact: InboxFact = {
    kind: 'approval-decided',
    path: approval.path,
    generation: approval.generation,
    approvalId: approval.id,
    decision,
    rejects,
    comment: vote.comment,
    data: vote.data,
    decidedBy: (inFavour.length > 0 ? inFavour : approval.votes).map((cast) => cast.name),
    decidedAt: vote.at,
  }
  await addToInbox(tx, approval.namespace, approval.runId, fact)
}
