/** From what a schedule or a trigger says, and the input that it made, to a run that may be stored. */
import { type Json, newUuid } from '@baton/contracts'
import { ExpressionError } from '@baton/engine'
import { ProblemException, problem } from '@baton/runtime'
import { createRuns, type Db, putBlobs, type Sql } from '@baton/store'
import { chooseVersion } from './choose-version.ts'
import type { Resolve } from './draft-runs.ts'
import type { GetPlan } from './plan-cache.ts'
import { type InputLimits, readInput } from './read-input.ts'
import type { RunToStart, StartedRun } from './start-runs.ts'

/** What starts the run, and what it is to be. */
export interface RunOrigin {
  namespace: string
  /** `schedule:<name>` or `trigger:<name>`: no person's, so that whoever made the schedule may decide in its runs. */
  startedBy: string
  workflow: string
  version?: number | undefined
  tag?: string | undefined
  labels: Record<string, string>
  priority?: number | undefined
  trace?: string | undefined
  requestId?: string | undefined
  idempotencyKey?: string | undefined
}

export interface DraftDeps {
  resolve: Resolve
  getPlan: GetPlan
  limits: InputLimits
}

export type DraftTriggeredRun = (origin: RunOrigin, input: Json) => Promise<RunToStart>

/** Makes what drafts such runs. It throws a problem when there is no such workflow, it is archived, or the input does not suit it. */
export function createDraftTriggeredRun({ resolve, getPlan, limits }: DraftDeps): DraftTriggeredRun {
  return async (origin, input) => {
    const { namespace, workflow, version, tag, priority, trace, requestId, idempotencyKey } = origin
    const found = await resolve({ namespace }, workflow, {
      ...(version === undefined ? {} : { version }),
      ...(tag === undefined ? {} : { tag }),
    })
    if (found.archived) throw problem('BTN_WORKFLOW_ARCHIVED', `workflow ${workflow} is archived`)
    const id = newUuid()
    const chosen = chooseVersion(found, id)
    const { plan } = await getPlan(namespace, workflow, chosen.checksum)
    const checked = readInput(plan, input, '/input', limits)
    if ('errors' in checked) {
      const [first] = checked.errors
      throw problem('BTN_INVALID_INPUT', `${first!.pointer}: ${first!.message}`, { errors: checked.errors })
    }
    return {
      id,
      namespace,
      workflow,
      version: chosen.version,
      checksum: chosen.checksum,
      startedBy: origin.startedBy,
      labels: origin.labels,
      ...checked,
      ...(plan.timeoutMs === undefined ? {} : { timeoutMs: plan.timeoutMs }),
      ...(priority === undefined ? {} : { priority }),
      ...(trace === undefined ? {} : { trace }),
      ...(requestId === undefined ? {} : { requestId }),
      // The key names what came, whatever became of its content: the same delivery or slot is the same run.
      ...(idempotencyKey === undefined ? {} : { idempotency: { key: idempotencyKey, bodyHash: 'triggered' } }),
    }
  }
}

/** Why a run could not be started, when that lies in what was asked for; undefined when something else went wrong, which may pass. */
export function refusalOf(error: unknown): string | undefined {
  if (error instanceof ProblemException) return `${error.code}: ${error.message}`.slice(0, 1_000)
  return error instanceof ExpressionError ? `${error.code}: ${error.message}`.slice(0, 1_000) : undefined
}

/**
 * Stores such runs in the transaction `tx`. Payloads go beside it, by the pool: one without a run is collected, and two transactions that write the
 * same payloads need not wait for each other.
 */
export async function storeTriggered(sql: Sql, tx: Db, runs: readonly RunToStart[]): Promise<StartedRun[]> {
  for (const [namespace, own] of Map.groupBy(runs, (run) => run.namespace)) {
    await putBlobs(sql, namespace, new Map(own.flatMap(({ blob }) => (blob ? [[blob.id, blob.text] as const] : []))))
  }
  const { at, runs: created } = await createRuns(tx, runs)
  return created.map((run) => ({ ...run, at }))
}
