/**
 * The two hooks that guard every route: onRequest asks who it is (401), preValidation finds what is addressed (404) and asks
 * whether the role may (403). State (409) and content (422) are judged after these, in addRoute.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { problem } from '@baton/runtime'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Caller } from './caller.ts'
import { accessOf } from './route-roles.ts'
import { isStorable } from './storable.ts'

/** Looks up the caller that a token's SHA-256 (hex) belongs to; undefined when it is unknown or revoked. */
export type FindKey = (hash: string) => Promise<Caller | undefined>

const NAMESPACE = /^[a-z0-9][a-z0-9-]{0,62}$/

/** Puts both hooks on the app, and refuses routes that the table of roles does not name. */
export function guardRoutes(app: FastifyInstance, { adminKey, findKey }: { adminKey: string; findKey: FindKey }): void {
  const adminHash = hashOf(adminKey)
  app.decorateRequest('caller', null as never)
  app.decorateRequest('found', undefined)
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) {
      if (accessOf(name, url) === undefined) throw new Error(`route ${name} ${url} has no entry in src/route-roles.ts`)
    }
  })
  app.addHook('onRequest', async (request) => {
    if (isPublic(request)) return
    request.caller = await authenticate(request, adminHash, findKey)
  })
  app.addHook('preValidation', async (request) => {
    if (request.is404 || isPublic(request)) return
    // No name holds what Postgres cannot: nothing is there.
    if (!Object.values(request.params as Record<string, string>).every(isStorable))
      throw problem('BTN_NOT_FOUND', 'nothing at this address')
    request.found = await request.routeOptions.config.find?.(request)
    const access = accessOf(request.method, request.routeOptions.url ?? '')
    if (!access?.includes(request.caller.role)) {
      throw problem('BTN_FORBIDDEN', `role ${request.caller.role} may not ${request.method} ${request.routeOptions.url}`)
    }
  })
}

/** Unknown addresses outside the API are nobody's secret; inside it, who asks comes first. */
function isPublic(request: FastifyRequest): boolean {
  if (request.is404) return !request.url.startsWith('/api/')
  return accessOf(request.method, request.routeOptions.url ?? '') === 'public'
}

async function authenticate(request: FastifyRequest, adminHash: string, findKey: FindKey): Promise<Caller> {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ', 2)
  if (scheme?.toLowerCase() !== 'bearer' || !token) throw unauthorized('no credential: send `Authorization: Bearer <api key>`')
  const tokenHash = hashOf(token)
  const caller = timingSafeEqual(Buffer.from(tokenHash), Buffer.from(adminHash)) ? ADMIN : await findKey(tokenHash)
  if (!caller) throw unauthorized('the credential is unknown or revoked')
  return inNamespace(caller, request.headers['x-baton-namespace'])
}

/** The identity of BATON_ADMIN_KEY; stable, so that what it started and decided stays its own. */
export const ADMIN: Caller = { id: 'key_admin', name: 'admin', role: 'admin', groups: [], namespace: 'default' }

function inNamespace(caller: Caller, named: string | string[] | undefined): Caller {
  if (named === undefined || named === caller.namespace) return caller
  if (caller.role !== 'admin') throw problem('BTN_FORBIDDEN', 'only an admin key may name another namespace')
  if (typeof named !== 'string' || !NAMESPACE.test(named)) {
    throw problem('BTN_NOT_FOUND', 'x-baton-namespace is not the name of a namespace: ^[a-z0-9][a-z0-9-]{0,62}$')
  }
  return { ...caller, namespace: named }
}

function unauthorized(detail: string): Error {
  return problem('BTN_UNAUTHORIZED', detail, { headers: { 'www-authenticate': 'Bearer realm="baton"' } })
}

/** SHA-256 of a token in hex: what is stored, cached and compared in its place. */
export function hashOf(token: string): string {
  return hash('sha256', token)
}
