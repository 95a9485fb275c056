import type { Role } from '@baton/contracts'

/** Who asks: an API key or the admin key, in the namespace it works in. Groups and role count as it votes. */
export interface Caller {
  /** Public id of the key, `key_admin` for the admin key. Stored as who did a thing. */
  id: string
  name: string
  role: Role
  groups: readonly string[]
  namespace: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set by the onRequest hook on every route that is not public. */
    caller: Caller
    /** What `find` of the route gave. */
    found: unknown
  }
}
