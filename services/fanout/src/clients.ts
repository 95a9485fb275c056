/** Everybody who is connected, over WebSocket or SSE: how many, with which keys, and whether their keys still hold. */
import { CLOSE_CODES } from '@baton/contracts'
import type { Authenticator, Principal } from './authenticate.ts'

/** A connected client, as far as the registry cares. */
export interface Client {
  readonly transport: 'websocket' | 'sse'
  /** Undefined until the token was checked. */
  principal(): Principal | undefined
  /** Ends the connection; SSE has no codes and just ends. */
  close(code: number, reason: string): void
  /** Ends it without waiting for anybody. */
  cut(): void
}

/** The registry of clients. */
export interface Clients {
  count(transport: Client['transport']): number
  /** False, and the client is not added, when there are as many as may be. */
  add(client: Client): boolean
  remove(client: Client): void
  /** Closes every client of a key (token hash). */
  revoke(hash: string): void
  /** Asks again for every key in use; closes the clients of those that no longer hold. Throws when Postgres is away. */
  recheck(authenticator: Authenticator): Promise<void>
  closeAll(code: number, reason: string): void
  cutAll(): void
  /** From now on nobody is added. */
  refuse(): void
  /** Resolves when nobody is left. */
  gone(): Promise<void>
}

export interface ClientsOptions {
  max: number
  /** The first client came: live events are needed. */
  onFirst(): void
  /** The last client left: nothing is needed any more. */
  onLast(): void
}

/** Makes the registry. */
export function createClients({ max, onFirst, onLast }: ClientsOptions): Clients {
  const clients = new Set<Client>()
  const gone = Promise.withResolvers<void>()
  let refusing = false

  function revoke(hash: string): void {
    for (const client of [...clients]) {
      if (client.principal()?.hash === hash) client.close(CLOSE_CODES.badToken, 'the credential was revoked')
    }
  }

  return {
    count(transport) {
      return [...clients].filter((client) => client.transport === transport).length
    },
    add(client) {
      if (refusing || clients.size >= max) return false
      clients.add(client)
      if (clients.size === 1) onFirst()
      return true
    },
    remove(client) {
      if (!clients.delete(client) || clients.size > 0) return
      onLast()
      if (refusing) gone.resolve()
    },
    revoke,
    async recheck(authenticator) {
      const hashes = new Set([...clients].flatMap((client) => client.principal()?.hash ?? []))
      for (const hash of hashes) if (!(await authenticator.holds(hash))) revoke(hash)
    },
    closeAll(code, reason) {
      for (const client of [...clients]) client.close(code, reason)
    },
    cutAll() {
      for (const client of [...clients]) client.cut()
    },
    refuse() {
      refusing = true
      if (clients.size === 0) gone.resolve()
    },
    gone: () => gone.promise,
  }
}
