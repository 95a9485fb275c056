/** One step: its common keys and its one kind. */
import { CommonKeys, type Json, parseDuration, type Retry, STEP_KINDS, type StepKind } from '@baton/contracts'
import { type Compilation, checkSupported, isObject, type OpenScope, report, type StepDraft } from './compilation.ts'
import { compileKind } from './compile-kinds.ts'
import { checkShape } from './compile-shape.ts'
import { compileCondition, compileValue, type Place } from './compile-texts.ts'
import { innerScopes } from './graph.ts'
import { escapePointer } from './json-pointers.ts'
import type { KindPlan, Need, OnErrorPlan, PlanStep, RetryPlan } from './plan.ts'

/** A dependency as it was written. */
interface WrittenNeed {
  id: string
  require: Need['require']
  pointer: string
}

/** A step of which all is known but its place among the others. */
export interface DraftedStep {
  draft: StepDraft
  plan: Omit<PlanStep, 'index' | 'needs' | 'dependents' | 'vars' | 'usesNow'>
  written: WrittenNeed[]
}

const COMMON_KEYS: ReadonlySet<string> = new Set(Object.keys(CommonKeys.shape))
const KINDS: ReadonlySet<string> = new Set(STEP_KINDS)
/** Kinds whose timeout bounds the whole wait and stands in their body. */
const TIMEOUT_IN_BODY: ReadonlySet<StepKind> = new Set(['approval', 'waitFor'])
const COMPENSATE_ATTEMPTS = 5
/** The timeout of a run that is ending counts no more, nor can it be cancelled: nothing else would end the wait. */
const WAITS_FOR_EVER = 'is required: a compensation with callback: true must bound its wait; write for example timeout: 24h beside http'
const CONTAINERS: ReadonlySet<StepKind> = new Set(['switch', 'forEach', 'loop'])
/** Stands in for a kind that could not be compiled; such a plan is never given out. */
const NOTHING: KindPlan = { kind: 'set', value: { type: 'literal', value: null } }

type Common = ReturnType<typeof CommonKeys.parse>

/** Compiles one step. */
export function compileStep(c: Compilation, draft: StepDraft, body: Record<string, Json>, scope: OpenScope): DraftedStep {
  const { pointer } = draft
  const raw: Record<string, Json> = {}
  for (const key of Object.keys(body)) {
    if (COMMON_KEYS.has(key)) raw[key] = body[key]!
    else if (!KINDS.has(key)) report(c, `${pointer}/${escapePointer(key)}`, `unknown key ${JSON.stringify(key)}`, { of: 'key' })
  }
  const kind = readKind(c, body, pointer)
  draft.kind = kind
  const place: Place = { c, scope }
  const common: Partial<Common> = checkShape<Common>(c, CommonKeys, raw, pointer) ?? {}
  const plan: DraftedStep['plan'] = {
    id: draft.id,
    kind: kind ?? 'set',
    name: common.name ?? draft.id,
    ...(common.if === undefined ? {} : { condition: compileCondition(place, common.if, `${pointer}/if`) }),
    join: common.join ?? 'all',
    ...timeoutOf(c, common, kind, pointer),
    retry: compileRetry(place, common.retry, `${pointer}/retry`, 1),
    onError: compileOnError(place, common.onError, pointer),
    body: (kind && compileKind(place, kind, body[kind]!, `${pointer}/${kind}`)) ?? NOTHING,
  }
  if (common.compensate !== undefined) {
    const compensate = compileCompensate(place, common.compensate, `${pointer}/compensate`)
    if (compensate) plan.compensate = { ...compensate, name: `${plan.name} (compensation)` }
    checkNoneInside(c, plan.body, `${pointer}/compensate`)
  }
  return { draft, plan, written: writtenNeeds(common.needs, pointer) }
}

function readKind(c: Compilation, body: Record<string, Json>, pointer: string): StepKind | undefined {
  const kinds = STEP_KINDS.filter((kind) => Object.hasOwn(body, kind))
  if (kinds.length === 0) report(c, pointer, `the step has no kind: one of ${STEP_KINDS.join(', ')}`, { of: 'key' })
  if (kinds.length > 1) report(c, pointer, `the step has more than one kind: ${kinds.join(', ')}`, { of: 'key' })
  return kinds.length === 1 ? kinds[0] : undefined
}

