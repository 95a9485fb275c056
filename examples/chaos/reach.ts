/** A client that is at home at several replicas: each try goes to another one, as behind a load balancer. */
import { type BatonClient, BatonProblem, BatonUnreachable, createClient } from '@baton/client'
import type { Random } from './random.ts'

export interface Reach {
  client: BatonClient
  /** A client for another key. */
  as(key: string): BatonClient
  /** Answers that no caller should ever get: 5xx other than 503. */
  errors: string[]
  /** Posts a CloudEvent until it is accepted: its id makes that safe. */
  tell(event: { type: string; id: string; data: object }): Promise<void>
  /** Cuts the live connections that are open now, as a network does. */
  cut(): void
}

/** A try is given up after this long, since a stopped replica does not answer and another one does. */
const TRY_MS = 6_000
const TRIES = 60

/** Makes clients that know all replicas of the orchestrator and of fanout. */
export function reachReplicas(options: { urls: string[]; liveUrls: string[]; adminKey: string; random: Random }): Reach {
  const { urls, liveUrls, adminKey, random } = options
  const errors: string[] = []
  const live = new Set<() => void>()

  const fetchAny: typeof fetch = async (input, init) => {
    const url = new URL(input as string)
    const isLive = url.pathname.startsWith('/sse/')
    const target = new URL(`${url.pathname}${url.search}`, random.pick(isLive ? liveUrls : urls))
    if (isLive) return fetchLive(target, init)
    const response = await fetch(target, init)
    if (response.status >= 500 && response.status !== 503) {
      const text = await response
        .clone()
        .text()
        .catch(() => '')
      errors.push(`${init?.method ?? 'GET'} ${url.pathname} was answered ${response.status} ${text}`)
    }
    return response
  }

  async function fetchLive(target: URL, init?: RequestInit): Promise<Response> {
    const cutting = new AbortController()
    live.add(() => cutting.abort())
    return fetch(target, { ...init, signal: AbortSignal.any([cutting.signal, ...(init?.signal ? [init.signal] : [])]) })
  }

  /** A socket to any replica, whichever was asked for. */
  class AnySocket extends WebSocket {
    constructor(url: string | URL, protocols?: ConstructorParameters<typeof WebSocket>[1]) {
      const asked = new URL(url)
      const target = new URL(`${asked.pathname}${asked.search}`, random.pick(liveUrls))
      target.protocol = 'ws:'
      super(target, protocols)
      const end = () => this.close()
      live.add(end)
      this.addEventListener('close', () => live.delete(end))
    }
  }

  const as = (key: string) =>
    createClient({
      url: urls[0]!,
      fanoutUrl: liveUrls[0]!,
      key,
      retries: TRIES,
      timeoutMs: TRY_MS,
      fetch: fetchAny,
      WebSocket: AnySocket,
    })
  return {
    client: as(adminKey),
    as,
    errors,
    async tell(event) {
      const body = JSON.stringify({ specversion: '1.0', source: '/chaos', ...event })
      const headers = { authorization: `Bearer ${adminKey}`, 'content-type': 'application/cloudevents+json' }
      const post = () => fetchAny(`${urls[0]}/api/v1/events`, { method: 'POST', headers, body, signal: AbortSignal.timeout(TRY_MS) })
      for (let accepted = false; !accepted; ) {
        accepted = await post().then(
          (response) => response.status === 202,
          () => false,
        )
        if (!accepted) await new Promise((resolve) => setTimeout(resolve, 200))
      }
    },
    cut() {
      for (const end of live) end()
      live.clear()
    },
  }
}

/**
 * Does what may not simply be sent twice until there is an answer. `unsure` tells that an earlier try had none: a 409 may then mean that it
 * was taken.
 */
export async function insist<T>(
  act: () => Promise<T>,
  isOver: () => boolean = () => false,
): Promise<{ value?: T; problem?: BatonProblem; unsure: boolean }> {
  for (let unsure = false; ; unsure = true) {
    try {
      return { value: await act(), unsure }
    } catch (error) {
      if (error instanceof BatonProblem && error.status !== 503 && error.status < 500) return { problem: error, unsure }
      if (!(error instanceof BatonProblem || error instanceof BatonUnreachable)) throw error
      if (isOver()) return { unsure: true }
    }
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
