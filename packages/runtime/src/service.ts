/**
 * The HTTP face of every service: request ids, the four probes, metrics, and problem+json for every error, whoever throws it.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { ERRORS } from '@baton/contracts'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { serializerCompiler } from 'fastify-type-provider-zod'
import { trackRoutes } from './allowed-methods.ts'
import type { Check } from './checks.ts'
import { parseJsonBodies } from './json-body.ts'
import type { Logger } from './logger.ts'
import { histogram } from './metrics.ts'
import { addProbes } from './probes.ts'
import { type ProblemException, problem, problemBody } from './problem.ts'
import { requestLog } from './request-log.ts'
import { createRequestTraces } from './request-traces.ts'
import { takeRest } from './take-rest.ts'
import { toProblem } from './to-problem.ts'
import { NO_TRACING, type Tracing } from './tracing.ts'
import { validateContent } from './validate-content.ts'

export interface ServiceOptions {
  name: string
  logger: Logger
  /** What /ready and /health look at. */
  checks: readonly Check[]
  /** Largest body in bytes (1 MiB); answered with 413 beyond. */
  bodyLimit?: number
  /** Where the spans of requests go; what is left is sent when all else is closed. */
  tracing?: Tracing
  /** Called for problems before they are answered, e.g. to add a header. */
  onProblem?(error: ProblemException, request: FastifyRequest, reply: FastifyReply): void
}

const SANE_REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}$/
const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

const durations = histogram('baton_http_request_seconds', 'Time to answer HTTP requests', ['method', 'route', 'status'])

/** A fastify app with all of the above; routes may declare zod schemas. The caller listens and closes. */
export function createService(options: ServiceOptions): FastifyInstance {
  const { tracing = NO_TRACING } = options
  const traces = createRequestTraces(tracing)
  const app = Fastify({
    loggerInstance: options.logger as FastifyBaseLogger,
    childLoggerFactory: (parent, bindings, _options, raw) => requestLog(parent, bindings, traces, raw),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: requestIdOf,
    requestIdHeader: false,
    bodyLimit: options.bodyLimit ?? BODY_BYTES_MAX,
    routerOptions: { maxParamLength: 2_048 },
    forceCloseConnections: 'idle',
    // Hooks that stop work may take the whole grace of 25 s; by itself fastify gives them up after 10 s, with what they hold.
    pluginTimeout: 30_000,
    // While closing, routes still answer: a request that came in time is never refused (/ready tells the load balancer).
    return503OnClosing: false,
    frameworkErrors: (error, request, reply) => void answer(options, error, request, reply),
    clientErrorHandler: answerUnreadable,
  })
  app.setValidatorCompiler(validateContent)
  app.setSerializerCompiler(serializerCompiler)
  parseJsonBodies(app)
  const methodsOf = trackRoutes(app)
  app.decorate('requestTraces', traces)
  flushWhenClosed(app, tracing)
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  letConnectionsGo(app)
  app.addHook('onResponse', (request, reply, done) => {
    observe(request, reply)
    traces.record(request, reply)
    done()
  })
  app.setErrorHandler((error, request, reply) => answer(options, error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(request.url.split('?', 1)[0]!)
    if (allowed.length === 0) return answer(options, problem('BTN_NOT_FOUND', `nothing at ${request.url.split('?', 1)[0]}`), request, reply)
    const headers = { allow: allowed.join(', ') }
    return answer(options, problem('BTN_METHOD_NOT_ALLOWED', `takes ${headers.allow}, not ${request.method}`, { headers }), request, reply)
  })
  addProbes(app, options)
  return app
}

const BODY_BYTES_MAX = 1024 * 1024
/** Spans may hold up an end for so long, and never beyond this time after it began: the grace is for work. */
const FLUSH_MS_MAX = 2_000
const FLUSHED_BY_MS = 23_500

/** Hooks that close are called in the reverse order: this one is the first, so it is called when everything else has ended. */
function flushWhenClosed(app: FastifyInstance, tracing: Tracing): void {
  let closingAt = 0
  app.addHook('preClose', (done) => {
    closingAt = performance.now()
    done()
  })
  app.addHook('onClose', () => tracing.close(Math.max(0, Math.min(FLUSH_MS_MAX, FLUSHED_BY_MS - (performance.now() - closingAt)))))
}

/**
 * Connections that are busy when the service begins to close are not kept alive by their next answer: a kept one would hold up the end. And what is
 * still being sent is taken before it is refused. One hook for both: each costs every answer.
 */
function letConnectionsGo(app: FastifyInstance): void {
  let closing = false
  app.addHook('preClose', (done) => {
    closing = true
    done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    if (closing) reply.header('connection', 'close')
    if (reply.statusCode === 413) void takeRest(request.raw).then(() => done(null, payload))
    else done(null, payload)
  })
}

function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && SANE_REQUEST_ID.test(given) ? given : randomUUID()
}

function observe(request: FastifyRequest, reply: FastifyReply): void {
  const route = request.is404 ? 'unknown' : (request.routeOptions.url ?? 'unknown')
  durations.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1000)
}

function answer(options: ServiceOptions, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toProblem(error)
  options.onProblem?.(known, request, reply)
  if (known.statusCode >= 500) {
    request.log.error({ err: error, method: request.method, route: request.routeOptions?.url }, 'request failed')
  }
  if (known.headers) reply.headers(known.headers)
  return reply
    .code(known.statusCode)
    .header('x-request-id', request.id)
    .header('content-type', PROBLEM_TYPE)
    .serializer(JSON.stringify)
    .send(problemBody(known, request.url.split('?', 1)[0]!))
}

/** What cannot even be parsed as HTTP never becomes a request; it is answered on the socket. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const tooLong = error.code === 'HPE_HEADER_OVERFLOW'
  const [status, reason] = tooLong ? [431, 'Request Header Fields Too Large'] : [400, 'Bad Request']
  const detail = tooLong ? 'the headers are too long' : 'not a readable HTTP request'
  const body = JSON.stringify({
    type: 'https://baton.dev/errors/BTN_BAD_REQUEST',
    title: ERRORS.BTN_BAD_REQUEST.title,
    status,
    detail,
    code: 'BTN_BAD_REQUEST',
    instance: '',
  })
  const head = [`HTTP/1.1 ${status} ${reason}`, `content-type: ${PROBLEM_TYPE}`, `x-request-id: ${randomUUID()}`, 'connection: close']
  socket.end(`${head.join('\r\n')}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}
