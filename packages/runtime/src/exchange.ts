/** One request and its answer on a pool of undici, at the lowest level it offers: no streams, no signals, no timers of its own. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { decodeBody } from './decode-body.ts'
import { BodyTooLarge } from './outbound-errors.ts'

export interface OutboundAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** Where the answer came from, after redirects. */
  url: string
}

/** One request of a chain of redirects. */
export interface Hop {
  url: URL
  method: string
  headers: Readonly<Record<string, string>>
  body: string | Uint8Array | undefined
}

/** Registers how the exchange under way is ended from the outside. */
export type AbortHook = (abort: (error: Error) => void) => void

export interface ExchangeOptions {
  bytesMax: number
  /** Asks whether the body may have so many bytes in memory; it is read on when what this gives resolves. */
  room?: ((bytes: number) => Promise<void> | undefined) | undefined
  signal: AbortSignal | undefined
  onAbort: AbortHook
}

/** Below this nobody is asked for room. */
const ROOM_BYTES_MIN = 64 * 1024
/** Text becomes so many times larger at most when it is decoded, nearly always. */
const LIKELY_RATIO = 12

/** Sends it, and once more when a kept connection turned out to have been closed by the other side before it answered anything. */
export async function exchange(agent: Dispatcher, hop: Hop, options: ExchangeOptions): Promise<OutboundAnswer> {
  try {
    return await exchangeOnce(agent, hop, options)
  } catch (error) {
    if (!isStaleConnection(error) || !isReplayable(hop)) throw error
    return exchangeOnce(agent, hop, options)
  }
}

/** A socket that has served before (bytes were read on it) and broke before the head of this answer. */
function isStaleConnection(error: unknown): boolean {
  const { code, socket, answered } = error as { code?: string; socket?: { bytesRead?: number } | null; answered?: boolean }
  return code === 'UND_ERR_SOCKET' && answered !== true && (socket?.bytesRead ?? 0) > 0
}

/** RFC 9110 §9.2.2: only what does no harm twice; an Idempotency-Key says so of a POST. */
function isReplayable(hop: Hop): boolean {
  return hop.method === 'GET' || hop.method === 'HEAD' || hop.method === 'OPTIONS' || 'idempotency-key' in hop.headers
}

/** A few bytes can become a great many: room is had for what is likely, and for all that may be when that was not enough. */
async function decodeInRoom(body: Buffer, encoding: string, bytesMax: number, room: ExchangeOptions['room']): Promise<Buffer> {
  const likely = Math.min(bytesMax, Math.max(ROOM_BYTES_MIN, body.length * LIKELY_RATIO))
  if (room !== undefined && likely < bytesMax) {
    await room(likely)
    try {
      return await decodeBody(body, encoding, likely)
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw error
    }
  }
  await room?.(bytesMax)
  return decodeBody(body, encoding, bytesMax)
}

function exchangeOnce(agent: Dispatcher, hop: Hop, options: ExchangeOptions): Promise<OutboundAnswer> {
  const { bytesMax, room, signal, onAbort } = options
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined
    let settled: Error | undefined
    let status = 0
    let headers: IncomingHttpHeaders = {}
    let bytes = 0
    let roomFor = ROOM_BYTES_MIN
    const chunks: Buffer[] = []
    const fail = (error: Error) => {
      if (settled) return
      settled = error
      signal?.removeEventListener('abort', onSignal)
      reject(error)
      controller?.abort(error)
    }
    /** Read on when there is room: until then the other side feels that nobody reads. */
    const makeRoom = (to: number) => {
      if (room === undefined || to <= roomFor) return
      roomFor = Math.min(to, bytesMax)
      const given = room(roomFor)
      if (given === undefined) return
      controller!.pause()
      void given.then(() => controller!.resume())
    }
    const onSignal = () => fail(signal!.reason as Error)
    if (signal?.aborted) return reject(signal.reason)
    signal?.addEventListener('abort', onSignal, { once: true })
    onAbort(fail)
    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(given) {
        controller = given
        // Aborted while it waited for a connection.
        if (settled) given.abort(settled)
      },
      onResponseStart(_controller, statusCode, given) {
        if (statusCode < 200) return
        status = statusCode
        headers = given as IncomingHttpHeaders
        if (hop.method === 'HEAD') return
        const length = Number(headers['content-length'])
        if (length > bytesMax) fail(new BodyTooLarge(bytesMax))
        else if (length > 0) makeRoom(length)
      },
      onResponseData(_controller, chunk) {
        bytes += chunk.length
        if (bytes > bytesMax) return fail(new BodyTooLarge(bytesMax))
        chunks.push(chunk)
        if (bytes > roomFor) makeRoom(2 * bytes)
      },
      onResponseEnd() {
        signal?.removeEventListener('abort', onSignal)
        if (settled) return
        const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
        const answer = { status, headers, body, url: hop.url.href }
        const encoding = headers['content-encoding']
        if (encoding === undefined || body.length === 0) return resolve(answer)
        decodeInRoom(body, encoding, bytesMax, room).then((decoded) => resolve({ ...answer, body: decoded }), reject)
      },
      onResponseError(_controller, error) {
        fail(status === 0 ? error : Object.assign(error, { answered: true }))
      },
    }
    const { url } = hop
    try {
      agent.dispatch(
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method: hop.method as Dispatcher.HttpMethod,
          headers: hop.headers as Record<string, string>,
          body: hop.body === undefined ? null : hop.body,
        },
        handler,
      )
    } catch (error) {
      fail(error as Error)
    }
  })
}
