/** Secrets: stored encrypted, used by steps, never given back. */
import { listOf, SecretBody, SecretInfo, VariableName } from '@baton/contracts'
import { problem } from '@baton/runtime'
import type { SecretBox, SecretRow, Sql } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { PageQuery } from '../bodies.ts'
import type { Caller } from '../caller.ts'
import { timeOf } from '../public-shapes.ts'
import { addRoute, invalidRequest } from '../route.ts'

const tag = 'secrets'

function findSecret(sql: Sql, secretBox: SecretBox) {
  return async ({ caller, params }: { caller: Caller; params: { name: string } }) => {
    const secret = await secretBox.getSecretInfo(sql, caller.namespace, params.name)
    if (!secret) throw problem('BTN_SECRET_NOT_FOUND', `no secret ${params.name.slice(0, 100)}`)
    return secret
  }
}

/** Which secrets there are. */
export function secretRoutes(app: FastifyInstance, { sql, secretBox }: Deps): void {
  const find = findSecret(sql, secretBox)

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/secrets',
    tag,
    summary: 'List the names of secrets, last changed first; never a value',
    query: PageQuery,
    answers: { 200: listOf(SecretInfo) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await secretBox.listSecrets(sql, caller.namespace, query)
      return { items: items.map(infoOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'GET',
    url: '/api/v1/secrets/:name',
    tag,
    summary: 'Whether a secret exists and when it was changed; never its value',
    answers: { 200: SecretInfo },
    find,
    handle: ({ found }) => infoOf(found),
  })
}

/** Storing and deleting secrets. */
export function secretChangeRoutes(app: FastifyInstance, { sql, secretBox }: Deps): void {
  const find = findSecret(sql, secretBox)

  addRoute(app, {
    method: 'PUT',
    url: '/api/v1/secrets/:name',
    tag,
    summary: 'Store a secret',
    body: SecretBody,
    answers: { 200: SecretInfo, 201: SecretInfo },
    problems: [400, 413, 415],
    async handle({ caller, params, body, reply }) {
      checkVariableName(params.name)
      const saved = await secretBox.putSecret(sql, caller.namespace, params.name, body.value)
      reply.code(saved.created ? 201 : 200)
      return infoOf(saved)
    },
  })

  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/secrets/:name',
    tag,
    summary: 'Delete a secret',
    answers: { 204: null },
    find,
    async handle({ caller, found, reply }) {
      await secretBox.deleteSecret(sql, caller.namespace, found.name)
      return reply.code(204).send()
    },
  })
}

function infoOf(row: SecretRow): SecretInfo {
  return { name: row.name, updatedAt: timeOf(row.updatedAt) }
}

/** Names that expressions can mention; 422 otherwise. */
export function checkVariableName(name: string): void {
  const parsed = VariableName.safeParse(name)
  if (!parsed.success) throw invalidRequest([{ pointer: '/path/name', message: parsed.error.issues[0]!.message }])
}
