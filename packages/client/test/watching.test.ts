import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { CloudEvent } from '@baton/contracts'
import { findFreePort, until } from '@baton/testing'
import t, { type Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import { BatonProblem, BatonUnreachable, createClient } from '../src/index.ts'

const RUN = 'run_01990000-0000-7000-8000-000000000001'

function event(seq: number, type = 'dev.baton.step.succeeded'): CloudEvent {
  const base = { specversion: '1.0', id: `${RUN}/${seq}`, source: `/runs/${RUN}`, time: new Date(0).toISOString() } as const
  return { ...base, type, datacontenttype: 'application/json', seq, data: {} }
}

type Subscribe = { topic: string; after: number }

/** A fanout that does what the test says on each subscription; `subscriptions` counts from 0. */
async function stubFanout(t: Test, onSubscribe: (socket: WebSocket, frame: Subscribe, index: number, request: IncomingMessage) => void) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  let index = 0
  server.on('connection', (socket, request) => {
    socket.on('message', (data) => onSubscribe(socket, JSON.parse(String(data)) as Subscribe, index++, request))
  })
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  return createClient({ url: 'http://unused', fanoutUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key: 'secret' })
}

function sendEvents(socket: WebSocket, topic: string, events: CloudEvent[]): void {
  socket.send(JSON.stringify({ type: 'events', topic, events }))
}

async function collect(events: AsyncIterable<CloudEvent>): Promise<number[]> {
  const seqs: number[] = []
  for await (const { seq } of events) seqs.push(seq)
  return seqs
}

