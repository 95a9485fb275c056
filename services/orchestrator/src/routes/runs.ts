/** Finding runs, and telling them to stop, to hold and to go on. */
import { LIMITS, listOf, parseDuration, Run, RunCount, RunFilter, RunListQuery, StuckRuns, spanIdOfRun } from '@baton/contracts'
import { joinTrace } from '@baton/runtime'
import { countRuns, listRuns } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { askerOf } from '../asker.ts'
import type { Caller } from '../caller.ts'
import { type Command, controlRun, refuseImpossible } from '../control-run.ts'
import { findStuck } from '../find-stuck.ts'
import { runOf } from '../public-shapes.ts'
import { addRoute } from '../route.ts'
import { findRun, wholeRun } from '../show-run.ts'
import { WaitQuery } from '../waiting-answers.ts'

const tag = 'runs'

/** GET /runs, /runs/count, /runs/stuck and /runs/{id}. */
export function runRoutes(app: FastifyInstance, { sql, showRun, loadWhole, settings }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs',
    tag,
    summary: 'List runs, newest first',
    description:
      'Filters: workflow, status (comma or repeated), label (`key:value`, repeated = and), since (inclusive), until (exclusive).',
    query: RunListQuery,
    answers: { 200: listOf(Run) },
    async handle({ caller, query }) {
      const { limit, cursor, ...filter } = query
      const { items, nextCursor } = await listRuns(sql, caller.namespace, withSaneTimes(filter), { limit, cursor })
      return { items: items.map(runOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/count',
    tag,
    summary: 'Count runs',
    query: RunFilter,
    answers: { 200: RunCount },
    handle: async ({ caller, query }) => ({ count: await countRuns(sql, caller.namespace, withSaneTimes(query)) }),
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/stuck',
    tag,
    summary: 'Runs that nothing can move any more: there should be none',
    description:
      'Open runs that have not moved for a while, longest first, although nothing is due and nothing that they wait for can come: no call, timer, ' +
      'approval, event, child run or slot. `GET /api/v1/runs/{id}/why` tells where each stands; a retry or a replay may help it on. ' +
      '`complete` is false when there were more runs to look at than one request looks at: go on with `nextCursor`, also when `items` is empty.',
    query: StuckQuery,
    answers: { 200: StuckRuns },
    async handle({ caller, query }) {
      const foldedMax = settings.BATON_STUCK_RUNS_MAX
      const { items, nextCursor } = await findStuck({ sql, loadWhole, foldedMax }, caller.namespace, query.for, query)
      return { items: items.map(runOf), complete: nextCursor === null, nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id',
    tag,
    summary: 'A run; with `?wait=30s` when it has ended or the time is up',
    query: WaitQuery,
    answers: { 200: Run },
    problems: [429],
    find: ({ caller, params }) => findRun(sql, caller.namespace, params.id),
    handle: ({ caller, found, query, reply }) =>
      query.wait ? showRun(reply, caller.namespace, found.id, query.wait) : wholeRun(sql, found),
  })
}

const StuckQuery = z.strictObject({
  for: z
    .string()
    .refine((text) => parseDuration(text) !== undefined, 'not a duration of at most 100 years: write 30s, 5m or PT30S')
    .default('1m')
    .transform((text) => parseDuration(text) ?? 0)
    .describe('how long they have stood still'),
  limit: z.coerce.number().int().min(1).max(LIMITS.listMax).default(LIMITS.listDefault),
  cursor: z.string().max(500).optional(),
})

/** No run is older than this; neither Postgres nor ids can tell all times before. */
const DAWN = '2020-01-01T00:00:00.000Z'

/** The filter with times that Postgres can tell. */
export function withSaneTimes(filter: RunFilter): RunFilter {
  const { since, until, ...rest } = filter
  return {
    ...rest,
    ...(since === undefined || since < DAWN ? {} : { since }),
    ...(until === undefined ? {} : { until: until < DAWN ? DAWN : until }),
  }
}

const SUMMARIES: Record<Command, string> = {
  cancel: 'Cancel a run: nothing new starts, what is in flight ends and is recorded',
  pause: 'Pause a run: nothing new starts until it is resumed',
  resume: 'Let a paused run go on',
}

/** POST /runs/{id}/cancel, /pause and /resume. */
export function controlRoutes(app: FastifyInstance, { sql, facts }: Deps): void {
  const find = ({ caller, params }: { caller: Caller; params: { id: string } }) => findRun(sql, caller.namespace, params.id)

  for (const command of ['cancel', 'pause', 'resume'] as const) {
    addRoute(app, {
      method: 'POST',
      url: `/api/v1/runs/:id/${command}`,
      tag,
      summary: SUMMARIES[command],
      description: '202 when it was put down for the run, 200 when the run is so already, 409 with the state when it cannot be.',
      answers: { 200: Run, 202: Run },
      problems: [409],
      find,
      check: (run) => refuseImpossible(sql, command, run),
      async handle({ caller, found, request, reply }) {
        joinTrace(request, found.trace, spanIdOfRun(found.id))
        const { row, verdict } = await controlRun(sql, found, command, askerOf(caller, request))
        reply.code(verdict === 'accept' ? 202 : 200)
        // A wake-up only: what was accepted stands in Postgres.
        if (verdict === 'accept') facts.send({ kind: 'inbox', runId: row.id }).catch(() => {})
        if (verdict === 'accept') request.log.info({ runId: row.id, command }, 'command accepted')
        return wholeRun(sql, row)
      },
    })
  }
}
