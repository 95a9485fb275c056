/** API keys are looked up by their hash; a short cache spares the hot path a query, a message on revocation empties it. */
import { idOf } from '@baton/contracts'
import { type ApiKeyRow, findApiKey, type Sql } from '@baton/store'
import { LRUCache } from 'lru-cache'
import type { FindKey } from './access.ts'
import type { Caller } from './caller.ts'

const KEYS_MAX = 10_000
/** Unknown tokens are remembered for as long, so that guessing costs no query each. */
const UNKNOWN_MS = 1_000

export interface KeyCache {
  find: FindKey
  /** A key (SHA-256 in hex) was revoked: it is not known any more. */
  forget(hash: string): void
}

/** Looks keys up through a cache whose entries live at most `ttlMs`, also when the message of a revocation is lost. */
export function createKeyCache({ sql, ttlMs }: { sql: Sql; ttlMs: number }): KeyCache {
  const cache = new LRUCache<string, { caller: Caller | undefined }>({ max: KEYS_MAX })
  return {
    async find(hash) {
      const known = cache.get(hash)
      if (known) return known.caller
      const row = await findApiKey(sql, Buffer.from(hash, 'hex'))
      const caller = row && callerOf(row)
      const ttl = caller ? ttlMs : Math.min(ttlMs, UNKNOWN_MS)
      if (ttl > 0) cache.set(hash, { caller }, { ttl })
      return caller
    },
    forget: (hash) => void cache.delete(hash),
  }
}

function callerOf(row: ApiKeyRow): Caller {
  return { id: idOf('key', row.id), name: row.name, role: row.role, groups: row.groups, namespace: row.namespace }
}
