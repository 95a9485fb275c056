/** One Server-Sent Events client: a run's events until it has ended. */
import type { ServerResponse } from 'node:http'
import type { Principal } from './authenticate.ts'
import type { Client, Clients } from './clients.ts'
import { type Delivery, endsRun } from './encode-events.ts'
import type { OpenedRun } from './hub.ts'
import type { RunSubscriber } from './run-feed.ts'

/** Why a response ended, for the metric; `client` hung up, or was sent away because the service stops or its key holds no more. */
export type SseCloseReason = 'client' | 'ended' | 'too_slow'

export interface SseOptions {
  clients: Clients
  bufferBytesMax: number
  commentMs: number
  onDelivered(count: number): void
  onClosed(reason: SseCloseReason): void
}

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies such as nginx would otherwise hold events back.
  'x-accel-buffering': 'no',
} as const

/**
 * Streams every event with seq > after. Ends the response after the run's end; cuts it when the client is too slow, whose reconnect then goes
 * on where it was. False, and nothing is sent, when there are too many clients.
 */
export function serveSse(
  response: ServerResponse,
  headers: Record<string, string>,
  { principal, run, after }: { principal: Principal; run: OpenedRun; after: number },
  options: SseOptions,
): boolean {
  // Whoever hung up while Postgres was asked has no `close` before them that would remove them.
  if (response.destroyed) return true
  let stop: (() => void) | undefined
  let lastType = ''
  let judging = false
  let reason: SseCloseReason = 'client'
  const client: Client = {
    transport: 'sse',
    principal: () => principal,
    close: () => response.end(),
    cut: () => response.destroy(),
  }
  if (!options.clients.add(client)) return false

  function judge(): void {
    if (judging || response.writableLength <= options.bufferBytesMax) return
    judging = true
    setImmediate(() => {
      judging = false
      if (response.writableLength <= options.bufferBytesMax) return
      reason = 'too_slow'
      response.destroy()
    })
  }

  function write(delivery: Delivery): boolean {
    lastType = delivery.events.at(-1)?.type ?? lastType
    options.onDelivered(delivery.events.length)
    return response.write(delivery.sseChunk())
  }

  function endIfOver(): void {
    if (!endsRun(lastType)) return
    reason = 'ended'
    response.end()
  }

  const subscriber: RunSubscriber = {
    batch: false,
    deliver(delivery) {
      if (response.writableEnded) return
      write(delivery)
      judge()
      endIfOver()
    },
    replay(delivery) {
      if (response.writableEnded || write(delivery)) return Promise.resolve()
      return new Promise((resolve) => void response.once('drain', resolve).once('close', resolve))
    },
    caughtUp: endIfOver,
    gone: () => response.end(),
  }
  response.writeHead(200, { ...HEADERS, ...headers })
  response.write(': events of a run\n\n')
  const comments = setInterval(() => response.write(': still here\n\n'), options.commentMs)
  response.once('finish', () => stop?.())
  response.once('close', () => {
    clearInterval(comments)
    stop?.()
    options.clients.remove(client)
    options.onClosed(reason)
  })
  stop = run.follow(subscriber, after)
  return true
}
