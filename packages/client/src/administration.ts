/** API keys, secrets and variables of a namespace. */
import type { ApiKey, ApiKeyCreated, Json, NewApiKey, SecretInfo, VarInfo } from '@baton/contracts'
import type { CallOptions, Send } from './http.ts'
import { readPages } from './pages.ts'

/** Calls on /api/v1/api-keys. */
export function keyCalls(send: Send) {
  return {
    list(options: CallOptions = {}): AsyncGenerator<ApiKey, void, undefined> {
      return readPages(send, '/api/v1/api-keys', { limit: 200 }, options.signal)
    },
    /** Makes a key; its secret part is in this answer and nowhere else. */
    create(key: NewApiKey, options: CallOptions = {}): Promise<ApiKeyCreated> {
      return send({ method: 'POST', path: '/api/v1/api-keys', body: key, ...options })
    },
    revoke(id: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: `/api/v1/api-keys/${encodeURIComponent(id)}`, ...options })
    },
  }
}

/** Calls on /api/v1/secrets; values go in and never come out. */
export function secretCalls(send: Send) {
  const pathOf = (name: string) => `/api/v1/secrets/${encodeURIComponent(name)}`
  return {
    list(options: CallOptions = {}): AsyncGenerator<SecretInfo, void, undefined> {
      return readPages(send, '/api/v1/secrets', { limit: 200 }, options.signal)
    },
    get(name: string, options: CallOptions = {}): Promise<SecretInfo> {
      return send({ method: 'GET', path: pathOf(name), ...options })
    },
    put(name: string, value: string, options: CallOptions = {}): Promise<SecretInfo> {
      return send({ method: 'PUT', path: pathOf(name), body: { value }, ...options })
    },
    delete(name: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: pathOf(name), ...options })
    },
  }
}

/** Calls on /api/v1/vars. */
export function varCalls(send: Send) {
  const pathOf = (name: string) => `/api/v1/vars/${encodeURIComponent(name)}`
  return {
    list(options: CallOptions = {}): AsyncGenerator<VarInfo, void, undefined> {
      return readPages(send, '/api/v1/vars', { limit: 200 }, options.signal)
    },
    get(name: string, options: CallOptions = {}): Promise<VarInfo> {
      return send({ method: 'GET', path: pathOf(name), ...options })
    },
    put(name: string, value: Json, options: CallOptions = {}): Promise<VarInfo> {
      return send({ method: 'PUT', path: pathOf(name), body: { value }, ...options })
    },
    delete(name: string, options: CallOptions = {}): Promise<void> {
      return send({ method: 'DELETE', path: pathOf(name), ...options })
    },
  }
}
