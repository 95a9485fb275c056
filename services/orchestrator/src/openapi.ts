/** /openapi.json and /docs, made from the schemas of the routes. Answers are documented, never checked while serving. */
import { ERRORS, Problem } from '@baton/contracts'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { accessOf } from './route-roles.ts'
import { schemaRegistry } from './schema-registry.ts'
import { tidyOpenApi } from './tidy-openapi.ts'

const transformZod = createJsonSchemaTransform({ schemaRegistry, skipList: [] })
const nameSchemas = createJsonSchemaTransformObject({ schemaRegistry })
const ALWAYS_PROBLEMS = [401, 403, 404, 422, 503]
const SUCCESS: Record<number, string> = { 200: 'Done', 201: 'Made', 202: 'Accepted, durably', 204: 'Done; no body' }

/** Documents every route that is added after it. */
export async function documentApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Baton',
        version,
        description: 'Durable, live workflows that pass work between HTTP services, people and AI agents.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as never,
      },
      components: {
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API key, or BATON_ADMIN_KEY' } },
      },
      security: [{ bearer: [] }],
    },
    transform: (document) => {
      const schema = document.schema && describeAnswers(document.schema as Record<string, unknown>, document.route, document.url)
      return transformZod({ ...document, schema: schema as never } as never) as never
    },
    transformObject: ((document: never) => tidyOpenApi(nameSchemas(document) as object)) as never,
  })
  await app.register(swaggerUi, { routePrefix: '/docs', uiConfig: { persistAuthorization: true, docExpansion: 'none' } })
  let text: string | undefined
  app.get('/openapi.json', { schema: { hide: true } as never }, (_, reply) => {
    text ??= JSON.stringify(app.swagger())
    return reply.type('application/json').send(text)
  })
}

function describeAnswers(schema: Record<string, unknown>, route: { method: string | string[] }, url: string): Record<string, unknown> {
  const { 'x-answers': answers, 'x-problems': problems, 'x-raw-body': rawBody, ...rest } = schema
  if (answers === undefined) return rest
  const method = String([route.method].flat()[0])
  const isPublic = accessOf(method, url) === 'public'
  const statuses = [...(isPublic ? [] : ALWAYS_PROBLEMS), ...(problems as number[])].sort((a, b) => a - b)
  const response: Record<string, unknown> = {}
  for (const [status, answer] of Object.entries(answers as Record<number, z.ZodType | null>)) {
    const description = SUCCESS[Number(status)] ?? 'Done'
    response[status] =
      answer === null ? z.undefined().describe(description) : { description, content: { 'application/json': { schema: answer } } }
  }
  for (const status of statuses) {
    response[status] = { description: titlesOf(status), content: { 'application/problem+json': { schema: Problem } } }
  }
  return {
    ...rest,
    operationId: operationIdOf(method, url),
    response,
    ...(isPublic ? { security: [] } : {}),
    ...(rawBody ? rawBodyOf(rawBody as { contentTypes: string[]; schema: z.ZodType }) : {}),
  }
}

function rawBodyOf({ contentTypes, schema }: { contentTypes: string[]; schema: z.ZodType }): Record<string, unknown> {
  return { body: schema, consumes: contentTypes }
}

/** The codes that answer with this status, and what they mean. */
function titlesOf(status: number): string {
  const found = Object.entries(ERRORS).filter(([, error]) => error.status === status)
  return found.map(([code, error]) => `${code}: ${error.title}`).join('; ')
}

/** `GET /api/v1/runs/:id/steps` → `getRunsByIdSteps`: stable, for generated clients. */
function operationIdOf(method: string, url: string): string {
  const words = url
    .replace('/api/v1', '')
    .split('/')
    .filter((part) => part !== '')
    .map((part) =>
      (part.startsWith(':') ? `By-${part.slice(1)}` : part).replace(/(^|[-.])(\w)/g, (_, __, letter: string) => letter.toUpperCase()),
    )
  return method.toLowerCase() + (words.join('') || 'Root')
}
