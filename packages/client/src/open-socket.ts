/** A WebSocket to fanout, in Node (`ws`, the key in a header) and in browsers (the key as a subprotocol). */
import type { ServerFrame } from '@baton/contracts'
import { authHeaders } from './http.ts'
import type { WatchConnection } from './watch-options.ts'

/** Frames of one connection. */
export interface FrameSocket {
  send(frame: object): void
  /** The next frame, or undefined when the connection is over. Frames come in order. */
  next(): Promise<ServerFrame | undefined>
  /** Close code once it is over. */
  readonly closeCode: number
  close(): void
}

/** The part of WebSocket that `ws` and browsers share. */
interface SocketLike {
  send(data: string): void
  close(): void
  terminate?(): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
}

/** More text than this does not wait for a slow reader: the connection is hung up, and its reader resumes when it has read what came. */
const WAITING_CHARS_MAX = 8 * 1024 * 1024
/** Silence after which the client asks `ping`, and again after which it takes the connection for dead. */
const SILENCE_MS = 20_000

/** Opens the connection; resolves when it is open, rejects when it cannot be. */
export async function openSocket(connection: WatchConnection, signal?: AbortSignal): Promise<FrameSocket> {
  signal?.throwIfAborted()
  const raw = await connect(connection)
  const opened = settledLater()
  const socket = wrap(raw, opened)
  const abort = () => {
    socket.close()
    opened.reject(signal?.reason)
  }
  signal?.addEventListener('abort', abort, { once: true })
  const timer = setTimeout(() => {
    socket.close()
    opened.reject(new Error('no answer within 10 s'))
  }, 10_000)
  try {
    await opened.promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
  return socket
}

/** Promise.withResolvers, which Node 20 does not have. */
function settledLater(): PromiseWithResolvers<void> {
  let settle: Pick<PromiseWithResolvers<void>, 'resolve' | 'reject'>
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, ...settle! }
}

async function connect(connection: WatchConnection): Promise<SocketLike> {
  const url = new URL('ws', `${connection.fanoutUrl}/`)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  if (connection.WebSocket === undefined && typeof process !== 'undefined' && process.versions?.node !== undefined) {
    const { WebSocket: NodeSocket } = await import('ws')
    return new NodeSocket(url, { headers: authHeaders(connection), perMessageDeflate: false }) as unknown as SocketLike
  }
  const Socket = connection.WebSocket ?? globalThis.WebSocket
  if (connection.namespace !== undefined) url.searchParams.set('namespace', connection.namespace)
  // Not every key may stand in a subprotocol (RFC 6455: an RFC 9110 token).
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(connection.key)) return new Socket(url, ['baton', connection.key]) as unknown as SocketLike
  url.searchParams.set('token', connection.key)
  return new Socket(url) as unknown as SocketLike
}

function wrap(raw: SocketLike, opened: PromiseWithResolvers<void>): FrameSocket {
  const frames: { frame: ServerFrame; chars: number }[] = []
  let waitingChars = 0
  let taker: ((frame: ServerFrame | undefined) => void) | undefined
  let over = false
  let closeCode = 1006
  let silence: ReturnType<typeof setTimeout> | undefined
  let asked = false

  function end(): void {
    over = true
    clearTimeout(silence)
    taker?.(undefined)
    taker = undefined
  }

  function heard(): void {
    asked = false
    clearTimeout(silence)
    silence = setTimeout(onSilence, SILENCE_MS)
  }

  function onSilence(): void {
    if (asked) {
      if (raw.terminate) raw.terminate()
      else raw.close()
      return end()
    }
    raw.send('{"type":"ping"}')
    asked = true
    silence = setTimeout(onSilence, SILENCE_MS)
  }

  function hangUp(): void {
    raw.close()
    end()
  }

  raw.onopen = () => {
    heard()
    opened.resolve()
  }
  raw.onmessage = (event: { data: unknown }) => {
    if (over) return
    heard()
    const text = String(event.data)
    const frame = JSON.parse(text) as ServerFrame
    if (taker !== undefined) {
      taker(frame)
      taker = undefined
      return
    }
    frames.push({ frame, chars: text.length })
    waitingChars += text.length
    if (waitingChars > WAITING_CHARS_MAX) hangUp()
  }
  raw.onclose = (event: { code: number }) => {
    closeCode = event.code
    opened.reject(new Error(`closed with ${event.code}`))
    end()
  }
  raw.onerror = (event: { error?: unknown; message?: string }) => {
    opened.reject(event.error ?? new Error(event.message || 'connection failed'))
  }
  return {
    send: (frame) => raw.send(JSON.stringify(frame)),
    next() {
      const waiting = frames.shift()
      waitingChars -= waiting?.chars ?? 0
      if (waiting !== undefined || over) return Promise.resolve(waiting?.frame)
      return new Promise((resolve) => {
        taker = resolve
      })
    },
    get closeCode() {
      return closeCode
    },
    close: hangUp,
  }
}
