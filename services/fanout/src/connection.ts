/** One WebSocket client: its token, its frames in their order, its subscriptions, its end. */
import type { Socket } from 'node:net'
import { CLOSE_CODES, type FrameErrorCode } from '@baton/contracts'
import type { WebSocket } from 'ws'
import type { Principal } from './authenticate.ts'
import type { Client, Clients } from './clients.ts'
import type { Hub } from './hub.ts'
import { createOutbox } from './outbox.ts'
import { type ReadFrame, readFrame } from './read-frame.ts'
import { createSubscriptions } from './subscriptions.ts'

/** Why a connection ended, for the metric. */
export type CloseReason = 'client' | 'bad_token' | 'too_slow' | 'dead' | 'shutdown' | 'full' | 'unavailable'

export interface ConnectionOptions {
  hub: Hub
  clients: Clients
  /** Resolves when live events flow (or when waiting for that is no longer worth it). */
  liveReady(): Promise<void>
  bufferBytesMax: number
  frameBytesMax: number
  subscriptionsMax: number
  heartbeatMs: number
  onClosed(reason: CloseReason): void
  onDelivered(count: number): void
  onSubscriptions(change: number): void
  onFailed(err: unknown): void
}

/** Frames that may wait for the one before; then the socket is read no further until they are answered. */
const FRAMES_WAITING_MAX = 64
/** WebSocket close code: try again later (RFC 6455 registry). */
const TRY_AGAIN_LATER = 1013

/** Serves a client until its socket closes. Everything is attached before this returns; `principal` may still be on its way. */
export function serveConnection(
  socket: WebSocket,
  stream: Socket,
  principal: Promise<Principal | undefined>,
  options: ConnectionOptions,
): void {
  let who: Principal | undefined
  let reason: CloseReason = 'client'
  let waiting = 0
  let chain: Promise<unknown>

  function end(code: number, text: string, why: CloseReason): void {
    if (socket.readyState !== socket.OPEN) return
    reason = why
    subscriptions.stopAll()
    socket.close(code, text)
  }

  const outbox = createOutbox({
    socket,
    stream,
    bytesMax: options.bufferBytesMax,
    onTooSlow: () => end(CLOSE_CODES.tooSlow, 'events are not read fast enough', 'too_slow'),
  })
  const answer = (frame: object) => outbox.send(JSON.stringify(frame))
  const refuse = (code: FrameErrorCode, message: string, topic?: string) => answer({ type: 'error', code, message, topic })
  const subscriptions = createSubscriptions({ ...options, outbox, answer, refuse, max: options.subscriptionsMax })
  const client: Client = {
    transport: 'websocket',
    principal: () => who,
    close: (code, text) => end(code, text, code === CLOSE_CODES.badToken ? 'bad_token' : 'shutdown'),
    cut: () => socket.terminate(),
  }

  async function handle(read: ReadFrame): Promise<void> {
    if (who === undefined || socket.readyState !== socket.OPEN) return
    if ('wrong' in read) return refuse('bad_frame', read.wrong)
    const { frame } = read
    if (frame.type === 'ping') return answer({ type: 'pong' })
    if (frame.type === 'unsubscribe') return subscriptions.unsubscribe(frame.topic)
    await subscriptions.subscribe(who, frame)
  }

  /** Frames are answered in their order, also those that came before the token was checked. */
  function enqueue(read: ReadFrame): void {
    if (++waiting >= FRAMES_WAITING_MAX) socket.pause()
    chain = chain
      .then(() => handle(read))
      .catch(options.onFailed)
      .finally(() => {
        if (--waiting < FRAMES_WAITING_MAX && socket.isPaused) socket.resume()
      })
  }

  chain = principal.then(
    (found) => {
      who = found
      if (found === undefined) end(CLOSE_CODES.badToken, 'no or unknown credential', 'bad_token')
    },
    (err) => {
      options.onFailed(err)
      end(TRY_AGAIN_LATER, 'the credential cannot be checked now', 'unavailable')
    },
  )
  socket.on('message', (data, isBinary) => enqueue(readFrame(data, isBinary, options.frameBytesMax)))
  const heartbeat = watchPeer(socket, outbox, options.heartbeatMs, () => {
    // With something unread before it the close frame still reaches who reads on; ws cuts the connection when nobody does.
    if (outbox.waitingBytes > 0) return end(CLOSE_CODES.tooSlow, 'nothing was read for too long', 'too_slow')
    reason = 'dead'
    socket.terminate()
  })
  socket.once('close', () => {
    clearInterval(heartbeat)
    subscriptions.stopAll()
    options.clients.remove(client)
    options.onClosed(reason)
  })
  if (!options.clients.add(client)) end(TRY_AGAIN_LATER, 'too many clients (FANOUT_CLIENTS_MAX)', 'full')
}

/** Pings the client; calls `onDead` when for two rounds it neither answered nor read anything. */
function watchPeer(
  socket: WebSocket,
  outbox: { moved(): boolean; readonly waitingBytes: number },
  heartbeatMs: number,
  onDead: () => void,
): NodeJS.Timeout {
  let silent = 0
  const heard = () => {
    silent = 0
  }
  socket.on('pong', heard)
  socket.on('message', heard)
  return setInterval(() => {
    if (outbox.waitingBytes > 0 && outbox.moved()) silent = 0
    if (++silent > 2) return onDead()
    if (socket.readyState === socket.OPEN) socket.ping()
  }, heartbeatMs)
}
