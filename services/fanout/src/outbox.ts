/**
 * What a WebSocket client is sent, and how much of it may wait. Live frames and answers count against the bound: who lets more pile up is
 * too slow. The past does not count: it is sent a piece at a time, the next one when the last has left.
 */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'

/** A client's way out. */
export interface Outbox {
  /** Sends a live frame or an answer at once. */
  send(frame: Buffer | string): void
  /** Sends some of the past; resolves when it has left (or the connection is over). */
  sendPast(frames: readonly Buffer[]): Promise<void>
  /** True when something left since the last time this was asked: the client is reading. */
  moved(): boolean
  /** Bytes that wait. */
  readonly waitingBytes: number
}

export interface OutboxOptions {
  socket: WebSocket
  /** The connection below, to send the frames of one tick in one write. */
  stream: Socket
  /** More live bytes than this may not wait. */
  bytesMax: number
  onTooSlow(): void
}

const TEXT = { binary: false, compress: false }
/** This much of the past is under way at once. */
const PAST_BYTES_MAX = 64 * 1024

/** Makes the way out of a client. */
export function createOutbox({ socket, stream, bytesMax, onTooSlow }: OutboxOptions): Outbox {
  let pastBytes = 0
  let corked = false
  let judging = false
  let progress = true

  function uncork(): void {
    corked = false
    stream.uncork()
  }

  function cork(): void {
    if (corked) return
    corked = true
    stream.cork()
    process.nextTick(uncork)
  }

  function isOver(): boolean {
    return socket.bufferedAmount - pastBytes > bytesMax
  }

  /** A burst within one tick is no slowness: the verdict falls when the connection had a chance to write. */
  function judge(): void {
    if (judging) return
    judging = true
    setImmediate(() => {
      judging = false
      if (socket.readyState === socket.OPEN && isOver()) onTooSlow()
    })
  }

  function sendPiece(frame: Buffer): Promise<void> {
    pastBytes += frame.length
    return new Promise((resolve) => {
      socket.send(frame, TEXT, () => {
        pastBytes -= frame.length
        progress = true
        resolve()
      })
    })
  }

  return {
    send(frame) {
      if (socket.readyState !== socket.OPEN) return
      cork()
      socket.send(frame, TEXT)
      if (isOver()) judge()
    },
    async sendPast(frames) {
      let sent: Promise<void>[] = []
      for (const frame of frames) {
        if (socket.readyState !== socket.OPEN) return
        cork()
        sent.push(sendPiece(frame))
        if (pastBytes < PAST_BYTES_MAX) continue
        await Promise.all(sent)
        sent = []
      }
      await Promise.all(sent)
    },
    moved() {
      const answer = progress
      progress = socket.bufferedAmount === 0
      return answer
    },
    get waitingBytes() {
      return socket.bufferedAmount
    },
  }
}
