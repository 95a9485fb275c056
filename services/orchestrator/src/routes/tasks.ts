/** Tasks: what `task` steps offer, and the calls of those who work on them. */
import {
  ClaimNextBody,
  CompleteBody,
  FailBody,
  HandoffBody,
  ProgressBody,
  ReleaseBody,
  Task,
  TaskList,
  TaskListQuery,
  uuidOf,
} from '@baton/contracts'
import { problem } from '@baton/runtime'
import { listTasks, seeTask, type TaskCall, type TaskSeen } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { AnyJson, storableText } from '../bodies.ts'
import { callNextTask, callTask, foreseeTask, readReceiver, readSmall, storeOutput } from '../call-task.ts'
import type { Caller } from '../caller.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { taskOf, wholeTaskOf } from '../show-task.ts'

const tag = 'tasks'
const CLAIM =
  'Who holds a task is proven by the API key that claimed it and, where it is sent, by `fencingToken`, the number of the claim that the claim ' +
  'answered with. Send it when several processes share a key. A claim lasts for the lease of the step (`leaseMs`); each `progress` begins it anew.'
const ONLY_HOLDER =
  '409 when somebody else holds the task (`BTN_TASK_HELD`), the claim is over (`BTN_TASK_CLAIM_LOST`), or the task is open or has ended.'

const ListQuery = TaskListQuery.extend({
  run: z
    .string()
    .refine((id) => uuidOf('run', id) !== undefined, 'not a run id')
    .optional(),
})

/** GET /tasks and /tasks/{id}. */
export function taskRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/tasks',
    tag,
    summary: 'List tasks, newest first',
    description: 'To take the most urgent one, claim the next: POST /api/v1/tasks/claim.',
    query: ListQuery,
    answers: { 200: TaskList },
    async handle({ caller, query }) {
      const runId = query.run === undefined ? undefined : uuidOf('run', query.run)
      const filter = { capabilities: query.capability, statuses: query.status, runId }
      const { items, nextCursor } = await listTasks(sql, caller.namespace, filter, query)
      return { items: items.map(taskOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/tasks/:id',
    tag,
    summary: 'A task, with its payload whole',
    answers: { 200: Task },
    find: findIn(sql),
    handle: ({ found }) => wholeTaskOf(sql, found),
  })
}

function findIn(sql: Deps['sql']) {
  return async ({ caller, params }: { caller: Caller; params: { id: string } }): Promise<TaskSeen> => {
    const uuid = uuidOf('task', params.id)
    const task = uuid && (await seeTask(sql, caller.namespace, uuid))
    if (!task) throw problem('BTN_TASK_NOT_FOUND', `no task ${params.id.slice(0, 100)}`)
    return task
  }
}

/** What every call on one task has in common. */
function callOn(deps: Deps, call: TaskCall['call']) {
  return {
    method: 'POST',
    tag,
    answers: { 200: Task },
    problems: [400, 409, 413, 415],
    find: findIn(deps.sql),
    check: (task: TaskSeen, { caller }: { caller: Caller }) => foreseeTask(deps, task, caller, call),
  } as const
}

const Capabilities = ClaimNextBody.shape.capabilities.refine(
  (names) => names.every((name) => name.isWellFormed() && !name.includes('\0')),
  'cannot be stored',
)

