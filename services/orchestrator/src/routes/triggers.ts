/** Triggers: which webhooks and which events start which workflow. */
import { randomBytes } from 'node:crypto'
import { type Json, listOf, type ProblemError, Trigger, TriggerBody, TriggerSaved } from '@baton/contracts'
import { compileFilter, compileMapping } from '@baton/engine'
import { problem } from '@baton/runtime'
import { deleteTrigger, getTrigger, listTriggers, putTrigger, rotateToken, type Sql, type TriggerRow } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import { hashOf } from '../access.ts'
import type { Deps } from '../app.ts'
import { PageQuery } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { DELIVERY_VARIABLES } from '../read-delivery.ts'
import { explainDraft, refuseContent } from '../refuse-trigger.ts'
import { addRoute, invalidRequest } from '../route.ts'
import { triggerOf } from '../show-trigger.ts'

const tag = 'triggers'
const DESCRIPTION =
  'A webhook gets a token, shown once, when it is made; deliveries go to `/hooks/<token>`. `input` maps what comes to the input of the run: its ' +
  "texts may hold `${{ event.data.x }}`, or for webhooks `${{ body.x }}`, `${{ headers['x-y'] }}` and `${{ query.x }}`."
const TOKEN_BYTES = 24

function findTrigger(sql: Sql) {
  return async ({ caller, params }: { caller: Caller; params: { name: string } }) => {
    const found = await getTrigger(sql, caller.namespace, params.name)
    if (!found) throw problem('BTN_TRIGGER_NOT_FOUND', `no trigger ${params.name.slice(0, 100)}`)
    return found
  }
}

/** Reading triggers, and deleting one. */
export function triggerRoutes(app: FastifyInstance, { sql }: Deps): void {
  const find = findTrigger(sql)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/triggers',
    tag,
    summary: 'List triggers, newest first',
    query: PageQuery,
    answers: { 200: listOf(Trigger) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await listTriggers(sql, caller.namespace, query)
      return { items: items.map(triggerOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/triggers/:name',
    tag,
    summary: 'A trigger; never its token',
    answers: { 200: Trigger },
    find,
    handle: ({ found }) => triggerOf(found),
  })

  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/triggers/:name',
    tag,
    summary: 'Delete a trigger; its runs go on',
    answers: { 204: null },
    find,
    async handle({ caller, found, reply }) {
      await deleteTrigger(sql, caller.namespace, found.name)
      return reply.code(204).send()
    },
  })
}

/** Saving a trigger, and giving a webhook another token. */
export function triggerChangeRoutes(app: FastifyInstance, { sql, settings, resolve }: Deps): void {
  addRoute(app, {
    method: 'PUT',
    url: '/api/v1/triggers/:name',
    tag,
    summary: 'Save a trigger',
    description: DESCRIPTION,
    body: TriggerBody,
    answers: { 200: TriggerSaved, 201: TriggerSaved },
    problems: [400, 409, 413, 415],
    async handle({ caller, params: { name }, body, reply }) {
      refuseContent(name, body, settings.BATON_JSON_DEPTH_MAX)
      refuseExpressions(body)
      await refuseWorkflow(caller, body)
      const token = body.type === 'webhook' ? newToken() : undefined
      const saved = await putTrigger(sql, {
        namespace: caller.namespace,
        name,
        createdBy: caller.id,
        tokenHash: token === undefined ? null : hashOf(token),
        ...columnsOf(body),
      })
      reply.code(saved.created ? 201 : 200)
      return { ...triggerOf(saved), ...(token !== undefined && saved.tokenTaken ? shown(token) : {}) }
    },
  })

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/triggers/:name/rotate',
    tag,
    summary: 'Give a webhook another token, shown once; the old one is unknown from now on',
    answers: { 200: TriggerSaved },
    problems: [409],
    find: findTrigger(sql),
    check: refuseEventTrigger,
    async handle({ caller, found }) {
      const token = newToken()
      const saved = await rotateToken(sql, caller.namespace, found.name, hashOf(token))
      if (!saved) throw problem('BTN_TRIGGER_NOT_FOUND', `no webhook ${found.name}`)
      return { ...triggerOf(saved), ...shown(token) }
    },
  })

  async function refuseWorkflow(caller: Caller, { workflow, version, tag }: TriggerBody): Promise<void> {
    const wanted = { ...(version === undefined ? {} : { version }), ...(tag === undefined ? {} : { tag }) }
    const found = await resolve(caller, workflow, wanted).catch((error: unknown) => {
      throw explainDraft(error, { version, tag })
    })
    if (found.archived) throw problem('BTN_WORKFLOW_ARCHIVED', `workflow ${workflow} is archived`)
  }
}

function refuseEventTrigger({ type, name }: TriggerRow): void {
  if (type !== 'webhook') throw problem('BTN_CONFLICT', `trigger ${name} is of type ${type}: only a webhook has a token`)
}

function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

function shown(token: string) {
  return { token, url: `/hooks/${token}` }
}

function columnsOf(body: TriggerBody) {
  const { type, workflow, enabled, ...rest } = body
  const { event, ...settings } = rest as { event?: string } & typeof rest
  return { type, workflow, enabled, settings: settings as unknown as Json, eventType: event ?? null }
}

function refuseExpressions(body: TriggerBody): void {
  const variables = body.type === 'event' ? ['event'] : DELIVERY_VARIABLES
  const filter = body.where === undefined ? undefined : compileFilter(body.where, variables, '/where')
  const mapping = body.input === undefined ? undefined : compileMapping(body.input, variables, '/input')
  const errors: ProblemError[] = [...(filter?.errors ?? []), ...(mapping?.errors ?? [])]
  if (errors.length > 0) throw invalidRequest(errors)
}
