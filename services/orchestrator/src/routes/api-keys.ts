/** API keys: made here and shown once, listed, revoked. */
import { randomBytes } from 'node:crypto'
import { ApiKey, ApiKeyCreated, keys, listOf, newUuid, uuidOf } from '@baton/contracts'
import { problem } from '@baton/runtime'
import { type ApiKeyRow, createApiKey, getApiKey, hashApiKey, listApiKeys, revokeApiKey } from '@baton/store'
import type { FastifyInstance } from 'fastify'
import type { Deps } from '../app.ts'
import { ApiKeyBody, PageQuery } from '../bodies.ts'
import { apiKeyOf } from '../public-shapes.ts'
import { addRoute } from '../route.ts'

const tag = 'api-keys'

/** Lists and makes API keys. */
export function apiKeyRoutes(app: FastifyInstance, { sql }: Deps): void {
  addRoute(app, {
    method: 'GET',
    url: '/api/v1/api-keys',
    tag,
    summary: 'List API keys, newest first, revoked ones too; never their secret part',
    query: PageQuery,
    answers: { 200: listOf(ApiKey) },
    async handle({ caller, query }) {
      const { items, nextCursor } = await listApiKeys(sql, caller.namespace, query)
      return { items: items.map(apiKeyOf), nextCursor }
    },
  })

  addRoute(app, {
    method: 'POST',
    url: '/api/v1/api-keys',
    tag,
    summary: 'Make an API key; `key` is shown this once',
    body: ApiKeyBody,
    answers: { 201: ApiKeyCreated },
    problems: [400, 409, 413, 415],
    async handle({ caller, body, reply }) {
      const key = `btn_${randomBytes(32).toString('base64url')}`
      const { name, role, groups, namespace = caller.namespace } = body
      const row = await createApiKey(sql, { id: newUuid(), namespace, name, role, groups, hash: hashApiKey(key) })
      if (!row) throw problem('BTN_NAME_TAKEN', `namespace ${namespace} has a key named ${name}`)
      reply.code(201)
      return { ...apiKeyOf(row), key }
    },
  })
}

/** DELETE /api-keys/{id}. */
export function apiKeyRevokeRoutes(app: FastifyInstance, { sql, redis, keyCache }: Deps): void {
  addRoute(app, {
    method: 'DELETE',
    url: '/api/v1/api-keys/:id',
    tag,
    summary: 'Revoke an API key, within 10 s everywhere',
    answers: { 204: null },
    async find({ caller, params }): Promise<ApiKeyRow> {
      const id = uuidOf('key', params.id)
      const key = id && (await getApiKey(sql, caller.namespace, id))
      if (!key) throw problem('BTN_KEY_NOT_FOUND', `no API key ${params.id.slice(0, 100)}`)
      return key
    },
    async handle({ caller, found, reply }) {
      const revoked = await revokeApiKey(sql, caller.namespace, found.id)
      if (revoked) {
        const hash = revoked.hash.toString('hex')
        keyCache.forget(hash)
        // Others forget it at once by this message, or when their copy is 10 s old.
        redis.publish(keys.revoked, hash).catch(() => {})
      }
      return reply.code(204).send()
    },
  })
}
