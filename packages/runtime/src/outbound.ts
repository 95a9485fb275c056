/**
 * The guarded HTTP client: everything that Baton calls on behalf of a workflow goes through it. Addresses are checked where the connection is
 * made (guarded-connect.ts), so keep-alive, retries and every redirect are covered; redirects are followed by our own loop.
 */
import { Agent, fetch as undiciFetch } from 'undici'
import { parseAllowList } from './addresses.ts'
import { type AbortHook, exchange, type Hop, type OutboundAnswer } from './exchange.ts'
import { checkUrl, createGuardedConnector, type Lookup, systemLookup } from './guarded-connect.ts'
import { AddressRefused, OutboundTimeout, RedirectRefused } from './outbound-errors.ts'

export type { Lookup, OutboundAnswer }

export interface OutboundOptions {
  /** CIDRs, addresses and host names let through beside public addresses (BATON_HTTP_ALLOW). */
  allow: readonly string[]
  /** Resolves names; the system's resolver unless a test says otherwise. */
  lookup?: Lookup
  redirectsMax?: number
  /** Idle connections are kept this long (4 000 ms) unless the server says otherwise. */
  keepAliveMs?: number
  connectTimeoutMs?: number
}

export interface OutboundRequest {
  method?: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array | undefined
  /** Bound on the whole exchange, redirects and body included; OutboundTimeout when it is over. */
  timeoutMs?: number
  signal?: AbortSignal
  /** Largest body in bytes (10 MiB); BodyTooLarge beyond. */
  bytesMax?: number
  /** Asked before a body has more than 64 KiB, with its bytes: what this gives is waited for before more is read, within the timeout. */
  room?: ((bytes: number) => Promise<void> | undefined) | undefined
  /** `follow` (default), `manual` gives the redirect itself as the answer, `error` throws RedirectRefused. */
  redirect?: 'follow' | 'manual' | 'error'
  /**
   * Asked at the moment when the first request is about to be written, also when it is sent once more since its connection turned out to be dead;
   * when it says no, nothing is written, and NotBegun is thrown. Not asked about redirects: the exchange has begun.
   */
  mayBegin?: (() => boolean) | undefined
  /** Lower-case names of headers that, beside authorization and cookie, must not leave the first origin. */
  sensitiveHeaders?: readonly string[]
}

export interface Outbound {
  /** Makes the call and reads the whole body. Throws AddressRefused, OutboundTimeout, BodyTooLarge, RedirectRefused or an error of the network. */
  request(url: string, options?: OutboundRequest): Promise<OutboundAnswer>
  /** The same guard behind the interface of `fetch`, for libraries that take one (streaming). */
  fetch: typeof globalThis.fetch
  close(): Promise<void>
}

const BYTES_MAX = 10 * 1024 * 1024
const REDIRECTS = new Set([301, 302, 303, 307, 308])
const CREDENTIALS = ['authorization', 'cookie', 'cookie2', 'proxy-authorization', 'www-authenticate']
const BODY_HEADERS = ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-location', 'transfer-encoding']

/** Opens a pool of keep-alive connections behind the guard. Close it when the service ends. */
export function createOutbound(options: OutboundOptions): Outbound {
  const allow = parseAllowList(options.allow)
  const agent = new Agent({
    connect: createGuardedConnector(allow, options.lookup ?? systemLookup, options.connectTimeoutMs ?? 10_000),
    allowH2: false,
    keepAliveTimeout: options.keepAliveMs ?? 4_000,
    // The bound is on the whole exchange; undici's own timers a request would only cost.
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const redirectsMax = options.redirectsMax ?? 5

  async function follow(
    first: string,
    request: OutboundRequest,
    signal: AbortSignal | undefined,
    onAbort: AbortHook,
  ): Promise<OutboundAnswer> {
    let hop = firstHop(first, request)
    for (let redirects = 0; ; redirects++) {
      checkUrl(hop.url, allow)
      const answer = await exchange(agent, hop, {
        bytesMax: request.bytesMax ?? BYTES_MAX,
        room: request.room,
        mayBegin: redirects === 0 ? request.mayBegin : undefined,
        signal,
        onAbort,
      })
      const location = REDIRECTS.has(answer.status) ? answer.headers.location : undefined
      if (location === undefined || request.redirect === 'manual') return answer
      if (request.redirect === 'error')
        throw new RedirectRefused(`answered ${answer.status} with a redirect, and redirects are an error here`)
      if (redirects === redirectsMax) throw new RedirectRefused(`more than ${redirectsMax} redirects`)
      hop = nextHop(hop, answer.status, String(location), request.sensitiveHeaders)
    }
  }

  return {
    request: (url, request = {}) => withTimeout(request.timeoutMs, (onAbort) => follow(url, request, request.signal, onAbort)),
    fetch: (async (input: string | URL | Request, init?: RequestInit) => {
      const url = parseUrl(input instanceof Request ? input.url : String(input))
      checkUrl(url, allow)
      return undiciFetch(input as never, { ...(init as object), dispatcher: agent } as never).catch((error: Error) => {
        // `fetch failed` says nothing; the guard does.
        throw error.cause instanceof AddressRefused ? error.cause : error
      })
    }) as unknown as typeof globalThis.fetch,
    close: () => agent.destroy(),
  }
}

/** One timer for the whole call, and nothing else: no AbortSignal, no listener. */
function withTimeout<T>(timeoutMs: number | undefined, run: (onAbort: AbortHook) => Promise<T>): Promise<T> {
  if (timeoutMs === undefined) return run(() => {})
  let abort: (error: Error) => void = () => {}
  let over: OutboundTimeout | undefined
  const timer = setTimeout(() => {
    over = new OutboundTimeout(timeoutMs)
    abort(over)
  }, timeoutMs)
  const promise = run((hook) => {
    abort = hook
    if (over) hook(over)
  })
  // `finally` would make three promises more.
  return promise.then(
    (answer) => {
      clearTimeout(timer)
      return answer
    },
    (error: unknown) => {
      clearTimeout(timer)
      throw error
    },
  )
}

function firstHop(url: string, request: OutboundRequest): Hop {
  return { url: parseUrl(url), method: (request.method ?? 'GET').toUpperCase(), headers: request.headers ?? {}, body: request.body }
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base)
  if (url === null) throw new AddressRefused(text.slice(0, 200), 'not a URL')
  return url
}

/** The rules of fetch (WHATWG Fetch, HTTP-redirect fetch): POST becomes GET on 301 and 302, everything but GET and HEAD on 303. */
function nextHop(hop: Hop, status: number, location: string, sensitive: readonly string[] = []): Hop {
  const url = parseUrl(location, hop.url)
  if (url.hash === '') url.hash = hop.url.hash
  const drop = new Set<string>()
  const toGet =
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD') || ((status === 301 || status === 302) && hop.method === 'POST')
  if (toGet) for (const name of BODY_HEADERS) drop.add(name)
  if (url.origin !== hop.url.origin) for (const name of [...CREDENTIALS, 'host', ...sensitive]) drop.add(name)
  const headers = Object.fromEntries(Object.entries(hop.headers).filter(([name]) => !drop.has(name.toLowerCase())))
  return { url, method: toGet ? 'GET' : hop.method, headers, body: toGet ? undefined : hop.body }
}
