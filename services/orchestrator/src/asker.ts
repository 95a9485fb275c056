import type { FastifyRequest } from 'fastify'
import type { Caller } from './caller.ts'

/** Who asks for a change, and by which request: what the audit keeps. */
export interface Asker {
  namespace: string
  /** Public id of the key. */
  id: string
  requestId: string
}

export function askerOf(caller: Caller, request: FastifyRequest): Asker {
  return { namespace: caller.namespace, id: caller.id, requestId: request.id }
}
