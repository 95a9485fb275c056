/** Retry and replay, of one run and in bulk. */
import { BulkAnswer, BulkFilter, RetryBody, Run, type RunFilter, spanIdOfRun } from '@baton/contracts'
import { joinTrace, problem } from '@baton/runtime'
import type { RunRow } from '@baton/store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { askerOf } from '../asker.ts'
import { ReplayRequest, storableText } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { controlMany } from '../control-many.ts'
import { definitionLimitsOf } from '../draft-runs.ts'
import { runOf } from '../public-shapes.ts'
import { type Reopened, refuseReopening, replayStep, retryRun } from '../reopen-run.ts'
import { addRoute } from '../route.ts'
import { BUILDERS } from '../route-roles.ts'
import { findRun, wholeRun } from '../show-run.ts'
import { withSaneTimes } from './runs.ts'

const tag = 'runs'
const BULK_RUNS_BY_DEFAULT = 100
const STATES = '202 when it was accepted, 200 when the same was accepted and has not begun yet, 409 with what forbids it.'

/** The limit of a call in bulk: how many runs, newest first. */
export function bulkLimit(runsMax: number) {
  return z.int().min(1).max(runsMax).default(Math.min(BULK_RUNS_BY_DEFAULT, runsMax)).describe('how many, newest first')
}

/** POST /runs/{id}/retry, /runs/{id}/steps/{path}/replay and /runs/retry. */
export function reopenRoutes(app: FastifyInstance, { sql, settings, facts, foldRun, loadWhole }: Deps): void {
  const deps = { sql, foldRun, loadWhole, limits: definitionLimitsOf(settings) }

  function wake(runId: string): void {
    facts.send({ kind: 'inbox', runId }).catch(() => {}) // what was accepted stands in Postgres
  }

  function answer({ row, verdict }: Reopened, command: string, request: FastifyRequest, reply: FastifyReply): Promise<Run> {
    reply.code(verdict === 'accept' ? 202 : 200)
    if (verdict === 'accept') wake(row.id)
    if (verdict === 'accept') request.log.info({ runId: row.id, command }, 'command accepted')
    return wholeRun(sql, row)
  }

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/runs/:id/retry',
    tag,
    summary: 'Retry a run that failed, was cancelled or timed out: what failed or was cancelled begins again',
    description: `${STATES} Its timeout counts anew.`,
    body: RetryBody.extend({ reason: storableText(RetryBody.shape.reason.unwrap()).optional() }),
    answers: { 200: Run, 202: Run },
    problems: [400, 409, 413, 415],
    find: ({ caller, params }) => findRun(sql, caller.namespace, params.id),
    async handle({ caller, found, body, request, reply }) {
      joinTrace(request, found.trace, spanIdOfRun(found.id))
      return answer(await retryRun(deps, found.id, body.reason, askerOf(caller, request)), 'retry', request, reply)
    },
  })

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/runs/:id/steps/:path/replay',
    tag,
    summary: 'Replay a step, and all that depends on it',
    description:
      `${STATES} \`config\` is a JSON Merge Patch (RFC 7396) of the body of the step's kind; it becomes a new version of the definition of this ` +
      'run alone, and wants the role developer or admin.',
    body: ReplayRequest,
    answers: { 200: Run, 202: Run },
    problems: [400, 409, 413, 415],
    find: ({ caller, params }) => findStep(caller, params),
    async check(run, { caller, params, request }) {
      refuseConfig(caller, request.body)
      refuseReopening((await foldRun(run)).state, { kind: 'replay', path: params.path })
    },
    async handle({ caller, params: { path }, found, body, request, reply }) {
      joinTrace(request, found.trace, spanIdOfRun(found.id))
      return answer(await replayStep(deps, found.id, { path, ...body }, askerOf(caller, request)), 'replay', request, reply)
    },
  })

  async function findStep(caller: Caller, { id, path }: { id: string; path: string }): Promise<RunRow> {
    const run = await findRun(sql, caller.namespace, id)
    if (!(await foldRun(run)).state.steps.has(path)) throw problem('BTN_STEP_NOT_FOUND', `the run has no step ${path.slice(0, 100)}`)
    return run
  }

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/runs/retry',
    tag,
    summary: 'Retry many runs',
    description: 'Each by itself: the answer tells for each run what became of it. Without `status` in the filter all that can be retried.',
    body: z.strictObject({
      filter: BulkFilter,
      reason: storableText(RetryBody.shape.reason.unwrap()).optional(),
      limit: bulkLimit(settings.BATON_BULK_RUNS_MAX),
    }),
    answers: { 202: BulkAnswer },
    problems: [400, 413, 415],
    async handle({ caller, body, request, reply }) {
      const { filter, limit, reason } = body
      const asker = askerOf(caller, request)
      reply.code(202)
      return controlMany(sql, caller.namespace, { filter: withSaneTimes(filter as RunFilter), limit }, async ({ id }) => {
        const { row, verdict } = await retryRun(deps, id, reason, asker)
        if (verdict === 'accept') wake(id)
        return runOf(row)
      })
    },
  })
}

/** Another body may send secrets elsewhere: who may not save definitions may not give one. */
function refuseConfig(caller: Caller, body: unknown): void {
  const hasConfig = typeof body === 'object' && body !== null && 'config' in body
  if (hasConfig && !BUILDERS.includes(caller.role))
    throw problem('BTN_FORBIDDEN', `role ${caller.role} may not change the definition of a run`)
}
