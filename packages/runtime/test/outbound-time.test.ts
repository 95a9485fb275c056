/** When requests go out, and how long they may take: timeouts, what may no longer begin, connections that have died. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { createOutbound, NotBegun, OutboundTimeout } from '../src/index.ts'

t.test('the timeout bounds everything: connecting, redirects, head and body', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/silent') return
    if (request.url === '/packed') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('hello'))
    response.writeHead(200)
    response.write('a')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const port = (server.address() as AddressInfo).port
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(outbound.close)
  await t.rejects(outbound.request(`http://127.0.0.1:${port}/silent`, { timeoutMs: 50 }), OutboundTimeout)
  await t.rejects(outbound.request(`http://127.0.0.1:${port}/half`, { timeoutMs: 50 }), { code: 'BTN_TIMEOUT', message: /50 ms/ })
  const room = () => new Promise<void>(() => {})
  await t.rejects(
    outbound.request(`http://127.0.0.1:${port}/packed`, { timeoutMs: 50, room }),
    OutboundTimeout,
    'also while it is unpacked',
  )
  const slow = createOutbound({ allow: [], lookup: () => new Promise(() => {}) })
  t.teardown(slow.close)
  await t.rejects(slow.request('http://never.example/', { timeoutMs: 50 }), OutboundTimeout, 'also while the name is looked up')
})

t.test('what may not begin when its connection is there is not written', async (t) => {
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    response.end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(async () => {
    await outbound.close()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  await t.rejects(outbound.request(url, { mayBegin: () => false }), NotBegun)
  t.equal(requests, 0)
  t.equal((await outbound.request(url, { mayBegin: () => true })).status, 200)
  t.equal(requests, 1)
})

t.test('what is sent once more, since its connection was dead, is asked about once more', async (t) => {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    if (request.url === '/dies') response.socket?.destroy()
    else response.end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(async () => {
    await outbound.close()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.equal((await outbound.request(`${url}/`)).status, 200)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  let asked = 0
  await t.rejects(outbound.request(`${url}/dies`, { mayBegin: () => ++asked === 1 }), NotBegun)
  t.strictSame([asked, requests], [2, 2])
})

t.test('a kept connection that the other side has closed is no error', async (t) => {
  const sockets = new Set<import('node:net').Socket>()
  let seen = 0
  const server = createServer((_request, response) => {
    if (++seen === 2) return void response.socket?.destroy()
    response.end('ok')
  })
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(outbound.close)
  t.equal((await outbound.request(url)).status, 200)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  t.equal((await outbound.request(url)).status, 200, 'asked again on a fresh connection')
  t.equal(sockets.size, 2)
  seen = 0
  await outbound.request(url)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  await t.rejects(outbound.request(url, { method: 'POST' }), { code: 'UND_ERR_SOCKET' }, 'a POST may have been carried out')
  seen = 0
  await outbound.request(url)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  const keyed = { method: 'POST', headers: { 'idempotency-key': 'x' } }
  t.equal((await outbound.request(url, keyed)).status, 200, 'one with an Idempotency-Key may be sent again')
})
