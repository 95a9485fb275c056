/** Starting runs, one or many. The hot path: nothing is parsed twice, plans come from the cache, inserts are grouped. */
import { createHash, randomUUIDv7 } from 'node:crypto'
import { idOf, type Json, LIMITS, Run, type Run as RunShape } from '@baton/contracts'
import { canonicalJson, type Plan } from '@baton/engine'
import { problem } from '@baton/runtime'
import { getRunsByIds, resolveVersion } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { batchBody, isStorable, StartBody } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { runOf, timeOf } from '../public-shapes.ts'
import { readInput } from '../read-input.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { shareLookups } from '../share-lookups.ts'
import type { RunToStart, StartedRun } from '../start-runs.ts'
import { actAndWait, WaitQuery } from '../waiting-answers.ts'

interface Resolved {
  version: number
  checksum: string
  archived: boolean
}

/** POST /workflows/{name}/runs and /runs/batch. */
export function startRoutes(app: FastifyInstance, { sql, settings, getPlan, starter, waiters, showRun }: Deps): void {
  const share = shareLookups<Resolved | undefined>()
  const limits = {
    inputBytesMax: settings.BATON_RUN_INPUT_BYTES_MAX,
    inlineBytesMax: settings.BATON_INLINE_BYTES_MAX,
    depthMax: settings.BATON_JSON_DEPTH_MAX,
  }

  async function resolve(caller: Caller, name: string, wanted: { version?: number; tag?: string }): Promise<Resolved> {
    const key = JSON.stringify([caller.namespace, name, wanted.version, wanted.tag])
    const resolved = await share(key, () => resolveVersion(sql, caller.namespace, name, wanted))
    if (resolved) return resolved
    const which = wanted.version === undefined ? (wanted.tag === undefined ? '' : ` tagged ${wanted.tag}`) : ` version ${wanted.version}`
    throw problem('BTN_WORKFLOW_NOT_FOUND', `no workflow ${name}${which}`)
  }

  function draftRun(caller: Caller, workflow: string, resolved: Resolved, plan: Plan) {
    return {
      id: randomUUIDv7(),
      namespace: caller.namespace,
      workflow,
      version: resolved.version,
      checksum: resolved.checksum,
      startedBy: caller.id,
      ...(plan.timeoutMs === undefined ? {} : { timeoutMs: plan.timeoutMs }),
    }
  }

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/workflows/:name/runs',
    tag: 'runs',
    summary: 'Start a run',
    description:
      'Answers when the run is durable. Without `version` and `tag` the tag `live` is taken if it is set, else the highest version. ' +
      'Without `input` the input is `{}`. With the header `Idempotency-Key` a repeated request gives the first run, with 200.',
    query: WaitQuery,
    headers: z.object({ 'idempotency-key': z.string().max(LIMITS.idempotencyKeyCharsMax).optional() }),
    body: StartBody,
    answers: { 200: Run, 202: Run },
    problems: [400, 409, 413, 415, 429],
    bodyLimit: settings.BATON_RUN_INPUT_BYTES_MAX + 64 * 1024,
    limitName: 'BATON_RUN_INPUT_BYTES_MAX',
    find: ({ caller, params, request }) => resolve(caller, params.name, wantedOf(request.body)),
    check: refuseArchived,
    async handle({ caller, params, query, body, found, request, reply }) {
      const { plan } = await getPlan(caller.namespace, params.name, found.checksum)
      const checked = readInput(plan, body.input, '/input', limits)
      if ('errors' in checked) throw invalidInput(checked.errors)
      const run: RunToStart = {
        ...draftRun(caller, params.name, found, plan),
        ...checked,
        ...(body.labels ? { labels: body.labels } : {}),
        ...(body.priority === undefined ? {} : { priority: body.priority }),
        ...traceOf(request),
        ...idempotencyOf(request, body),
      }
      const started = await actAndWait(waiters, reply, { runId: run.id, ms: query.wait }, async () => {
        const result = await starter.start(run)
        return { result, isOver: result.outcome !== 'created' }
      })
      if (started.outcome === 'mismatch') throw mismatch('/headers/idempotency-key')
      reply.code(started.outcome === 'created' ? 202 : 200)
      if (started.outcome === 'created' && !query.wait) return bornRun(run, body.input, started)
      return showRun(reply, caller.namespace, started.id, started.outcome === 'known' ? query.wait : undefined)
    },
  })

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/workflows/:name/runs/batch',
    tag: 'runs',
    summary: 'Start many runs: all of them, or none',
    body: batchBody(settings.BATON_BATCH_RUNS_MAX),
    answers: { 202: z.object({ items: z.array(Run) }) },
    problems: [400, 409, 413, 415],
    bodyLimit: settings.BATON_BATCH_BYTES_MAX,
    limitName: 'BATON_BATCH_BYTES_MAX',
    find: ({ caller, params }) => resolve(caller, params.name, {}),
    check: refuseArchived,
    async handle({ caller, params, body, found, request, reply }) {
      const { plan } = await getPlan(caller.namespace, params.name, found.checksum)
      const checked = body.items.map((item, index) => readInput(plan, item.input, `/items/${index}/input`, limits))
      const errors = checked.flatMap((result) => ('errors' in result ? result.errors : []))
      if (errors.length > 0) throw invalidInput(errors)
      const runs = body.items.map((item, index): RunToStart => {
        const { idempotencyKey: key, input, labels } = item
        return {
          ...draftRun(caller, params.name, found, plan),
          ...(checked[index] as Exclude<ReturnType<typeof readInput>, { errors: unknown }>),
          ...(labels ? { labels } : {}),
          ...traceOf(request),
          ...(key === undefined ? {} : { idempotency: { key, bodyHash: hashOfBody({ input, ...(labels ? { labels } : {}) }) } }),
        }
      })
      const started = await starter.startTogether(runs)
      const clash = started.findIndex((run) => run.outcome === 'mismatch')
      if (clash >= 0) throw mismatch(`/items/${clash}/idempotencyKey`)
      reply.code(202)
      return { items: await showBatch(runs, started, body.items) }
    },
  })

  async function showBatch(runs: RunToStart[], started: StartedRun[], items: { input: Json }[]): Promise<RunShape[]> {
    const known = started.filter((run) => run.outcome === 'known').map((run) => run.id)
    const rows = new Map((await getRunsByIds(sql, known)).map((row) => [row.id, runOf(row)]))
    return started.map((run, index) => (run.outcome === 'created' ? bornRun(runs[index]!, items[index]!.input, run) : rows.get(run.id)!))
  }
}

