/** Starting runs, one or many. The hot path: nothing is parsed twice, plans come from the cache, inserts are grouped. */
import { type Json, LIMITS, Run } from '@baton/contracts'
import type { Plan } from '@baton/engine'
import { problem } from '@baton/runtime'
import { findFirstRuns, getRunsByIds, type Sql } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { batchBody, StartBody } from '../bodies.ts'
import {
  bornRun,
  createResolve,
  type Drawn,
  draftRun,
  drawRun,
  hashOfBody,
  idempotencyOf,
  inputLimitsOf,
  refuseArchived,
  wantedOf,
} from '../draft-runs.ts'
import { invalidInput } from '../fork-run.ts'
import { runOf } from '../public-shapes.ts'
import { type CheckedInput, readInput } from '../read-input.ts'
import { addRoute } from '../route.ts'
import type { RunToStart, StartedRun } from '../start-runs.ts'
import { actAndWait, WaitQuery } from '../waiting-answers.ts'

const START_DESCRIPTION =
  'Answers when the run is durable. Without `version` and `tag` the tag `live` is taken if it is set, else the highest version. ' +
  'Without `input` the input is `{}`. With the header `Idempotency-Key` a repeated request gives the first run, with 200. ' +
  'With `wait` it answers when the run has ended or the time is up, with 202 (or that 200) either way: what counts is `status` in the body, ' +
  'which may be an end already.'
const StartHeaders = z.object({ 'idempotency-key': z.string().max(LIMITS.idempotencyKeyCharsMax).optional() })
/** Room for what stands around an input. */
const ENVELOPE_BYTES = 64 * 1024

/** POST /workflows/{name}/runs. */
export function startRoutes(app: FastifyInstance, { sql, settings, getPlan, starter, waiters, showRun }: Deps): void {
  const resolve = createResolve(sql)
  const limits = inputLimitsOf(settings)

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/workflows/:name/runs',
    tag: 'runs',
    summary: 'Start a run',
    description: START_DESCRIPTION,
    query: WaitQuery,
    headers: StartHeaders,
    body: StartBody,
    answers: { 200: Run, 202: Run },
    problems: [400, 409, 413, 415, 429],
    bodyLimit: settings.BATON_RUN_INPUT_BYTES_MAX + ENVELOPE_BYTES,
    limitName: 'BATON_RUN_INPUT_BYTES_MAX',
    find: ({ caller, params, request }) => resolve(caller, params.name, wantedOf(request.body)),
    // A repeated request is answered with its run, whatever became of the workflow since.
    check: (found, call) => (call.request.headers['idempotency-key'] === undefined ? refuseArchived(found, call) : undefined),
    async handle({ caller, params, query, body, found, request, reply }) {
      const drawn = drawRun(found)
      const { plan } = await getPlan(caller.namespace, params.name, drawn.checksum)
      const checked = readInput(plan, body.input, '/input', limits)
      if (found.archived || 'errors' in checked) {
        const first = await findFirstRun(sql, { namespace: caller.namespace, workflow: params.name, ...idempotencyOf(request, body) })
        if (first) return showRun(reply, caller.namespace, first, query.wait)
        refuseArchived(found, { params })
      }
      if ('errors' in checked) throw invalidInput(checked.errors)
      const { labels, priority } = body
      const run: RunToStart = {
        ...draftRun(caller, params.name, drawn, plan, request),
        ...checked,
        ...(labels ? { labels } : {}),
        ...(priority === undefined ? {} : { priority }),
        ...idempotencyOf(request, body),
      }
      const started = await actAndWait(waiters, reply, { runId: run.id, ms: query.wait }, async () => {
        const result = await starter.start(run)
        return { result, isOver: result.outcome !== 'created' }
      })
      if (started.outcome === 'mismatch') throw mismatch('/headers/idempotency-key')
      if (started.outcome === 'created') request.log.debug({ runId: run.id, workflow: run.workflow }, 'run started')
      reply.code(started.outcome === 'created' ? 202 : 200)
      if (started.outcome === 'created' && !query.wait) return bornRun(run, body.input, started)
      return showRun(reply, caller.namespace, started.id, started.outcome === 'known' ? query.wait : undefined)
    },
  })
}

/** The run that this very request started before, by its Idempotency-Key. */
async function findFirstRun(sql: Sql, request: Pick<RunToStart, 'namespace' | 'workflow' | 'idempotency'>): Promise<string | undefined> {
  if (!request.idempotency) return undefined
  const first = (await findFirstRuns(sql, [request])).get(request)
  return first?.bodyHash === request.idempotency.bodyHash ? first.runId : undefined
}

/** POST /workflows/{name}/runs/batch. */
export function batchRoutes(app: FastifyInstance, { sql, settings, getPlan, starter }: Deps): void {
  const resolve = createResolve(sql)
  const limits = inputLimitsOf(settings)

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
      const drawn = body.items.map(() => drawRun(found))
      const plans = await plansOf(caller.namespace, params.name, drawn)
      const checked = body.items.map((item, index) => readInput(plans[index]!, item.input, `/items/${index}/input`, limits))
      const errors = checked.flatMap((result) => ('errors' in result ? result.errors : []))
      if (errors.length > 0) throw invalidInput(errors)
      const runs = body.items.map(({ idempotencyKey: key, ...rest }, index): RunToStart => {
        const idempotency = key === undefined ? {} : { idempotency: { key, bodyHash: hashOfBody(rest as Json) } }
        const labels = rest.labels ? { labels: rest.labels } : {}
        return {
          ...draftRun(caller, params.name, drawn[index]!, plans[index]!, request),
          ...(checked[index] as CheckedInput),
          ...labels,
          ...idempotency,
        }
      })
      const started = await starter.startTogether(runs)
      const clash = started.findIndex((run) => run.outcome === 'mismatch')
      if (clash >= 0) throw mismatch(`/items/${clash}/idempotencyKey`)
      request.log.debug({ runIds: started.map(({ id }) => id), workflow: params.name }, 'runs started')
      reply.code(202)
      return { items: await showBatch(runs, started, body.items) }
    },
  })

  /** The plan of each run: one, or two where a canary has its share. */
  async function plansOf(namespace: string, workflow: string, drawn: readonly Drawn[]): Promise<Plan[]> {
    const checksums = [...new Set(drawn.map(({ checksum }) => checksum))]
    const compiled = await Promise.all(checksums.map((checksum) => getPlan(namespace, workflow, checksum)))
    const plans = new Map(checksums.map((checksum, index) => [checksum, compiled[index]!.plan]))
    return drawn.map(({ checksum }) => plans.get(checksum)!)
  }

  async function showBatch(runs: RunToStart[], started: StartedRun[], items: { input: Json }[]): Promise<Run[]> {
    const born = new Map(
      started.flatMap((run, index) => (run.outcome === 'created' ? [[run.id, bornRun(runs[index]!, items[index]!.input, run)]] : [])),
    )
    const known = started.filter((run) => !born.has(run.id)).map((run) => run.id)
    const rows = new Map((await getRunsByIds(sql, known)).map((row) => [row.id, runOf(row)]))
    return started.map((run) => born.get(run.id) ?? rows.get(run.id)!)
  }
}

function mismatch(pointer: string): Error {
  const message = 'this key was used with another body'
  return problem('BTN_IDEMPOTENCY_MISMATCH', message, { errors: [{ pointer, message }] })
}
