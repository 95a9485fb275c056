/** One request and its answer on a pool of undici, at the lowest level it offers: no streams, no signals, no timers of its own. */
import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { decodeBody } from './decode-body.ts'
import { BodyTooLarge, NotBegun } from './outbound-errors.ts'

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
  /** Whether the request may be written now. */
  mayBegin?: (() => boolean) | undefined
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
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) return reject(options.signal.reason)
    const exchange = new Exchange(hop, options, resolve, reject)
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
        exchange,
      )
    } catch (error) {
      exchange.fail(error as Error)
    }
  })
}

/** What undici tells of one request. A class, because there are thousands a second: one object each, with methods that all of them share. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #hop: Hop
  readonly #options: ExchangeOptions
  readonly #resolve: (answer: OutboundAnswer) => void
  readonly #reject: (error: Error) => void
  readonly #onSignal: (() => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #settled: Error | undefined
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #bytes = 0
  #roomFor = ROOM_BYTES_MIN
  readonly #chunks: Buffer[] = []

  constructor(hop: Hop, options: ExchangeOptions, resolve: (answer: OutboundAnswer) => void, reject: (error: Error) => void) {
    this.#hop = hop
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
    const { signal } = options
    this.#onSignal = signal && (() => this.fail(signal.reason as Error))
    if (this.#onSignal) signal!.addEventListener('abort', this.#onSignal, { once: true })
    options.onAbort((error) => this.fail(error))
  }

  fail(error: Error): void {
    if (this.#settled) return
    this.#settled = error
    this.#forgetSignal()
    this.#reject(error)
    this.#controller?.abort(error)
  }

  #forgetSignal(): void {
    if (this.#onSignal) this.#options.signal!.removeEventListener('abort', this.#onSignal)
  }

  /** Read on when there is room: until then the other side feels that nobody reads. */
  #makeRoom(to: number): void {
    const { room, bytesMax } = this.#options
    if (room === undefined || to <= this.#roomFor) return
    this.#roomFor = Math.min(to, bytesMax)
    const given = room(this.#roomFor)
    if (given === undefined) return
    const controller = this.#controller!
    controller.pause()
    void given.then(() => controller.resume())
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (!this.#settled && this.#options.mayBegin?.() === false) this.fail(new NotBegun())
    // Aborted while it waited for a connection.
    else if (this.#settled) controller.abort(this.#settled)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: object): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers as IncomingHttpHeaders
    if (this.#hop.method === 'HEAD') return
    const { bytesMax } = this.#options
    const length = Number(this.#headers['content-length'])
    if (length > bytesMax) this.fail(new BodyTooLarge(bytesMax))
    else if (length > 0) this.#makeRoom(length)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { bytesMax } = this.#options
    this.#bytes += chunk.length
    if (this.#bytes > bytesMax) return this.fail(new BodyTooLarge(bytesMax))
    this.#chunks.push(chunk)
    if (this.#bytes > this.#roomFor) this.#makeRoom(2 * this.#bytes)
  }

  onResponseEnd(): void {
    this.#forgetSignal()
    if (this.#settled) return
    const chunks = this.#chunks
    const headers = this.#headers
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const answer = { status: this.#status, headers, body, url: this.#hop.url.href }
    const encoding = headers['content-encoding']
    if (encoding === undefined || body.length === 0) return this.#resolve(answer)
    const { bytesMax, room } = this.#options
    // Not settled by a promise: the timeout still counts.
    decodeInRoom(body, encoding, bytesMax, room).then((decoded) => this.#resolve({ ...answer, body: decoded }), this.#reject)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.fail(this.#status === 0 ? error : Object.assign(error, { answered: true }))
  }
}