/** What the body names, before it is checked: what cannot be a version or a tag is left for the check. */
function wantedOf(body: unknown): { version?: number; tag?: string } {
  const { version, tag } = (typeof body === 'object' && body !== null ? body : {}) as { version?: unknown; tag?: unknown }
  if (Number.isSafeInteger(version) && (version as number) > 0) return { version: version as number }
  return typeof tag === 'string' && isStorable(tag) ? { tag } : {}
}

function refuseArchived(found: Resolved, { params }: { params: { name: string } }): void {
  if (found.archived) throw problem('BTN_WORKFLOW_ARCHIVED', `workflow ${params.name} is archived`)
}

function invalidInput(errors: { pointer: string; message: string }[]): Error {
  const [first] = errors
  return problem('BTN_INVALID_INPUT', `${first!.pointer}: ${first!.message}`, { errors })
}

function mismatch(pointer: string): Error {
  const message = 'this key was used with another body'
  return problem('BTN_IDEMPOTENCY_MISMATCH', message, { errors: [{ pointer, message }] })
}

function idempotencyOf(request: FastifyRequest, body: StartBody): Pick<RunToStart, 'idempotency'> {
  const key = request.headers['idempotency-key']
  if (key === undefined) return {}
  if (typeof key !== 'string' || key === '' || key.length > LIMITS.idempotencyKeyCharsMax) {
    throw invalidRequest([
      { pointer: '/headers/idempotency-key', message: `must have 1 to ${LIMITS.idempotencyKeyCharsMax} characters, and be sent once` },
    ])
  }
  return { idempotency: { key, bodyHash: hashOfBody(body as unknown as Json) } }
}

/** Equal for bodies that are equal as parsed JSON, whatever the order of their keys. */
function hashOfBody(body: Json): string {
  return createHash('sha256').update(canonicalJson(body)).digest('hex')
}

function traceOf(request: FastifyRequest): { trace?: string } {
  const trace = request.headers.traceparent
  return typeof trace === 'string' && /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(trace) ? { trace } : {}
}

/** A run that was just started, without asking for what is known. */
function bornRun(run: RunToStart, input: Json, started: StartedRun): RunShape {
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
