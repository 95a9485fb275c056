/**
 * A run goes on by another definition (CONTRACT §4). Judged while nobody else can write the run: what has started stays as it is, and the events
 * so far fold to the same under the new definition.
 */
import { isTerminal, type Json, type PatchOperation, type ProblemError } from '@baton/contracts'
import { applyPatch, compile, type Finding, PatchFailed, type Plan, patchConflicts, type RunState, refoldUnder } from '@baton/engine'
import { problem } from '@baton/runtime'
import { addAudit, addToInbox, type Db, lockRun, patchRun, type RunRow, type Sql, withTransaction } from '@baton/store'
import type { Asker } from './asker.ts'
import { invalidDefinition } from './invalid-definition.ts'
import { invalidRequest } from './route.ts'
import type { FoldRun } from './run-states.ts'
import type { LoadWhole } from './whole-runs.ts'

/** How large definitions may be. */
export interface DefinitionLimits {
  definitionBytesMax: number
  stepsMax: number
  nestingMax: number
}

export interface PatchDeps {
  foldRun: FoldRun
  loadWhole: LoadWhole
  limits: DefinitionLimits
}

/** A patch that may be written: the run as it stands under the new definition. */
export interface JudgedPatch {
  row: RunRow
  state: RunState
  definition: Json
  checksum: string
  patch: readonly PatchOperation[]
}

/** Compiles a definition that a patch made. */
export function readPatched(definition: Json, workflow: string, limits: DefinitionLimits): { plan: Plan | null; errors: Finding[] } {
  return compile(definition, { name: workflow, limits })
}

/** Throws 409 for a run whose definition can no longer matter, or only to compensations. */
export function refusePatching({ status, ending }: Pick<RunRow, 'status' | 'ending'>): void {
  if (status === 'succeeded') throw problem('BTN_RUN_STATE', 'the definition of a run that has succeeded cannot be changed')
  if (ending && !isTerminal(status)) throw problem('BTN_RUN_STATE', `the definition of a run that is ending as ${ending} cannot be changed`)
}

/** Throws 412 when the run does not execute this version of its definition; `any` is met by all. */
export function refuseOtherVersion(row: RunRow, expected: number | 'any'): void {
  if (expected === 'any' || expected === row.definitionVersion) return
  throw problem('BTN_PRECONDITION_FAILED', `the run executes version ${row.definitionVersion} of its definition, not ${expected}`)
}

/** Patches the definition of a run. Gives its new version, or the one it had when the patch changes nothing. */
export function patchDefinition(
  deps: PatchDeps & { sql: Sql },
  runId: string,
  asked: { operations: readonly PatchOperation[]; expected: number | 'any' },
  by: Asker,
): Promise<{ definitionVersion: number; isChanged: boolean }> {
  return withTransaction(deps.sql, async (tx) => {
    const row = await lockRun(tx, by.namespace, runId)
    if (!row) throw problem('BTN_RUN_NOT_FOUND', 'no such run')
    refuseOtherVersion(row, asked.expected)
    refusePatching(row)
    const run = await deps.loadWhole(tx, row)
    if (run.state.compensations.length > 0) throw problem('BTN_RUN_COMPENSATED', 'the run has begun to compensate')
    const patch = asked.operations.map(withoutWrapper)
    const definition = applyOr422(run.compiled.definition, patch)
    refuseConflicts(patchConflicts(run.state, run.compiled.definition, definition))
    const { plan, errors } = readPatched(definition, row.workflow, deps.limits)
    if (!plan || errors.length > 0) throw invalidDefinition(errors)
    if (plan.checksum === row.checksum) return { definitionVersion: row.definitionVersion, isChanged: false }
    refuseConflicts(patchConflicts(run.state, run.compiled.definition, definition, plan))
    const state = refoldUnder(plan, run.state, run.events)
    if (!state) throw problem('BTN_RUN_STATE', 'the patch changes what has run already')
    const definitionVersion = await writePatch(tx, { row, state, definition, checksum: plan.checksum, patch }, by)
    if (!isTerminal(row.status)) await addToInbox(tx, row.namespace, row.id, { kind: 'patched', by: by.id })
    return { definitionVersion, isChanged: true }
  })
}

/** Writes a patch that was judged under the lock of the run, with its audit. Gives the new version. */
export async function writePatch(tx: Db, judged: JudgedPatch, by: Asker, why: Record<string, Json> = {}): Promise<number> {
  const { row, state, definition, checksum } = judged
  const definitionVersion = row.definitionVersion + 1
  const patch = judged.patch as unknown as Json
  const { id: runId, namespace, seq } = row
  const data = { by: by.id, patch, ...why }
  const isWritten = await patchRun(tx, { runId, namespace, seq, at: state.at, checksum, definition, definitionVersion, data })
  if (!isWritten) throw new Error(`run ${runId} moved although it was locked`)
  const audited = { definitionVersion, patch, ...why }
  await addAudit(tx, { namespace, actor: by.id, action: 'run.patch', runId, requestId: by.requestId, data: audited })
  return definitionVersion
}

/** GET shows the definition beside its version; a patch may be written for that, or for the definition alone, which has no key of that name. */
function withoutWrapper<T extends PatchOperation>(operation: T): T {
  const strip = (pointer: string) => (/^\/definition(\/|$)/.test(pointer) ? pointer.slice('/definition'.length) : pointer)
  return { ...operation, path: strip(operation.path), ...('from' in operation ? { from: strip(operation.from) } : {}) }
}

function applyOr422(definition: Json, patch: readonly PatchOperation[]): Json {
  try {
    return applyPatch(definition, patch)
  } catch (error) {
    if (!(error instanceof PatchFailed)) throw error
    const errors = [{ pointer: error.at, message: error.message }]
    throw error.isTest ? problem('BTN_CONFLICT', `${error.at}: ${error.message}`, { errors }) : invalidRequest(errors)
  }
}

function refuseConflicts(errors: ProblemError[]): void {
  const [first] = errors
  if (first) throw problem('BTN_RUN_STATE', `${first.pointer}: ${first.message}`, { errors })
}
