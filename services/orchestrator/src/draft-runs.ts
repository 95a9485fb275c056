/** From a request to a run that may be stored, and from that to what is answered. */
import { createHash } from 'node:crypto'
import { idOf, type Json, LIMITS, newUuid, type Run } from '@baton/contracts'
import { canonicalJson, type Plan } from '@baton/engine'
import { problem, traceOf } from '@baton/runtime'
import { resolveVersion, type Sql } from '@baton/store'
import type { FastifyRequest } from 'fastify'
import type { Caller } from './caller.ts'
import type { Settings } from './config.ts'
import { timeOf } from './public-shapes.ts'
import type { InputLimits } from './read-input.ts'
import { invalidRequest } from './route.ts'
import { shareLookups } from './share-lookups.ts'
import type { RunToStart, StartedRun } from './start-runs.ts'
import { isStorable } from './storable.ts'

/** The version that a start means. */
export interface Resolved {
  version: number
  checksum: string
  archived: boolean
}

export type Resolve = (caller: Pick<Caller, 'namespace'>, workflow: string, wanted: { version?: number; tag?: string }) => Promise<Resolved>

/** Finds the version that a start means, one query for all that ask in the same moment; 404 when there is none. */
export function createResolve(sql: Sql): Resolve {
  const share = shareLookups<Resolved | undefined>()
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
export function refuseArchived(found: Resolved, { params }: { params: { name: string } }): void {
  if (found.archived) throw problem('BTN_WORKFLOW_ARCHIVED', `workflow ${params.name} is archived`)
}

/** The parts of a new run that do not come from its body. */
export function draftRun(caller: Caller, workflow: string, resolved: Resolved, plan: Plan, request: FastifyRequest) {
  return {
    id: newUuid(),
    namespace: caller.namespace,
    workflow,
    version: resolved.version,
    checksum: resolved.checksum,
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
