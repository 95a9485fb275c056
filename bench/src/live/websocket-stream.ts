/**
 * The client's side of WebSocket (RFC 6455) on a bare socket, so that what is measured is the server: a full client library would take more
 * CPU for a frame than the server does, and the two share the machine.
 */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

const OPCODE = { text: 1, close: 8, ping: 9, pong: 10 } as const
const HEAD_END = '\r\n\r\n'
/** Reads of all sockets go through one buffer: each is looked at before the next one comes. */
const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024)

/** Where to connect. `from` is an address of this machine to connect from. */
export interface Place {
  port: number
  token: string
  from: string
}

/** What a connection tells. `onText` gets bytes that are overwritten afterwards. */
export interface Listener {
  onOpen(): void
  onText(payload: Buffer): void
  /** `code` is 1006 when there was no close frame. */
  onClosed(code: number): void
}

/** An open connection. */
export interface Connection {
  sendText(text: string): void
  end(): void
}

/** Connects; pings are answered by themselves. */
export function openConnection({ port, token, from }: Place, listener: Listener): Connection {
  let rest: Buffer | undefined
  let open = false
  let closeCode = 1006

  function handle(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE.text) listener.onText(payload)
    else if (opcode === OPCODE.ping) socket.write(frameOf(OPCODE.pong, payload))
    else if (opcode === OPCODE.close) {
      closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
      socket.end(frameOf(OPCODE.close, payload))
    }
  }

  function take(chunk: Buffer): void {
    let bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
    rest = undefined
    if (!open) {
      const end = bytes.indexOf(HEAD_END)
      if (end >= 0 && !bytes.toString('latin1', 0, end).startsWith('HTTP/1.1 101')) return void socket.destroy()
      if (end >= 0) {
        open = true
        bytes = bytes.subarray(end + HEAD_END.length)
        listener.onOpen()
      }
    }
    const used = open ? readFrames(bytes, handle) : 0
    if (used < bytes.length) rest = Buffer.from(bytes.subarray(used))
  }

  const onread = {
    buffer: READ_BUFFER,
    callback(length: number) {
      take(READ_BUFFER.subarray(0, length))
      return true
    },
  }
  const socket: Socket = connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true, onread })
  socket.on('error', () => {}) // `close` follows
  socket.once('close', () => listener.onClosed(closeCode))
  socket.once('connect', () => socket.write(handshake(token)))
  return {
    sendText: (text) => void socket.write(frameOf(OPCODE.text, Buffer.from(text))),
    end: () => void socket.destroy(),
  }
}

function handshake(token: string): string {
  const lines = ['GET /ws HTTP/1.1', 'host: 127.0.0.1', 'connection: Upgrade', 'upgrade: websocket', 'sec-websocket-version: 13']
  return [...lines, `sec-websocket-key: ${randomBytes(16).toString('base64')}`, `authorization: Bearer ${token}`, '', ''].join('\r\n')
}

/** A frame of a client has to be masked; a mask of zeros is one. */
function frameOf(opcode: number, payload: Buffer): Buffer {
  const head = payload.length < 126 ? Buffer.alloc(6) : Buffer.alloc(8)
  head[0] = 0x80 | opcode
  head[1] = 0x80 | Math.min(payload.length, 126)
  if (payload.length >= 126) head.writeUInt16BE(payload.length, 2)
  return Buffer.concat([head, payload])
}

/** Hands over all whole frames (servers neither mask nor, here, fragment); gives how many bytes they were. */
export function readFrames(bytes: Buffer, handle: (opcode: number, payload: Buffer) => void): number {
  let at = 0
  while (bytes.length - at >= 2) {
    const short = bytes[at + 1]! & 0x7f
    const head = short < 126 ? 2 : short === 126 ? 4 : 10
    if (bytes.length - at < head) break
    const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUIntBE(at + 4, 6)
    if (bytes.length - at < head + length) break
    handle(bytes[at]! & 0x0f, bytes.subarray(at + head, at + head + length))
    at += head + length
  }
  return at
}