t.test('watchRun gives every event once over cuts, doubles and holes', async (t) => {
  const asked: number[] = []
  const baton = await stubFanout(t, (socket, { topic, after }, index, request) => {
    t.equal(request.headers.authorization, 'Bearer secret')
    asked.push(after)
    socket.send(JSON.stringify({ type: 'subscribed', topic, seq: 9 }))
    if (index === 0) sendEvents(socket, topic, [event(1), event(2)])
    if (index === 0) return socket.terminate()
    if (index === 1) sendEvents(socket, topic, [event(2), event(3), event(5)])
    else sendEvents(socket, topic, [4, 5, 6, 7, 8].map((seq) => event(seq)).concat(event(9, 'dev.baton.run.succeeded')))
  })
  t.same(await collect(baton.watchRun(RUN)), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.same(asked, [0, 2, 3])
})

t.test('an end that the run left again is not the end', async (t) => {
  const baton = await stubFanout(t, (socket, { topic }) => {
    socket.send(JSON.stringify({ type: 'subscribed', topic, seq: 3 }))
    sendEvents(socket, topic, [event(1, 'dev.baton.run.failed'), event(2, 'dev.baton.run.reopened'), event(3)])
    sendEvents(socket, topic, [event(4, 'dev.baton.run.succeeded')])
  })
  t.same(await collect(baton.watchRun(RUN)), [1, 2, 3, 4])
})

t.test('an unknown run and a revoked key are thrown, not retried', async (t) => {
  const unknown = await stubFanout(t, (socket, { topic }) => {
    socket.send(JSON.stringify({ type: 'error', code: 'not_found', message: 'no such run', topic }))
  })
  await t.rejects(collect(unknown.watchRun(RUN)), { name: 'BatonProblem', code: 'BTN_RUN_NOT_FOUND', status: 404 })
  const revoked = await stubFanout(t, (socket) => socket.close(4401))
  await t.rejects(collect(revoked.watchRun(RUN)), { name: 'BatonProblem', code: 'BTN_UNAUTHORIZED', status: 401 })
})

t.test('a slow reader gets everything though the connection is hung up on the way', async (t) => {
  const text = 'x'.repeat(200_000)
  const sizes = Array.from({ length: 100 }, (_, index) => ({ ...event(index + 1), data: { text } }))
  sizes[99] = { ...sizes[99]!, type: 'dev.baton.run.succeeded' }
  let [connections, hungUp] = [0, false]
  const baton = await stubFanout(t, (socket, { topic, after }) => {
    connections++
    socket.once('close', () => {
      hungUp = true
    })
    socket.send(JSON.stringify({ type: 'subscribed', topic, seq: 100 }))
    for (const one of sizes.slice(after)) sendEvents(socket, topic, [one])
  })
  const seqs: number[] = []
  for await (const { seq } of baton.watchRun(RUN)) {
    seqs.push(seq)
    if (seq === 1) await until(() => hungUp)
  }
  t.same(
    seqs,
    sizes.map(({ seq }) => seq),
  )
  t.ok(connections > 1)
})

t.test('nobody there is said after giveUpMs; an abort ends the watching at once', async (t) => {
  const nobody = createClient({ url: 'http://unused', fanoutUrl: `http://127.0.0.1:${await findFreePort()}`, key: 'k' })
  await t.rejects(collect(nobody.watchRun(RUN, { giveUpMs: 10 })), BatonUnreachable)
  await t.rejects(collect(nobody.watchRunSse(RUN, { giveUpMs: 10 })), BatonUnreachable)
  const stop = new AbortController()
  const baton = await stubFanout(t, () => stop.abort(new Error('enough')))
  await t.rejects(collect(baton.watchRun(RUN, { signal: stop.signal })), /enough/)
})

async function stubSse(t: Test, answer: (request: IncomingMessage, response: ServerResponse, index: number) => void) {
  let index = 0
  const server = createServer((request, response) => answer(request, response, index++))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return createClient({ url: 'http://unused', fanoutUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key: 'secret' })
}

const sse = (one: CloudEvent) => `id: ${one.seq}\nevent: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`

t.test('watchRunSse resumes with Last-Event-ID and ends with the run', async (t) => {
  const asked: unknown[] = []
  const baton = await stubSse(t, (request, response, index) => {
    asked.push(request.headers['last-event-id'])
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (index === 0) response.write(`: hello\n\n${sse(event(1))}${sse(event(2))}`, () => response.destroy())
    else response.end(sse(event(2)) + sse(event(3, 'dev.baton.run.cancelled')))
  })
  t.same(await collect(baton.watchRunSse(RUN)), [1, 2, 3])
  t.same(asked, ['0', '2'])
})

t.test('a connection that breaks after longer than giveUpMs is made again', async (t) => {
  const giveUpMs = 300
  const later = (act: () => void) => setTimeout(act, giveUpMs * 2)
  const overSse = await stubSse(t, (_request, response, index) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    if (index > 0) return response.end(sse(event(2, 'dev.baton.run.cancelled')))
    response.write(sse(event(1)))
    later(() => response.destroy())
  })
  t.same(await collect(overSse.watchRunSse(RUN, { giveUpMs })), [1, 2])
  const overWebSocket = await stubFanout(t, (socket, { topic }, index) => {
    socket.send(JSON.stringify({ type: 'subscribed', topic, seq: 2 }))
    if (index > 0) return sendEvents(socket, topic, [event(2, 'dev.baton.run.cancelled')])
    sendEvents(socket, topic, [event(1)])
    later(() => socket.terminate())
  })
  t.same(await collect(overWebSocket.watchRun(RUN, { giveUpMs })), [1, 2])
})

t.test('watchRunSse: 204 is the end, a problem is thrown', async (t) => {
  const nothing = await stubSse(t, (_request, response) => response.writeHead(204).end())
  t.same(await collect(nothing.watchRunSse(RUN, { after: 7 })), [])
  const unknown = await stubSse(t, (_request, response) => {
    response.writeHead(404, { 'content-type': 'application/problem+json' }).end('{"code":"BTN_RUN_NOT_FOUND","detail":"no such run"}')
  })
  await t.rejects(collect(unknown.watchRunSse(RUN)), BatonProblem)
})
