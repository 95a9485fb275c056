/** Reading approvals and voting on them. */
import { Approval, ApprovalListQuery, type Fact, idOf, type Json, listOf, uuidOf } from '@baton/contracts'
import { validateAgainst } from '@baton/engine'
import { problem } from '@baton/runtime'
import { type ApprovalRow, type DecisionResult, decideApproval, getApproval, type InboxRow, isEligible, listApprovals } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { ADMIN } from '../access.ts'
import type { Deps } from '../app.ts'
import { VoteBody } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { timeOf } from '../public-shapes.ts'
import { isDeeperThan } from '../read-input.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { findRun } from '../show-run.ts'
import { traceVote } from '../trace-vote.ts'

const tag = 'approvals'

const ListQuery = ApprovalListQuery.extend({
  assignee: z.literal('me').optional().describe('those that the caller may decide'),
  run: z
    .string()
    .refine((id) => uuidOf('run', id) !== undefined, 'not a run id')
    .optional(),
})

/** GET /approvals and /approvals/{id}. */
export function approvalRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/approvals',
    tag,
    summary: 'List approvals, newest first',
    description: '`assignee=me` gives those that the caller may decide, pending ones unless a status is given.',
    query: ListQuery,
    answers: { 200: listOf(Approval) },
    async handle({ caller, query }) {
      const filter = {
        status: query.status,
        assignee: query.assignee && caller,
        runId: query.run === undefined ? undefined : uuidOf('run', query.run),
      }
      const { items, nextCursor } = await listApprovals(sql, caller.namespace, filter, query)
      return { items: items.map(approvalOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/approvals/:id',
    tag,
    summary: 'An approval with its votes',
    answers: { 200: Approval },
    find: ({ caller, params }) => findById(sql, caller, params.id),
    handle: ({ found }) => approvalOf(found),
  })
}

type Vote = z.output<typeof VoteBody>

/** The two ways to decide: by the id of the approval, and by run and step path. */
export function decisionRoutes(app: FastifyInstance, deps: Deps): void {
  const { sql } = deps
  const shared = {
    method: 'POST',
    tag,
    summary: 'Vote on an approval; votes are final',
    description: '`data` is checked against the form. 403 says why the caller may not decide, 409 that it is too late.',
    body: VoteBody,
    answers: { 200: Approval },
    problems: [400, 409, 413, 415],
    check: (approval: ApprovalRow, { caller }: { caller: Caller }) => refuse(foresee(approval, caller)),
    handle: ({ caller, found, body, request }: { caller: Caller; found: ApprovalRow; body: Vote; request: FastifyRequest }) =>
      traceVote(deps, request, found, () => vote(deps, caller, found, body)),
  } as const

  addRoute(app, {
    ...shared,
    url: '/api/v1/approvals/:id/decision',
    find: ({ caller, params }) => findById(sql, caller, params.id),
  })
  addRoute(app, {
    ...shared,
    url: '/api/v1/runs/:id/approvals/:path/decision',
    async find({ caller, params }) {
      const uuid = uuidOf('run', params.id)
      const approval = uuid && (await getApproval(sql, caller.namespace, { runId: uuid, path: params.path }))
      if (approval) return approval
      await findRun(sql, caller.namespace, params.id)
      throw problem('BTN_APPROVAL_NOT_FOUND', `step ${params.path.slice(0, 100)} of the run has asked for no approval`)
    },
  })
}

async function findById(sql: Deps['sql'], caller: Caller, id: string): Promise<ApprovalRow> {
  const uuid = uuidOf('approval', id)
  const approval = uuid && (await getApproval(sql, caller.namespace, { id: uuid }))
  if (!approval) throw problem('BTN_APPROVAL_NOT_FOUND', `no approval ${id.slice(0, 100)}`)
  return approval
}

