/** Approvals: how the question is put, and what its decision or its silence means. */
import type { Json } from '@baton/contracts'
import { idOf, parseDuration } from '@baton/contracts'
import { type ApprovalDecided, clearTimer, type Deciding, emit, errorOf, setTimer, timeText } from './deciding.ts'
import type { ApprovalOpening } from './decision.ts'
import { approvalIdOf, endStep, failStep, recordDecision } from './end-step.ts'
import { ExpressionError } from './expression-error.ts'
import type { ApprovalPlan, Env } from './plan.ts'
import type { StepState } from './state.ts'
import { renderTemplate, renderWithSecrets, textOf } from './templates.ts'

const ASSIGNEE = /^(user|group|role):.+$/

/** Puts the question: a row for the people, a timer for its deadline. */
export function openApproval(d: Deciding, step: StepState, body: ApprovalPlan, env: Env): void {
  const question = renderTemplate(body.question, env) as Record<string, Json>
  const assignees = assigneesOf(question.assignees)
  if (!assignees) {
    const message = `assignees of step ${step.path} must be user:<name>, group:<name> or role:<role>, or a list of these; got ${JSON.stringify(question.assignees)}`
    return failStep(d, step, errorOf('BTN_APPROVAL_ASSIGNEES', message), false)
  }
  const deadline = deadlineOf(d, step, question.timeout)
  const notify = body.notify ? renderWithSecrets(body.notify, env) : undefined
  const id = d.ctx.newUuid()
  const opening: ApprovalOpening = {
    id,
    path: step.path,
    generation: step.generation,
    title: textOf(question.title ?? ''),
    description: question.description === undefined ? null : textOf(question.description),
    data: question.data ?? null,
    form: body.form ?? null,
    options: body.options,
    assignees,
    quorum: body.quorum,
    veto: body.veto,
    allowSelf: body.allowSelf,
    requireComment: body.requireComment,
    notify: notify ? notify.value : null,
    notifySecrets: notify && notify.secrets.length > 0 ? (notify.secrets as unknown as Json) : null,
    deadline,
  }
  d.decision.approvalsOpened.push(opening)
  if (deadline !== null) setTimer(d, step, 'approval', deadline)
  announce(d, step, opening)
}

function announce(d: Deciding, step: StepState, opening: ApprovalOpening): void {
  const approval = idOf('approval', opening.id)
  const deadline = opening.deadline === null ? null : timeText(opening.deadline)
  const { assignees, title } = opening
  emit(d, 'step.waiting', step.path, {
    generation: step.generation,
    attempt: step.attempt,
    startedAt: timeText(d.ctx.now),
    waitingFor: { kind: 'approval', approval, assignees, deadline },
    ...(deadline === null ? {} : { dueAt: deadline }),
  })
  emit(d, 'approval.opened', step.path, { approval, title, assignees, deadline })
}

function assigneesOf(value: Json | undefined): string[] | undefined {
  if (value === undefined || value === null) return ['role:operator']
  const list = Array.isArray(value) ? value.flat() : [value]
  if (!list.every((entry): entry is string => typeof entry === 'string' && ASSIGNEE.test(entry))) return undefined
  return list.length === 0 ? ['role:operator'] : [...new Set(list)]
}

function deadlineOf(d: Deciding, step: StepState, timeout: Json | undefined): number | null {
  if (timeout === undefined || timeout === null) return null
  const ms = parseDuration(textOf(timeout))
  if (ms === undefined)
    throw new ExpressionError(`"${textOf(timeout)}" in approval.timeout of step ${step.path} is not a duration of at most 100 years`)
  return d.ctx.now + ms
}

/** Takes the outcome that was decided by votes. */
export function takeDecision(d: Deciding, step: StepState, fact: ApprovalDecided): void {
  const { decision, comment, decidedBy } = fact
  const output = recordDecision(d, step, fact)
  if (step.dueAt !== undefined) clearTimer(d, step.path, 'approval')
  finish(d, step, output, fact.rejects, `${decidedBy.at(-1) ?? 'somebody'} decided "${decision}"${comment ? `: ${comment}` : ''}`)
}

/** Its deadline has passed: `onTimeout` says what that means, unless people have decided before. */
export function expireApproval(d: Deciding, step: StepState): void {
  const body = step.step.body as ApprovalPlan
  const approval = approvalIdOf(step)
  const decided = d.decided.find((fact) => idOf('approval', fact.approvalId) === approval)
  if (decided) return takeDecision(d, step, decided)
  const option =
    body.onTimeout === 'fail'
      ? undefined
      : body.options.find((candidate) => (body.onTimeout === 'approve' ? candidate.approves : candidate.rejects))
  const decision = option?.id ?? null
  d.decision.approvalsClosed.push({ id: approval.slice(4), status: 'expired', decision })
  emit(d, 'approval.expired', step.path, { approval, decision })
  if (!option) return failStep(d, step, errorOf('BTN_APPROVAL_TIMEOUT', `nobody decided "${step.path}" in time`), false)
  const output = { decision, comment: null, data: null, decidedBy: [], decidedAt: timeText(d.ctx.now) }
  finish(d, step, output, option.rejects === true, `nobody decided in time, which means "${option.id}"`)
}

function finish(d: Deciding, step: StepState, output: Json, rejected: boolean, message: string): void {
  const body = step.step.body as ApprovalPlan
  if (rejected && body.onReject === 'fail') failStep(d, step, errorOf('BTN_APPROVAL_REJECTED', message), false)
  else endStep(d, step, 'succeeded', { output })
}