/** Taking a task, and giving it back. */
export function claimRoutes(app: FastifyInstance, deps: Deps): void {
  addRoute(app, {
    method: 'POST',
    url: '/api/v1/tasks/claim',
    tag,
    summary: 'Claim the next task for a worker with these capabilities',
    description: `By priority, then age, of the open tasks that ask for nothing beyond \`capabilities\`; 204 when there is none. ${CLAIM}`,
    body: ClaimNextBody.extend({ capabilities: Capabilities }),
    answers: { 200: Task, 204: null },
    problems: [400, 413, 415],
    async handle({ caller, body, reply }) {
      const task = await callNextTask(deps, caller, body.capabilities)
      if (task) return task
      return reply.code(204).send()
    },
  })

  addRoute(app, {
    ...callOn(deps, 'claim'),
    url: '/api/v1/tasks/:id/claim',
    summary: 'Claim a task: one holds it at a time',
    description: `The loser gets 409 (\`BTN_TASK_HELD\`) that says who holds it and until when. ${CLAIM}`,
    handle: ({ caller, found }) => callTask(deps, caller, found, { call: 'claim' }),
  })

  addRoute(app, {
    ...callOn(deps, 'release'),
    url: '/api/v1/tasks/:id/release',
    summary: 'Give a task back: it is open again',
    description: ONLY_HOLDER,
    body: ReleaseBody,
    handle: ({ caller, found, body }) => callTask(deps, caller, found, { call: 'release' }, body.fencingToken),
  })

  const text = HandoffBody.shape
  addRoute(app, {
    ...callOn(deps, 'handoff'),
    url: '/api/v1/tasks/:id/handoff',
    summary: 'Hand a task on, to another key or to whoever has other capabilities',
    description: `The task is open again, with \`reason\` and \`context\` for the next one. With \`to\` only that key can claim it (operators and admins any). ${ONLY_HOLDER}`,
    body: HandoffBody.extend({ reason: storableText(text.reason), context: AnyJson.optional(), capabilities: Capabilities.optional() }),
    async handle({ caller, found, body }) {
      if ((body.to === undefined) === (body.capabilities === undefined))
        throw invalidRequest([{ pointer: body.to === undefined ? '' : '/capabilities', message: 'give either to or capabilities' }])
      const context = readSmall(deps, body.context, '/context')
      const to = body.to === undefined ? null : await readReceiver(deps.sql, caller.namespace, body.to)
      const asked = { call: 'handoff', to, capabilities: body.capabilities ?? null, reason: body.reason, context } as const
      return callTask(deps, caller, found, asked, body.fencingToken)
    },
  })
}

/** Working on a task, and ending it. */
export function workRoutes(app: FastifyInstance, deps: Deps): void {
  const { settings } = deps
  addRoute(app, {
    ...callOn(deps, 'progress'),
    url: '/api/v1/tasks/:id/progress',
    summary: 'A sign of life, and how far the work is',
    description: `Begins the lease anew; what is left out stays as it was. The first 20 of a claim, and one in 10 s after them, stand in the events of the run; the task itself has the last. ${ONLY_HOLDER}`,
    body: ProgressBody.extend({ note: storableText(ProgressBody.shape.note.unwrap()).optional(), data: AnyJson.optional() }),
    handle({ caller, found, body }) {
      const { percent, note, data, fencingToken } = body
      readSmall(deps, data, '/data')
      return callTask(deps, caller, found, { call: 'progress', percent, note, data }, fencingToken)
    },
  })

  addRoute(app, {
    ...callOn(deps, 'complete'),
    url: '/api/v1/tasks/:id/complete',
    summary: 'The work is done: `output` is what the step gives',
    description: `Durable when it is answered. The same again by the same key is answered with 200 and changes nothing. ${ONLY_HOLDER}`,
    body: CompleteBody.extend({ output: AnyJson.optional() }),
    // With room for what stands around the output.
    bodyLimit: settings.BATON_STEP_OUTPUT_BYTES_MAX + 1_024,
    limitName: 'BATON_STEP_OUTPUT_BYTES_MAX',
    async handle({ caller, found, body }) {
      const output = await storeOutput(deps, caller.namespace, body.output ?? null)
      return callTask(deps, caller, found, { call: 'complete', output }, body.fencingToken)
    },
  })

  const { code, message } = FailBody.shape.error.shape
  addRoute(app, {
    ...callOn(deps, 'fail'),
    url: '/api/v1/tasks/:id/fail',
    summary: 'The work cannot be done',
    description: `\`error\` is that of the attempt; \`retry\` of the step may offer a further task unless \`retryable\` is false. ${ONLY_HOLDER}`,
    body: FailBody.extend({ error: z.strictObject({ code, message: storableText(message) }) }),
    handle({ caller, found, body }) {
      return callTask(deps, caller, found, { call: 'fail', error: body.error, retryable: body.retryable }, body.fencingToken)
    },
  })
}
