/** What happened in a run and how it stands: views of its events. */
import { cloudEventOf, EventList, EventsQuery, Graph, Json, listOf, RunDefinition, Step, type TracedEvent, Why } from '@baton/contracts'
import { type RunState, stepsOf, type TaskStanding, whyOf, withStates } from '@baton/engine'
import { problem } from '@baton/runtime'
import { listEvents, listOpenTasks, listPendingApprovals, type RunRow } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { PageQuery } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { resolveBlobs } from '../resolve-blobs.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { findRun } from '../show-run.ts'
import { taskOf } from '../show-task.ts'

const tag = 'runs'
type Find<Params> = { caller: Caller; params: Params }

/** Events of a run, and the definition that it executes. */
export function eventRoutes(app: FastifyInstance, { sql, getPlan }: Deps): void {
  const find = ({ caller, params }: Find<{ id: string }>) => findRun(sql, caller.namespace, params.id)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/events',
    tag,
    summary: 'Events of a run, oldest first, without gaps',
    query: EventsQuery,
    answers: { 200: EventList },
    find,
    async handle({ found, query }) {
      const after = query.cursor === undefined ? query.after : readEventCursor(query.cursor)
      const events = await listEvents(sql, found.id, after, query.limit + 1)
      return pageOfEvents(events, query.limit)
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/definition',
    tag,
    summary: 'The frozen copy of the definition that the run executes',
    answers: { 200: RunDefinition },
    find,
    async handle({ found, reply }) {
      reply.header('etag', `"${found.definitionVersion}"`)
      const { definition } = await getPlan(found.namespace, found.workflow, found.checksum)
      return { definitionVersion: found.definitionVersion, checksum: found.checksum, definition }
    },
  })
}

function pageOfEvents(events: TracedEvent[], limit: number) {
  const items = events.slice(0, limit)
  const last = items.at(-1)
  const nextCursor = events.length > limit && last ? Buffer.from(`seq:${last.seq}`).toString('base64url') : null
  return { items: items.map(cloudEventOf), nextCursor }
}

function readEventCursor(cursor: string): number {
  const seq = /^seq:(\d{1,9})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1]
  if (seq === undefined) throw badCursor()
  return Number(seq)
}

function badCursor(): Error {
  return invalidRequest([{ pointer: '/query/cursor', message: 'the cursor is not one that this list gave out' }])
}

/** Steps, and the graph with their states. */
export function viewRoutes(app: FastifyInstance, { sql, foldRun }: Deps): void {
  const find = ({ caller, params }: Find<{ id: string }>) => findRun(sql, caller.namespace, params.id)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/steps',
    tag,
    summary: 'Steps of a run, oldest first',
    query: PageQuery,
    answers: { 200: listOf(Step) },
    find,
    handle: async ({ found, query }) => pageOfSteps((await foldRun(found)).state, query),
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/graph',
    tag,
    summary: 'The graph of the run with the state of each step',
    answers: { 200: Graph },
    find,
    async handle({ found }) {
      const { state, compiled } = await foldRun(found)
      return withStates(compiled.graph, state)
    },
  })
}

/** Why the run stands where it stands. */
export function whyRoutes(app: FastifyInstance, { sql, foldRun }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/why',
    tag,
    summary: 'One sentence per open step on what it waits for and who can move it',
    answers: { 200: Why },
    find: ({ caller, params }) => findRun(sql, caller.namespace, params.id),
    async handle({ found }) {
      const [{ state }, approvals, tasks] = await Promise.all([
        foldRun(found),
        listPendingApprovals(sql, found.id),
        listOpenTasks(sql, found.id),
      ])
      const standing = approvals.map(({ path, votes, quorum, allowSelf }) => ({ step: path, votes: votes.length, quorum, allowSelf }))
      return whyOf(state, standing, tasks.map(taskStandingOf))
    },
  })
}

/** How a task stands for the sentence about its step. */
function taskStandingOf(row: Parameters<typeof taskOf>[0]): TaskStanding {
  const { id: task, claimedBy, leaseUntil, reservedFor, progress } = taskOf(row)
  return { task, claimedBy, leaseUntil, reservedFor, progress }
}

/** The cursor is the path of the last step given: steps are only ever added behind. */
function pageOfSteps(state: RunState, { limit, cursor }: { limit: number; cursor?: string | undefined }) {
  const steps = stepsOf(state)
  let from = 0
  if (cursor !== undefined) {
    const path = Buffer.from(cursor, 'base64url').toString()
    from = steps.findIndex((step) => step.path === path) + 1
    if (from === 0) throw badCursor()
  }
  const items = steps.slice(from, from + limit)
  const isLast = from + limit >= steps.length
  return { items, nextCursor: isLast ? null : Buffer.from(items.at(-1)!.path).toString('base64url') }
}

/** One step by its path, and its output whatever its size. */
export function stepRoutes(app: FastifyInstance, { sql, foldRun }: Deps): void {
  const find = async ({ caller, params }: Find<{ id: string; path: string }>): Promise<{ run: RunRow; step: Step }> => {
    const run = await findRun(sql, caller.namespace, params.id)
    const { state } = await foldRun(run)
    const step = stepsOf(state).find((candidate) => candidate.path === params.path)
    if (!step) throw problem('BTN_STEP_NOT_FOUND', `the run has no step ${params.path.slice(0, 100)}`)
    return { run, step }
  }

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/steps/:path',
    tag,
    summary: 'A step by its path',
    answers: { 200: Step },
    find,
    handle: ({ found }) => found.step,
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/runs/:id/steps/:path/output',
    tag,
    summary: 'The output of a step, whole; null while there is none',
    answers: { 200: Json },
    find,
    async handle({ found, reply }) {
      const output = await resolveBlobs(sql, found.run.namespace, found.step.output)
      return reply.type('application/json; charset=utf-8').send(JSON.stringify(output))
    },
  })
}