async function vote(deps: Deps, caller: Caller, found: ApprovalRow, body: Vote): Promise<Approval> {
  const { sql, facts, metrics, settings } = deps
  const data = body.data ?? null
  const result = await decideApproval(sql, {
    namespace: caller.namespace,
    approval: { id: found.id },
    seen: found,
    voter: caller,
    decision: body.decision,
    comment: body.comment ?? null,
    data,
    validate: (row) => problemsOf(row, body, settings.BATON_JSON_DEPTH_MAX),
    otherVoters: [ADMIN],
  })
  metrics.votes.inc({ outcome: result.outcome })
  refuse(result)
  if (result.outcome !== 'voted') throw problem('BTN_INTERNAL', `a vote ended as ${result.outcome}`)
  // A wake-up only: the decision stands in Postgres.
  if (result.decided) facts.send(wakeUpOf(result.decided)).catch(() => {})
  return approvalOf(result.approval)
}

/** Streams hold small entries; the runner reads a large row itself. */
const ROW_CHARS_MAX = 16 * 1024

function wakeUpOf({ id, runId, fact }: InboxRow): Fact {
  return JSON.stringify(fact).length > ROW_CHARS_MAX ? { kind: 'inbox', runId } : { kind: 'inbox', runId, row: { id, fact } }
}

function problemsOf(approval: ApprovalRow, { decision, data }: { decision: string; data?: Json }, depthMax: number) {
  if (isDeeperThan(data, depthMax)) return [{ pointer: '/data', message: `is nested deeper than ${depthMax} levels` }]
  if (approval.form === null) return []
  // Who rejects owes no form; whoever fills it in anyway is held to it.
  const rejects = approval.options.some((option) => option.id === decision && option.rejects)
  return data === undefined && rejects ? [] : validateAgainst(approval.form, data === undefined ? {} : data, '/data')
}

/** The refusals that can be told before the body is looked at; the transaction of the vote judges again. */
function foresee(approval: ApprovalRow, caller: Caller): DecisionResult | undefined {
  if (!isEligible(approval.assignees, caller)) return { outcome: 'not-eligible', approval }
  if (!approval.allowSelf && approval.startedBy === caller.id) return { outcome: 'self', approval }
  const own = approval.votes.find((cast) => cast.voter === caller.id)
  if (own) return { outcome: 'already-voted', vote: own, approval }
  return approval.status === 'pending' ? undefined : { outcome: 'closed', status: approval.status, approval }
}

/** Throws what a refusal is answered with. */
function refuse(result: DecisionResult | undefined): void {
  switch (result?.outcome) {
    case 'not-found':
      throw problem('BTN_APPROVAL_NOT_FOUND', 'no such approval')
    case 'not-eligible':
      throw problem('BTN_NOT_ELIGIBLE', `only ${result.approval.assignees.join(', ')} may decide this approval`)
    case 'self':
      throw problem('BTN_SELF_APPROVAL', 'you started the run, and its definition does not let you decide (allowSelf: true would)')
    case 'already-voted':
      throw problem('BTN_ALREADY_VOTED', `you voted "${result.vote.decision}" at ${timeOf(result.vote.at)}; votes are final`)
    case 'closed':
      throw problem('BTN_APPROVAL_STATE', `the approval is ${result.status}${decisionOf(result.approval)}`)
    case 'invalid':
      throw invalidRequest(result.errors)
  }
}

function decisionOf({ decision }: ApprovalRow): string {
  return decision === null ? '' : `: ${decision}`
}

/** An approval with its votes as the API shows it. */
export function approvalOf(row: ApprovalRow): Approval {
  return {
    id: idOf('approval', row.id),
    run: idOf('run', row.runId),
    step: row.path,
    status: row.status,
    title: row.title,
    description: row.description,
    data: row.data,
    form: row.form,
    options: row.options,
    assignees: row.assignees,
    quorum: row.quorum,
    decisions: row.votes.map(({ name, decision, comment, data, at }) => ({ by: name, decision, comment, data, at: timeOf(at) })),
    decision: row.decision,
    createdAt: timeOf(row.createdAt),
    deadline: row.deadline === null ? null : timeOf(row.deadline),
  }
}
