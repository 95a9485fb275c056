/** Deliveries to webhooks. Their token is all that is asked of who sends; what it signs is asked of what is sent. */
import { HookAccepted, idOf, Json, storable, type Verify, type WebhookBody } from '@baton/contracts'
import { ExpressionError } from '@baton/engine'
import { problem, traceOf } from '@baton/runtime'
import { findWebhook, noteTriggerError, SecretUnreadable, type TriggerRow } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hashOf } from '../access.ts'
import type { Deps } from '../app.ts'
import { refusalOf } from '../draft-triggered-runs.ts'
import { rawBodyOf, takeRawBodies } from '../raw-bodies.ts'
import { challengeOf, DELIVERY_VARIABLES, type DeliveryVariables, deliveryIdOf, readDelivery } from '../read-delivery.ts'
import { addRoute } from '../route.ts'
import { compileTrigger } from '../start-triggered.ts'
import { distrust, secretNameOf } from '../verify-delivery.ts'

const DESCRIPTION =
  'No bearer token: the address holds one, and the body is signed as the trigger asks for. 200 when this delivery has come before, and for the ' +
  'challenge of Slack; `run` is null when the delivery does not match `where`.'
const BODIES = ['application/json', 'application/x-www-form-urlencoded', 'text/plain']

type Webhook = TriggerRow & { now: number }
type HookSettings = Omit<WebhookBody, 'type' | 'workflow' | 'enabled'>

/** POST /hooks/{token}. */
export function hookRoutes(parent: FastifyInstance, deps: Deps): void {
  const { sql, settings } = deps
  parent.register(async (app) => {
    takeRawBodies(app)
    // Before the body is read: who has no token sends none.
    app.addHook('onRequest', async (request) => {
      const webhook = await findWebhook(sql, hashOf((request.params as { token: string }).token))
      if (!webhook) throw problem('BTN_HOOK_NOT_FOUND', 'no webhook has this token')
      request.found = webhook
    })
    addRoute(app, {
      method: 'POST',
      url: '/hooks/:token',
      tag: 'triggers',
      summary: 'Deliver to a webhook',
      description: DESCRIPTION,
      rawBody: { contentTypes: BODIES, schema: Json },
      query: z.looseObject({}),
      answers: { 200: z.union([HookAccepted, z.object({ challenge: z.string() })]), 202: HookAccepted },
      problems: [400, 401, 404, 409, 413, 422, 503],
      bodyLimit: settings.BATON_HOOK_BYTES_MAX,
      limitName: 'BATON_HOOK_BYTES_MAX',
      async handle({ request, reply }) {
        const webhook = request.found as Webhook
        try {
          const { status, answer } = await deliver(deps, webhook, request)
          reply.code(status)
          return answer
        } catch (error) {
          await noteRefusal(deps, webhook, error)
          throw error
        }
      },
    })
  })
}

type Answered = { status: number; answer: HookAccepted | { challenge: string } }

async function deliver(deps: Deps, webhook: Webhook, request: FastifyRequest): Promise<Answered> {
  const { metrics, draft, starter } = deps
  const { namespace, name, workflow } = webhook
  const settings = webhook.settings as unknown as HookSettings
  const body = rawBodyOf(request.body)
  await verify(deps, webhook, settings.verify, request, body)
  if (!webhook.enabled) throw problem('BTN_TRIGGER_DISABLED', `trigger ${name} is not enabled`)
  const delivery = readDelivery({ headers: request.headers, body, query: request.query })
  const challenge = challengeOf(settings.verify, delivery.body)
  if (challenge !== undefined) return { status: 200, answer: { challenge } }
  const input = inputOf(settings, delivery)
  if (input === undefined) {
    metrics.triggerFirings.inc({ type: 'webhook', outcome: 'unmatched' })
    return { status: 202, answer: { run: null } }
  }
  const deliveryId = deliveryIdOf(settings.verify, settings.deliveryHeader, delivery)
  const { version, tag, priority } = settings
  const origin = {
    ...{ namespace, startedBy: `trigger:${name}`, workflow, version, tag, priority },
    labels: { ...settings.labels, 'baton.trigger': name },
    trace: traceOf(request),
    requestId: request.id,
    idempotencyKey: deliveryId === undefined ? undefined : `hook:${name}:${deliveryId}`,
  }
  const { id, outcome } = await starter.start(await draft(origin, input))
  metrics.triggerFirings.inc({ type: 'webhook', outcome: outcome === 'created' ? 'started' : 'known' })
  return { status: outcome === 'created' ? 202 : 200, answer: { run: idOf('run', id) } }
}

/** The input of the run; undefined when the delivery does not match. */
function inputOf(settings: HookSettings, delivery: DeliveryVariables): Json | undefined {
  try {
    const { filter, mapping } = compileTrigger(settings, DELIVERY_VARIABLES)
    if (filter && !filter.matches(delivery)) return undefined
    return mapping ? mapping.render(delivery) : delivery.body
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    throw problem('BTN_MAPPING', error.message, { cause: error })
  }
}

/** Throws 401 for what is forged or stale, 503 while the secret is missing: then it is to be sent again. */
async function verify({ sql, secretBox }: Deps, webhook: Webhook, how: Verify, request: FastifyRequest, body: Buffer): Promise<void> {
  const secretName = secretNameOf(how)
  if (how === 'none' || secretName === undefined) return
  const secret = (await secretBox.readSecrets(sql, webhook.namespace, [secretName])).get(secretName)
  if (secret === undefined) throw problem('BTN_UNAVAILABLE', `the secret ${secretName} that deliveries are verified with is not stored`)
  const reason = distrust(how, secret, { headers: request.headers, body, now: webhook.now })
  if (reason !== undefined) throw problem('BTN_SIGNATURE', reason)
}

async function noteRefusal({ sql, metrics }: Deps, { namespace, name }: Webhook, error: unknown): Promise<void> {
  metrics.triggerFirings.inc({ type: 'webhook', outcome: 'refused' })
  const reason = error instanceof SecretUnreadable ? error.message : refusalOf(error)
  if (reason !== undefined) await noteTriggerError(sql, namespace, name, storable(reason) as string).catch(() => {})
}
