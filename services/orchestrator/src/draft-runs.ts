/** From a request to a run that may be stored, and from that to what is answered. */
import { createHash } from 'node:crypto'
import { idOf, type Json, LIMITS, newUuid, type Run } from '@baton/contracts'
import { canonicalJson, type Plan } from '@baton/engine'
import { problem, traceOf } from '@baton/runtime'
import { type ResolvedVersion, resolveVersion, type Sql } from '@baton/store'
import type { FastifyRequest } from 'fastify'
import type { Caller } from './caller.ts'
import { chooseVersion } from './choose-version.ts'
import type { Settings } from './config.ts'
import type { DefinitionLimits } from './patch-definition.ts'
import { timeOf } from './public-shapes.ts'
import type { InputLimits } from './read-input.ts'
import { invalidRequest } from './route.ts'
import { shareLookups } from './share-lookups.ts'
import type { RunToStart, StartedRun } from './start-runs.ts'
import { isStorable } from './storable.ts'

export type Resolve = (
  caller: Pick<Caller, 'namespace'>,
  workflow: string,
  wanted: { version?: number; tag?: string },
) => Promise<ResolvedVersion>

/** Finds the version that a start means, one query for all that ask in the same moment; 404 when there is none. */
export function createResolve(sql: Sql): Resolve {
  const share = shareLookups<ResolvedVersion | undefined>()
  return async ({ namespace }, workflow, wanted) => {
    const key = JSON.stringify([namespace, workflow, wanted.version, wanted.tag])
    const resolved = await share(key, () => resolveVersion(sql, namespace, workflow, wanted))
    if (resolved) return resolved
    const { version, tag } = wanted
    const which = version !== undefined ? `version ${version} of ` : tag !== undefined ? `version tagged ${tag} of ` : ''
    throw problem('BTN_WORKFLOW_NOT_FOUND', `no ${which}workflow ${workflow.slice(0, 100)}`)
  }
}

/** What a body names, before it is checked: what cannot be a version or a tag is left for the check. */
export function wantedOf(body: unknown): { version?: number; tag?: string } {
  const { version, tag } = (typeof body === 'object' && body !== null ? body : {}) as { version?: unknown; tag?: unknown }
  if (Number.isSafeInteger(version) && (version as number) > 0) return { version: version as number }
  return typeof tag === 'string' && isStorable(tag) ? { tag } : {}
}

/** 409 for an archived workflow. */
export function refuseArchived(found: ResolvedVersion, { params }: { params: { name: string } }): void {
  if (found.archived) throw problem('BTN_WORKFLOW_ARCHIVED', `workflow ${params.name} is archived`)
}

/** The id and the version of a new run: those belong together where a canary has its share. */
export function drawRun(resolved: ResolvedVersion): Drawn {
  const id = newUuid()
  return { id, ...chooseVersion(resolved, id) }
}

export interface Drawn {
  id: string
  version: number
  checksum: string
}

/** The parts of a new run that do not come from its body. */
export function draftRun(caller: Caller, workflow: string, drawn: Drawn, plan: Plan, request: FastifyRequest) {
  return {
    id: drawn.id,
    namespace: caller.namespace,
    workflow,
    version: drawn.version,
    checksum: drawn.checksum,
    startedBy: caller.id,
    ...(plan.timeoutMs === undefined ? {} : { timeoutMs: plan.timeoutMs }),
    trace: traceOf(request),
    requestId: request.id,
  }
}

/** The key of the header, if there is one, with the hash of the body that it stands for; 422 for one that cannot be. */
export function idempotencyOf(request: FastifyRequest, body: object): Pick<RunToStart, 'idempotency'> {
  const key = request.headers['idempotency-key']
  if (key === undefined) return {}
  if (typeof key === 'string' && key !== '' && key.length <= LIMITS.idempotencyKeyCharsMax) {
    return { idempotency: { key, bodyHash: hashOfBody(body as Json) } }
  }
  const message = `must have 1 to ${LIMITS.idempotencyKeyCharsMax} characters, and be sent once`
  throw invalidRequest([{ pointer: '/headers/idempotency-key', message }])
}

/** Equal for bodies that are equal as parsed JSON, whatever the order of their keys. */
export function hashOfBody(body: Json): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex')
}

/** How large definitions may be. */
export function definitionLimitsOf(settings: Settings): DefinitionLimits {
  return {
    definitionBytesMax: settings.BATON_DEFINITION_BYTES_MAX,
    stepsMax: settings.BATON_STEPS_MAX,
    nestingMax: settings.BATON_NESTING_MAX,
  }
}

/** How large and how deep inputs may be. */
export function inputLimitsOf(settings: Settings): InputLimits {
  return {
    inputBytesMax: settings.BATON_RUN_INPUT_BYTES_MAX,
    inlineBytesMax: settings.BATON_INLINE_BYTES_MAX,
    depthMax: settings.BATON_JSON_DEPTH_MAX,
  }
}

/** A run that was just started, without asking for what is known. */
export function bornRun(run: RunToStart, input: Json, started: StartedRun): Run {
  return {
    id: idOf('run', run.id),
    namespace: run.namespace,
    workflow: run.workflow,
    version: run.version,
    status: 'queued',
    input,
    output: null,
    error: null,
    labels: run.labels ?? {},
    priority: run.priority ?? 5,
    createdAt: timeOf(started.at),
    startedAt: null,
    endedAt: null,
    lastSeq: 1,
  }
}
