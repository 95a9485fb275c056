/**
 * How a route is declared: its schemas, what it addresses, what its state must allow, what it does. The order of the checks is the
 * contract's — 401, 404, 403 (access.ts), then 409 (`check`), then 422 (query and body) — whatever the route.
 */
import type { ProblemError } from '@baton/contracts'
import { explainIssues, parseContent, pointerOf, problem } from '@baton/runtime'
import { InvalidCursor } from '@baton/store'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Caller } from './caller.ts'
import { isStorable, UNSTORABLE } from './storable.ts'

/** Parameter names of a route pattern, as an object of texts. */
export type ParamsOf<Url extends string> = Url extends `${string}:${infer Name}/${infer Rest}`
  ? { [K in Name]: string } & ParamsOf<`/${Rest}`>
  : Url extends `${string}:${infer Name}`
    ? { [K in Name]: string }
    : unknown

/** What `find` and `check` see: nothing of the content is judged yet. */
export interface Call<Url extends string> {
  caller: Caller
  params: ParamsOf<Url>
  request: FastifyRequest
  reply: FastifyReply
}

const Nothing = z.strictObject({})
type Nothing = typeof Nothing

export interface RouteSpec<Url extends string, Query extends z.ZodType, Body extends z.ZodType, Found> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  url: Url
  tag: string
  summary: string
  description?: string
  query?: Query
  /** Absent: the route takes no body (`{}` is let through). A missing body is read as `{}`. */
  body?: Body
  /** Media types and schema of a body that the route parses by itself. */
  rawBody?: { contentTypes: string[]; schema: z.ZodType }
  headers?: z.ZodType
  /** Success answers by status; null has no body. */
  answers: Record<number, z.ZodType | null>
  /** The problem statuses beside 401, 403, 404, 422 and 503 that the route can answer with. */
  problems?: readonly number[]
  /** Bytes; beyond it 413, which names the setting `limitName`. */
  bodyLimit?: number
  limitName?: string
  find?(call: Omit<Call<Url>, 'reply'>): Promise<Found>
  check?(found: Found, call: Call<Url>): void | Promise<void>
  handle(call: Call<Url> & { found: Found; query: z.output<Query>; body: z.output<Body> }): unknown
}

declare module 'fastify' {
  interface FastifyContextConfig {
    find?: ((request: FastifyRequest) => Promise<unknown>) | undefined
    limitName?: string | undefined
  }
}

/** Adds one route. Bodies and queries are strict, their errors are collected, all at once. */
export function addRoute<Url extends string, Query extends z.ZodType = Nothing, Body extends z.ZodType = Nothing, Found = undefined>(
  app: FastifyInstance,
  spec: RouteSpec<Url, Query, Body, Found>,
): void {
  const query = spec.query ?? Nothing
  const body = spec.rawBody ? undefined : (spec.body ?? Nothing)
  app.route({
    method: spec.method,
    url: spec.url,
    ...(spec.bodyLimit === undefined ? {} : { bodyLimit: spec.bodyLimit }),
    schema: schemaOf(spec),
    config: {
      limitName: spec.limitName,
      find: spec.find && ((request) => spec.find!({ caller: request.caller, params: request.params as ParamsOf<Url>, request })),
    },
    handler: async (request, reply) => {
      const call = { caller: request.caller, params: request.params as ParamsOf<Url>, request, reply }
      const found = request.found as Found
      await spec.check?.(found, call)
      const content = readContent(request, query, body)
      try {
        return await spec.handle({ ...call, found, ...(content as { query: z.output<Query>; body: z.output<Body> }) })
      } catch (error) {
        throw error instanceof InvalidCursor ? invalidRequest([{ pointer: '/query/cursor', message: error.message }]) : error
      }
    },
  })
}

function readContent(request: FastifyRequest, query: z.ZodType, body: z.ZodType | undefined): { query: unknown; body: unknown } {
  const asked = parseContent(query, request.query)
  const sent = body && parseContent(body, request.body ?? {})
  const unstorable = unstorableQuery(request.query as Record<string, unknown>)
  if (asked.success && unstorable.length === 0 && (sent === undefined || sent.success))
    return { query: asked.data, body: sent ? sent.data : request.body }
  const errors: ProblemError[] = [
    ...unstorable,
    ...(asked.success ? [] : explainIssues(asked.error.issues, '/query')),
    ...(sent === undefined || sent.success ? [] : explainIssues(sent.error.issues, '')),
  ]
  throw invalidRequest(errors)
}

function unstorableQuery(query: Record<string, unknown>): ProblemError[] {
  return Object.entries(query)
    .filter(([, value]) => ![value].flat().every((text) => typeof text !== 'string' || isStorable(text)))
    .map(([name]) => ({ pointer: `/query${pointerOf([name])}`, message: UNSTORABLE }))
}

/** 422 with a place for each error; the first is also the detail. */
export function invalidRequest(errors: ProblemError[]): Error {
  const [first] = errors
  return problem('BTN_INVALID_REQUEST', first ? `${first.pointer || 'body'}: ${first.message}` : 'the request is invalid', { errors })
}

type Documented = Pick<
  RouteSpec<string, z.ZodType, z.ZodType, never>,
  'url' | 'tag' | 'summary' | 'description' | 'query' | 'headers' | 'body' | 'rawBody' | 'answers' | 'problems'
>

/** What openapi.ts makes the document of; fastify itself checks and serialises nothing by it. */
function schemaOf(spec: Documented): Record<string, unknown> {
  const names = [...spec.url.matchAll(/:(\w+)/g)].map(([, name]) => name!)
  return {
    tags: [spec.tag],
    summary: spec.summary,
    ...(spec.description ? { description: spec.description } : {}),
    ...(names.length > 0 ? { params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) } : {}),
    ...(spec.query ? { querystring: spec.query } : {}),
    ...(spec.headers ? { headers: spec.headers } : {}),
    ...(spec.body ? { body: spec.body } : {}),
    'x-raw-body': spec.rawBody,
    'x-answers': spec.answers,
    'x-problems': spec.problems ?? [],
  }
}
