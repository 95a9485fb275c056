/**
 * The yardstick: `ws` as its documentation broadcasts, in one process. Events come from the measuring process; each becomes the frame that
 * fanout sends, as text once, and goes to every client by itself. No topics, no past, no order to keep, no bound on slow clients.
 */
import type { AddressInfo } from 'node:net'
import { cloudEventOf, type StoredEvent } from '@baton/contracts'
import { type WebSocket, WebSocketServer } from 'ws'

/** What the measuring process sends. */
export interface Publication {
  topic: string
  events: StoredEvent[]
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 4_096 })

server.on('connection', (socket: WebSocket) => {
  socket.on('error', () => socket.terminate())
  socket.on('message', (data) => {
    const { topic } = JSON.parse(String(data)) as { topic: string }
    socket.send(JSON.stringify({ type: 'subscribed', topic }))
  })
})
server.once('listening', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on('message', ({ topic, events }: Publication) => {
  for (const event of events) {
    const frame = Buffer.from(JSON.stringify({ type: 'event', topic, seq: event.seq, event: cloudEventOf(event) }))
    for (const client of server.clients) client.send(frame, { binary: false })
  }
})
process.once('disconnect', () => process.exit(0))
