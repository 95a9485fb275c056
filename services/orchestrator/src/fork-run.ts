/** Forks: a new run that begins with what another one has done (CONTRACT §4). The run that it is forked from is not changed. */
import { type BlobRef, type Json, newUuid, type ProblemError } from '@baton/contracts'
import { forkOf, type Plan } from '@baton/engine'
import { problem } from '@baton/runtime'
import { addAudit, createFork, getRun, putBlobs, type RunRow, type Sql, withTransaction } from '@baton/store'
import type { Asker } from './asker.ts'
import { type CheckedInput, type InputLimits, readInput } from './read-input.ts'
import { findRefs } from './resolve-blobs.ts'
import type { LoadWhole } from './whole-runs.ts'

export interface ForkDeps {
  sql: Sql
  loadWhole: LoadWhole
  inputLimits: InputLimits
}

/** Whose trace the fork belongs to. */
type ForkAsker = Asker & { trace: string }

/** Makes a fork, durable when it resolves. 404 or 422 for a step that it cannot be from, 422 for an input that does not fit. */
export async function forkRun(
  deps: ForkDeps,
  source: RunRow,
  { from, input }: { from: string; input?: Json | undefined },
  by: ForkAsker,
): Promise<RunRow> {
  const { state, compiled, events } = await deps.loadWhole(deps.sql, source)
  const copied = forkOf(state, events, from)
  if ('refused' in copied) throw refusal(copied)
  const checked = input === undefined ? { input: source.input } : checkInput(compiled.plan, input, deps.inputLimits)
  const { namespace, workflow, version, checksum, labels, priority } = source
  const run = {
    ...{ id: newUuid(), namespace, workflow, version, checksum, labels, priority, input: checked.input },
    ...(compiled.plan.timeoutMs === undefined ? {} : { timeoutMs: compiled.plan.timeoutMs }),
    ...{ startedBy: by.id, trace: by.trace, requestId: by.requestId, forkedFrom: source.id },
  }
  const blobs = new Set([run.input as Json, ...copied.events.map(({ data }) => data)].flatMap(findRefs))
  return withTransaction(deps.sql, async (tx) => {
    if ('blob' in checked && checked.blob) await putBlobs(tx, namespace, new Map([[checked.blob.id, checked.blob.text]]))
    await createFork(tx, { run, from, events: copied.events, blobs: [...blobs] })
    const entry = { namespace, actor: by.id, action: 'run.fork' as const, runId: source.id, requestId: by.requestId }
    await addAudit(tx, { ...entry, data: { fork: `run_${run.id}`, from, withInput: input !== undefined } })
    return (await getRun(tx, namespace, run.id))!
  })
}

function refusal({ refused, isUnknown }: { refused: string; isUnknown: boolean }): Error {
  const errors = [{ pointer: '/from', message: refused }]
  return problem(isUnknown ? 'BTN_STEP_NOT_FOUND' : 'BTN_INVALID_REQUEST', refused, { errors })
}

function checkInput(plan: Plan, input: Json, limits: InputLimits): CheckedInput | { input: Json | BlobRef } {
  const checked = readInput(plan, input, '/input', limits)
  if ('errors' in checked) throw invalidInput(checked.errors)
  return checked
}

/** 422 for an input that the schema of its workflow does not take. */
export function invalidInput(errors: ProblemError[]): Error {
  const [first] = errors
  return problem('BTN_INVALID_INPUT', `${first!.pointer}: ${first!.message}`, { errors })
}
