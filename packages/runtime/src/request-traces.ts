/**
 * The trace that a request belongs to: the one its caller names, else one that is made when somebody asks for it. Kept beside the raw request, so
 * that logs know it too.
 */

import type { IncomingMessage } from 'node:http'
import { inTrace, newSpanId, parseTraceparent, randomHex, traceparentOf } from '@baton/contracts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Tracing } from './tracing.ts'

interface RequestTrace {
  /** Traceparent of the span of this request. */
  trace: string
  parentSpanId: string | undefined
  /** The caller has brought a trace of its own. */
  isBrought: boolean
  /** Traceparents of spans of other traces. */
  links: string[] | undefined
}

export interface RequestTraces {
  of(raw: IncomingMessage, requestId: string): RequestTrace
  /** Exports the span of a request that was answered. */
  record(request: FastifyRequest, reply: FastifyReply): void
}

declare module 'fastify' {
  interface FastifyInstance {
    requestTraces: RequestTraces
  }
}

const UUID = /^[\da-f]{8}-[\da-f]{4}-[1-8][\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/
/** Asked all the time by machines: their spans say nothing. */
const PROBES = new Set(['/healthz', '/ready', '/health', '/metrics'])

/** A property of the raw request: each entry of a WeakMap is looked at in each collection of young garbage. */
const TRACE = Symbol('trace')
type Traced = IncomingMessage & { [TRACE]?: RequestTrace }

/** For the requests of one service. */
export function createRequestTraces(tracing: Tracing): RequestTraces {
  function begin(raw: IncomingMessage, requestId: string): RequestTrace {
    const caller = parseTraceparent(raw.headers.traceparent)
    const traceId = caller?.traceId ?? traceIdFor(requestId)
    const isSampled = tracing.sample(traceId, caller && (caller.flags & 1) === 1)
    const flags = ((caller?.flags ?? 0) & 0b10) | (isSampled ? 1 : 0)
    const trace = traceparentOf({ traceId, spanId: newSpanId(), flags })
    return { trace, parentSpanId: caller?.spanId, isBrought: caller !== undefined, links: undefined }
  }

  function of(raw: Traced, requestId: string): RequestTrace {
    raw[TRACE] ??= begin(raw, requestId)
    return raw[TRACE]
  }

  return {
    of,
    record(request, reply) {
      const route = request.is404 ? undefined : request.routeOptions.url
      if (!tracing.exporting || (route !== undefined && PROBES.has(route))) return
      const { trace, parentSpanId, links } = of(request.raw, request.id)
      const endMs = Date.now()
      tracing.record({
        name: route === undefined ? request.method : `${request.method} ${route}`,
        kind: 'server',
        trace,
        parentSpanId,
        startMs: endMs - reply.elapsedTime,
        endMs,
        // Neither path nor query: people put tokens there. The route is a template.
        attributes: {
          'http.request.method': request.method,
          'http.route': route,
          'http.response.status_code': reply.statusCode,
          'url.scheme': request.protocol,
          'baton.request.id': request.id,
        },
        ...(reply.statusCode >= 500 ? { error: String(reply.statusCode) } : {}),
        ...(links ? { links } : {}),
      })
    },
  }
}

/** A request id that is a UUID is random enough: then both are the same. */
function traceIdFor(requestId: string): string {
  return UUID.test(requestId) ? requestId.replaceAll('-', '') : randomHex(32)
}

/** Traceparent of the span of a request. */
export function traceOf(request: FastifyRequest): string {
  return request.server.requestTraces.of(request.raw, request.id).trace
}

/**
 * The request is about a span of a run, such as the wait that a vote ends: it joins that trace as its child. A caller that brought a trace of its own
 * stays in it, and both are linked; then a traceparent for a span of the run's trace that stands for the request is given.
 */
export function joinTrace(request: FastifyRequest, runTrace: string | null | undefined, spanId: string): string | undefined {
  const about = inTrace(runTrace, spanId)
  if (about === undefined) return undefined
  const own = request.server.requestTraces.of(request.raw, request.id)
  if (own.isBrought) {
    own.links = [...(own.links ?? []), about]
    return inTrace(runTrace, newSpanId())
  }
  own.trace = inTrace(runTrace, own.trace.slice(36, 52))!
  own.parentSpanId = spanId
  return undefined
}
