/** A bare WebSocket to the live events, with its frames kept. */
import { once } from 'node:events'
import { until } from '@baton/testing'
import type { Loose } from './contract-harness.ts'

export interface SocketOptions {
  /** Given as `?token=`, unless one of the others is there. */
  key?: string
  query?: string
  protocols?: string[]
  headers?: Record<string, string>
}

/** A WebSocket with all frames that came. */
export interface Socket {
  frames: Loose[]
  send(frame: unknown): void
  /** The next frame of this kind that no earlier call gave. */
  next(what: (frame: Loose) => boolean): Promise<Loose>
  closed: Promise<{ code: number }>
  close(): void
}

/** Opens a socket of the fanout; gives it also when it was refused, closed then. */
export async function connectSocket({
  liveUrl,
  key,
  query,
  protocols,
  headers,
}: SocketOptions & { liveUrl: string; key: string }): Promise<Socket> {
  const url = `${liveUrl.replace('http', 'ws')}/ws${query ?? (protocols || headers ? '' : `?token=${key}`)}`
  const socket = new WebSocket(url, { ...(protocols ? { protocols } : {}), ...(headers ? { headers } : {}) } as unknown as string[])
  const frames: Loose[] = []
  const taken = new Set<Loose>()
  const closed = once(socket, 'close').then(([event]) => ({ code: event.code }))
  socket.addEventListener('message', (message) => frames.push(JSON.parse(message.data)))
  await Promise.race([once(socket, 'open'), closed, once(socket, 'error').catch(() => {})])
  return {
    frames,
    closed,
    send: (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    next: async (what) => {
      const frame = await until(() => frames.find((each) => !taken.has(each) && what(each)), {
        what: `a frame after ${JSON.stringify(frames.slice(-3))}`,
      })
      taken.add(frame)
      return frame
    },
    close: () => socket.close(),
  }
}
