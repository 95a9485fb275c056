/** Callbacks: what services post to the address that a call brought along. The signature in the address is all that is asked of who sends. */
import { CallbackAccepted, idOf, Json, storable } from '@baton/contracts'
import { type CallbackTarget, problem } from '@baton/runtime'
import { type CallbackStanding, findCallback, takeCallback } from '@baton/store'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Deps } from '../app.ts'
import { timeOf } from '../public-shapes.ts'
import { rawBodyOf, takeRawBodies } from '../raw-bodies.ts'
import { type DeliveryVariables, readDelivery } from '../read-delivery.ts'
import { isDeeperThan } from '../read-input.ts'
import { addRoute, invalidRequest } from '../route.ts'

const DESCRIPTION =
  'For a step with `callback: true`: its call brings this address along as `${{ callback.url }}`. No bearer token: the address is signed. Answers ' +
  'when the callback is durable, also before the call itself was answered. One counts for each generation of a step: after it, and when the step ' +
  'or its run has ended, the answer is 409.'
const BODIES = ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream']

/** POST /callbacks/{token}. */
export function callbackRoutes(parent: FastifyInstance, deps: Deps): void {
  const { settings, callbackTokens, metrics } = deps
  parent.register(async (app) => {
    takeRawBodies(app)
    // Before the body is read: who has no token sends none.
    app.addHook('onRequest', async (request) => {
      const target = callbackTokens.read((request.params as { token: string }).token)
      if (target) request.found = target
      else {
        metrics.callbacks.inc({ outcome: 'forged' })
        throw problem('BTN_CALLBACK_TOKEN', 'no step made this address')
      }
    })
    addRoute(app, {
      method: 'POST',
      url: '/callbacks/:token',
      tag: 'runs',
      summary: 'Call back to a step that waits for it',
      description: DESCRIPTION,
      rawBody: { contentTypes: BODIES, schema: Json },
      query: z.looseObject({}),
      answers: { 202: CallbackAccepted },
      problems: [400, 401, 404, 409, 413, 422],
      bodyLimit: settings.BATON_CALLBACK_BYTES_MAX,
      limitName: 'BATON_CALLBACK_BYTES_MAX',
      async handle({ request, reply }) {
        const target = request.found as CallbackTarget
        await accept(deps, target, request)
        reply.code(202)
        return { run: idOf('run', target.runId), step: target.path }
      },
    })
  })
}

/** Throws 404, 409, 400 and 422 in this order. */
async function accept({ sql, facts, metrics, settings }: Deps, target: CallbackTarget, request: FastifyRequest): Promise<void> {
  const { runId, path, generation } = target
  const standing = refuse(await findCallback(sql, target), metrics)
  const { headers, query, body } = read(request, settings.BATON_JSON_DEPTH_MAX)
  const given = { headers: headers as Record<string, Json>, query: query as Record<string, Json>, body }
  const isTaken = await takeCallback(sql, runId, { kind: 'callback', path, generation, receivedAt: standing.now, ...given })
  if (!isTaken) {
    refuse(await findCallback(sql, target), metrics)
    throw problem('BTN_INTERNAL', 'a callback was neither taken nor refused')
  }
  metrics.callbacks.inc({ outcome: 'received' })
  request.log.info({ runId, path, generation }, 'callback received')
  // A wake-up only: the callback stands in Postgres.
  facts.send({ kind: 'inbox', runId }).catch(() => {})
}

/** What comes without a content-type is JSON if it can be. */
function read({ headers, query, body }: FastifyRequest, depthMax: number): DeliveryVariables {
  const given = { headers, query, body: rawBodyOf(body) }
  const delivery = storable(headers['content-type'] === undefined ? readUntyped(given) : readDelivery(given)) as DeliveryVariables
  if (isDeeperThan(delivery.body, depthMax)) throw invalidRequest([{ pointer: '', message: `is nested deeper than ${depthMax} levels` }])
  return delivery
}

function readUntyped(given: Parameters<typeof readDelivery>[0]): DeliveryVariables {
  try {
    return readDelivery(given)
  } catch {
    return { ...readDelivery({ ...given, body: Buffer.alloc(0) }), body: given.body.toString('utf8') }
  }
}

/** The standing of a step that takes a callback; throws why it takes none. */
function refuse(standing: CallbackStanding | undefined, metrics: Deps['metrics']): CallbackStanding {
  if (!standing) {
    metrics.callbacks.inc({ outcome: 'late' })
    throw problem('BTN_RUN_NOT_FOUND', 'the run of this callback is not there any more')
  }
  const { outcome, ended, status, at } = standing
  if (outcome === null && !ended) return standing
  metrics.callbacks.inc({ outcome: outcome === 'received' ? 'repeated' : 'late' })
  if (outcome === 'received') throw problem('BTN_CALLBACK_STATE', `a callback was received at ${timeOf(at!)}; one counts`)
  if (outcome === 'closed') throw problem('BTN_CALLBACK_STATE', `the step ended without a callback at ${timeOf(at!)}`)
  throw problem('BTN_CALLBACK_STATE', `the run is ${status}`)
}
