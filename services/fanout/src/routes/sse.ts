/** GET /sse/runs/{id} (CONTRACT §5). */
import { uuidOf } from '@baton/contracts'
import { problem } from '@baton/runtime'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Authenticator, namespaceOf, type Principal, tokenOf } from '../authenticate.ts'
import type { Hub, OpenedRun } from '../hub.ts'
import { type SseOptions, serveSse } from '../serve-sse.ts'

/** Tokens are sent by hand and never by cookie, so any page may ask. */
const CORS = { 'access-control-allow-origin': '*' } as const
const PREFLIGHT = {
  ...CORS,
  'access-control-allow-headers': 'authorization, last-event-id, x-baton-namespace',
  'access-control-max-age': '86400',
}

type Query = Record<string, unknown>

/** Adds the route. */
export function sseRoutes(app: FastifyInstance, options: SseOptions & { hub: Hub; authenticator: Authenticator }): void {
  app.options('/sse/runs/:id', (_request, reply) => reply.code(204).headers(PREFLIGHT).send())

  app.get<{ Params: { id: string }; Querystring: Query }>('/sse/runs/:id', async (request, reply) => {
    reply.headers(CORS)
    const principal = await identify(request, options.authenticator)
    const run = await openRun(options.hub, principal, request.params.id)
    try {
      return start(request, reply, principal, run, options)
    } finally {
      run.release()
    }
  })
}

function start(
  request: FastifyRequest<{ Querystring: Query }>,
  reply: FastifyReply,
  principal: Principal,
  run: OpenedRun,
  options: SseOptions,
) {
  const after = readAfter(request, run.lastSeq)
  if (run.ended && after === run.lastSeq) return reply.code(204).send()
  const headers = { ...CORS, 'x-request-id': request.id }
  if (!serveSse(reply.raw, headers, { principal, run, after }, options)) {
    throw problem('BTN_TOO_MANY_REQUESTS', 'too many clients (FANOUT_CLIENTS_MAX)', { headers: { 'retry-after': '5' } })
  }
  return reply.hijack()
}

async function identify(request: FastifyRequest<{ Querystring: Query }>, authenticator: Authenticator): Promise<Principal> {
  const principal = await authenticator.authenticate(tokenOf(request), namespaceOf(request))
  if (principal !== undefined) return principal
  const headers = { 'www-authenticate': 'Bearer realm="baton"' }
  throw problem('BTN_UNAUTHORIZED', 'no or unknown credential: send `Authorization: Bearer <api key>` or ?token=', { headers })
}

async function openRun(hub: Hub, principal: Principal, id: string): Promise<OpenedRun> {
  const runId = uuidOf('run', id)
  const run = runId === undefined ? undefined : await hub.openRun(principal.namespace, runId)
  if (run === undefined) throw problem('BTN_RUN_NOT_FOUND', `run ${id} not found`)
  if (principal.role !== 'worker') return run
  run.release()
  throw problem('BTN_FORBIDDEN', 'role worker may not follow runs')
}

/** Where to go on: `Last-Event-ID`, which a reconnecting client sends beside its first URL, else `?after=`, else the run's first event. */
function readAfter(request: FastifyRequest<{ Querystring: Query }>, lastSeq: number): number {
  const header = request.headers['last-event-id']
  const [text, pointer] = header ? [header, '/headers/last-event-id'] : [request.query.after, '/query/after']
  if (text === undefined || text === '') return 0
  const after = typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  const message = Number.isNaN(after) ? 'must be the seq of an event' : after > lastSeq ? `is beyond the last event, ${lastSeq}` : undefined
  if (message === undefined) return after
  throw problem('BTN_INVALID_REQUEST', `${pointer}: ${message}`, { errors: [{ pointer, message }] })
}