function timeoutOf(c: Compilation, common: Partial<Common>, kind: StepKind | undefined, pointer: string): { timeoutMs?: number } {
  if (common.timeout === undefined) return {}
  if (kind && TIMEOUT_IN_BODY.has(kind)) {
    report(c, `${pointer}/timeout`, `the timeout of ${kind} stands in its body: ${kind}.timeout`, { of: 'key' })
    return {}
  }
  return { timeoutMs: parseDuration(common.timeout)! }
}

function writtenNeeds(needs: Common['needs'] | undefined, pointer: string): WrittenNeed[] {
  if (needs === undefined) return []
  const all = Array.isArray(needs) ? needs : [needs]
  return all.map((need, i) => {
    const at = Array.isArray(needs) ? `${pointer}/needs/${i}` : `${pointer}/needs`
    return typeof need === 'string'
      ? { id: need, require: 'satisfied', pointer: at }
      : { id: need.step, require: need.require ?? 'satisfied', pointer: at }
  })
}

function compileRetry(place: Place, retry: Common['retry'], pointer: string, attempts: number): RetryPlan {
  const written: Partial<ReturnType<typeof Retry.parse>> = retry ?? {}
  return {
    attempts: retry ? written.attempts! : attempts,
    backoff: written.backoff ?? 'exponential',
    initialMs: parseDuration(written.initial ?? '1s')!,
    maxMs: parseDuration(written.max ?? '60s')!,
    jitter: written.jitter !== false,
    ...(written.on === undefined ? {} : { on: compileCondition({ ...place, variables: ['error'] }, written.on, `${pointer}/on`) }),
  }
}

function compileOnError(place: Place, onError: Common['onError'] | undefined, pointer: string): OnErrorPlan {
  if (typeof onError !== 'object') return { mode: onError ?? 'fail' }
  return { mode: 'output', output: compileValue(place, onError.output, `${pointer}/onError/output`) }
}

/** A compensation runs after its step, so it may mention it; and it waits for nothing. */
function compileCompensate(place: Place, compensate: Json, pointer: string): PlanStep | undefined {
  const { c } = place
  checkSupported(c, 'compensate', pointer)
  if (!isObject(compensate)) {
    report(c, pointer, 'must be a step body: one kind, and retry')
    return undefined
  }
  for (const key of Object.keys(compensate)) {
    if (key === 'retry' || key === 'timeout' || KINDS.has(key)) continue
    report(c, `${pointer}/${escapePointer(key)}`, `unknown key ${JSON.stringify(key)}`, { of: 'key' })
  }
  const kind = readKind(c, compensate, pointer)
  const { retry, timeout } = compensate
  const common: Partial<Common> =
    checkShape<Common>(
      c,
      CommonKeys,
      { ...(retry === undefined ? {} : { retry }), ...(timeout === undefined ? {} : { timeout }) },
      pointer,
    ) ?? {}
  const after: Place = { ...place, afterwards: true }
  const tries = compileRetry(after, common.retry, `${pointer}/retry`, COMPENSATE_ATTEMPTS)
  if (!kind) return undefined
  if (CONTAINERS.has(kind)) {
    report(c, `${pointer}/${kind}`, `a compensation is one step without steps inside; ${kind} is not`, { of: 'key' })
    return undefined
  }
  const body = compileKind(after, kind, compensate[kind]!, `${pointer}/${kind}`)
  if (!body) return undefined
  if (body.kind === 'http' && body.callback && timeout === undefined && !c.stored) report(c, `${pointer}/timeout`, WAITS_FOR_EVER)
  return {
    ...{ id: 'compensate', index: -1, kind, name: '', needs: [], join: 'all' as const, dependents: [] },
    ...timeoutOf(c, common, kind, pointer),
    ...{ retry: tries, onError: { mode: 'fail' as const }, body, vars: [], usesNow: false },
  }
}

/** The path of a compensation must not be that of a step inside. */
function checkNoneInside(c: Compilation, body: KindPlan, pointer: string): void {
  if (body.kind !== 'switch') return
  if (innerScopes({ body }).some((scope) => scope.byId.has('compensate'))) {
    report(c, pointer, 'a step inside is named compensate; rename it', { of: 'key' })
  }
}
