/** `approval` to its plan: options normalised, quorum and timeouts checked for sense. */
import { type ApprovalBody, type ApprovalOption, type Json, ROLES } from '@baton/contracts'
import { checkSupported, isObject, report } from './compilation.ts'
import { checkSchemaAt } from './compile-shape.ts'
import { compileText, compileValue, foldObject, type Place, textEntries } from './compile-texts.ts'
import type { ApprovalPlan, Template } from './plan.ts'

type Body = ReturnType<typeof ApprovalBody.parse>

/** Compiles the body of `approval`. */
export function compileApproval(place: Place, body: Body, pointer: string, raw: Record<string, Json>): ApprovalPlan {
  const { c } = place
  checkSchemaAt(c, body.form, `${pointer}/form`)
  checkAssignees(place, body, pointer)
  const options = normaliseOptions(place, body, pointer)
  checkComment(place, body, options, pointer)
  const plan: ApprovalPlan = {
    kind: 'approval',
    question: compileQuestion(place, body, pointer, raw),
    ...(body.form === undefined ? {} : { form: body.form }),
    options,
    quorum: body.quorum,
    veto: body.veto,
    allowSelf: body.allowSelf,
    requireComment: body.requireComment,
    onTimeout: body.onTimeout,
    onReject: body.onReject,
  }
  if (raw.notify !== undefined) plan.notify = compileNotify(place, raw.notify, `${pointer}/notify`)
  for (const key of ['reminders', 'escalate'] as const) {
    if (raw[key] === undefined) continue
    checkSupported(c, `approval.${key}`, `${pointer}/${key}`)
    plan[key] = compileValue(place, raw[key], `${pointer}/${key}`)
  }
  return plan
}

function compileQuestion(place: Place, body: Body, pointer: string, raw: Record<string, Json>): Template {
  const { assignees } = body
  return foldObject([
    ...textEntries(place, body, ['title', 'description'], pointer),
    ...(raw.data === undefined ? [] : [['data', compileValue(place, raw.data, `${pointer}/data`)] as const]),
    // Not as text: an expression may give a list.
    ...(assignees === undefined ? [] : [['assignees', compileValue(place, assignees, `${pointer}/assignees`)] as const]),
    ...(body.timeout === undefined ? [] : [['timeout', compileText(place, body.timeout, `${pointer}/timeout`)] as const]),
  ])
}

const ASSIGNEE = /^(?:(?:user|group):.+|role:(.+))$/

function checkAssignees(place: Place, body: Body, pointer: string): void {
  const { assignees, quorum } = body
  const written = assignees === undefined ? [] : [assignees].flat()
  written.forEach((assignee, i) => {
    const at = Array.isArray(assignees) ? `${pointer}/assignees/${i}` : `${pointer}/assignees`
    if (assignee.includes('${{')) return
    const match = ASSIGNEE.exec(assignee)
    if (!match) report(place.c, at, 'must be user:<name>, group:<name> or role:<role>')
    else if (match[1] && !(ROLES as readonly string[]).includes(match[1]))
      report(place.c, at, `unknown role; the roles are ${ROLES.join(', ')}`)
  })
  const people = written.length > 0 && written.every((assignee) => assignee.startsWith('user:') && !assignee.includes('${{'))
  if (people && typeof quorum === 'number' && quorum > new Set(written).size) {
    report(place.c, `${pointer}/quorum`, `the quorum of ${quorum} can never be met by ${new Set(written).size} people`)
  }
}

const DEFAULT_OPTIONS: ApprovalOption[] = [
  { id: 'approve', approves: true },
  { id: 'reject', rejects: true },
]

/** At most one option approves, by default the one named approve; at most one rejects, by default the one named reject. */
function normaliseOptions(place: Place, body: Body, pointer: string): ApprovalOption[] {
  if (!body.options) return DEFAULT_OPTIONS
  const options = body.options.map((option): ApprovalOption => (typeof option === 'string' ? { id: option } : withoutUndefined(option)))
  const at = (i: number) => `${pointer}/options/${i}`
  options.forEach((option, i) => {
    if (options.findIndex((other) => other.id === option.id) < i) report(place.c, at(i), `the option ${option.id} stands twice`)
    if (option.approves && option.rejects) report(place.c, at(i), `the option ${option.id} cannot both approve and reject`)
  })
  for (const [mark, name] of [['approves', 'approve'] as const, ['rejects', 'reject'] as const])
    markOne(place, options, mark, name, pointer)
  if (body.onTimeout === 'approve' && !options.some((option) => option.approves)) {
    report(place.c, `${pointer}/onTimeout`, 'no option approves: mark one with approves: true, or name it approve')
  }
  return options
}

function markOne(place: Place, options: ApprovalOption[], mark: 'approves' | 'rejects', name: string, pointer: string): void {
  const marked = options.flatMap((option, i) => (option[mark] ? [i] : []))
  for (const extra of marked.slice(1)) report(place.c, `${pointer}/options/${extra}`, `only one option may have ${mark}: true`)
  const other = mark === 'approves' ? 'rejects' : 'approves'
  const named = options.find((option) => option.id === name && option[mark] === undefined && !option[other])
  if (marked.length === 0 && named) named[mark] = true
}

function withoutUndefined(option: Exclude<NonNullable<Body['options']>[number], string>): ApprovalOption {
  return Object.fromEntries(Object.entries(option).filter(([, value]) => value !== undefined)) as ApprovalOption
}

function checkComment(place: Place, body: Body, options: readonly ApprovalOption[], pointer: string): void {
  if (!Array.isArray(body.requireComment)) return
  body.requireComment.forEach((id, i) => {
    if (!options.some((option) => option.id === id)) report(place.c, `${pointer}/requireComment/${i}`, `there is no option ${id}`)
  })
}

const CHANNELS: readonly string[] = ['webhook', 'slack', 'email']

/** Always a list; only here may an approval mention secrets. */
function compileNotify(place: Place, notify: Json, pointer: string): Template {
  const list = Array.isArray(notify) ? notify : [notify]
  list.forEach((entry, i) => {
    const at = Array.isArray(notify) ? `${pointer}/${i}` : pointer
    const keys = isObject(entry) ? Object.keys(entry) : []
    const unknown = keys.filter((key) => !CHANNELS.includes(key))
    for (const key of unknown)
      report(place.c, `${at}/${key}`, `unknown key ${JSON.stringify(key)}; it must be ${CHANNELS.join(' or ')}`, { of: 'key' })
    if (unknown.length === 0 && keys.length !== 1) report(place.c, at, `must have one of ${CHANNELS.join(', ')}`)
  })
  const template = compileValue({ ...place, secrets: true }, notify, pointer)
  if (Array.isArray(notify)) return template
  return template.type === 'literal' ? { type: 'literal', value: [template.value] } : { type: 'list', items: [template] }
}
