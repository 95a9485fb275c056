/** Who a token belongs to. Tokens are looked up by their SHA-256 and kept nowhere. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { NAME, type Role } from '@baton/contracts'

/** Who is connected. `hash` is the SHA-256 (hex) of the token. */
export interface Principal {
  hash: string
  role: Role
  namespace: string
}

/** Looks up a key by the SHA-256 (hex) of its token; undefined when it is unknown or revoked. */
export type FindKey = (hash: string) => Promise<{ role: Role; namespace: string } | undefined>

/** Checks tokens against the keys of the orchestrator. */
export interface Authenticator {
  /** Undefined = no such credential, or it may not name that namespace. Throws when Postgres is away. */
  authenticate(token: string | undefined, namespace: string | undefined): Promise<Principal | undefined>
  /** False when the key was revoked. */
  holds(hash: string): Promise<boolean>
}

/** Makes the check; `adminKey` is BATON_ADMIN_KEY, which works in every namespace. */
export function createAuthenticator({ adminKey, findKey }: { adminKey: string; findKey: FindKey }): Authenticator {
  const adminHash = hashOf(adminKey)
  const isAdmin = (hash: string) => timingSafeEqual(Buffer.from(hash), Buffer.from(adminHash))
  return {
    async authenticate(token, namespace) {
      if (!token) return undefined
      const hash = hashOf(token)
      const key = isAdmin(hash) ? { role: 'admin' as const, namespace: 'default' } : await findKey(hash)
      if (key === undefined) return undefined
      const { role } = key
      if (namespace === undefined || namespace === key.namespace) return { hash, role, namespace: key.namespace }
      return role === 'admin' && NAME.test(namespace) ? { hash, role, namespace } : undefined
    },
    async holds(hash) {
      return isAdmin(hash) || (await findKey(hash)) !== undefined
    },
  }
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}

/** What of a request may carry the token and the namespace. */
export interface CredentialSource {
  headers: Record<string, string | string[] | undefined>
  query: Record<string, unknown>
}

/** The token: `Authorization: Bearer`, else `Sec-WebSocket-Protocol: baton, <token>`, else `?token=`. */
export function tokenOf({ headers, query }: CredentialSource): string | undefined {
  const [scheme, bearer] = (headers.authorization ?? '').toString().split(' ', 2)
  if (scheme?.toLowerCase() === 'bearer' && bearer) return bearer
  const protocols = (headers['sec-websocket-protocol'] ?? '').toString().split(',')
  const offered = protocols.map((protocol) => protocol.trim())
  if (offered[0] === 'baton' && offered[1]) return offered[1]
  return textOf(query.token)
}

/** The namespace that an admin key names: `x-baton-namespace`, or `?namespace=` where headers cannot be set. */
export function namespaceOf({ headers, query }: CredentialSource): string | undefined {
  return textOf(headers['x-baton-namespace']) ?? textOf(query.namespace)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
