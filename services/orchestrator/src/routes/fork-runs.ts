/** Forks, of one run and in bulk. */
import { BulkAnswer, BulkFilter, ForkBody, Run, type RunFilter } from '@baton/contracts'
import { traceOf } from '@baton/runtime'
import type { RunRow } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import type { Deps } from '../app.ts'
import { askerOf } from '../asker.ts'
import { AnyJson } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { controlMany } from '../control-many.ts'
import { inputLimitsOf } from '../draft-runs.ts'
import { forkRun } from '../fork-run.ts'
import { runOf } from '../public-shapes.ts'
import { addRoute } from '../route.ts'
import { findRun, wholeRun } from '../show-run.ts'
import { bulkLimit } from './reopen-runs.ts'
import { withSaneTimes } from './runs.ts'

const tag = 'runs'
/** Room for what stands around an input. */
const ENVELOPE_BYTES = 64 * 1024
const Fork = ForkBody.extend({ input: AnyJson.optional() })

/** POST /runs/{id}/fork and /runs/fork. */
export function forkRoutes(app: FastifyInstance, { sql, settings, facts, metrics, loadWhole }: Deps): void {
  const deps = { sql, loadWhole, inputLimits: inputLimitsOf(settings) }
  const bodyLimit = settings.BATON_RUN_INPUT_BYTES_MAX + ENVELOPE_BYTES
  const shared = { tag, bodyLimit, limitName: 'BATON_RUN_INPUT_BYTES_MAX' }

  async function fork(source: RunRow, asked: z.output<typeof Fork>, caller: Caller, request: FastifyRequest): Promise<RunRow> {
    const row = await forkRun(deps, source, asked, { ...askerOf(caller, request), trace: traceOf(request) })
    metrics.runsStarted.inc()
    // Without its header: the runner has to read what was copied.
    facts.send({ kind: 'start', runId: row.id }).catch(() => {})
    request.log.info({ runId: row.id, forkedFrom: source.id, from: asked.from }, 'run forked')
    return row
  }

  addRoute(app, {
    ...shared,
    method: 'POST',
    url: '/api/v1/runs/:id/fork',
    summary: 'Fork a run from a step: a new run that begins with what does not depend on it',
    description:
      'Steps that do not depend on `from` and have ended are copied, the rest run; those that failed or were cancelled run too. `input` replaces ' +
      'the whole input. `from` is a step at the top of the definition. The run that is forked is not changed.',
    body: Fork,
    answers: { 202: Run },
    problems: [400, 409, 413, 415],
    find: ({ caller, params }) => findRun(sql, caller.namespace, params.id),
    async handle({ caller, found, body, request, reply }) {
      reply.code(202)
      return wholeRun(sql, await fork(found, body, caller, request))
    },
  })

  addRoute(app, {
    ...shared,
    method: 'POST',
    url: '/api/v1/runs/fork',
    summary: 'Fork many runs from one step',
    description: 'Each by itself: the answer tells for each run its fork, or why there is none. Every call makes new forks.',
    body: Fork.extend({ filter: BulkFilter, limit: bulkLimit(settings.BATON_BULK_RUNS_MAX) }),
    answers: { 202: BulkAnswer },
    problems: [400, 413, 415],
    async handle({ caller, body, request, reply }) {
      const { filter, limit, ...asked } = body
      reply.code(202)
      return controlMany(sql, caller.namespace, { filter: withSaneTimes(filter as RunFilter), limit }, async (row) =>
        runOf(await fork(row, asked, caller, request)),
      )
    },
  })
}
