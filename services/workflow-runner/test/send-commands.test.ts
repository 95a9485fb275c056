import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { type AgentTurn, ENTRY_FIELD, type HttpCall, keys, newUuid, partitionOf } from '@baton/contracts'
import { connectRedis, type Redis } from '@baton/runtime'
import { testRedis, until } from '@baton/testing'
import t from 'tap'
import { createSender, packsOf } from '../src/send-commands.ts'

t.test('a queue that refuses while the streams are still away fails the batch, not the process', async (t) => {
  const gate = Promise.withResolvers<[null, string][]>()
  const pipeline = { length: 1, xadd() {}, exec: () => gate.promise }
  const send = createSender({
    redis: {} as Redis,
    sending: { pipeline: () => pipeline } as unknown as Redis,
    lane: 0,
    workers: () => 1,
    agentTurns: { addMany: () => Promise.reject(new Error('away')) },
    notifications: { addMany: async () => {} },
    eventsBytesMax: 1_000_000,
  })
  let unhandled = 0
  const count = () => unhandled++
  process.on('unhandledRejection', count)
  t.teardown(() => process.removeListener('unhandledRejection', count))
  const sending = t.rejects(
    send({ calls: [], turns: [{} as AgentTurn], notifications: [], events: [], ending: [], ended: [], woken: [], started: [] }),
    {
      message: 'away',
    },
  )
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  gate.resolve([[null, '1-1']])
  await sending
  t.equal(unhandled, 0)
})

t.test('packs grow with what is ready and shrink with the workers that live', async (t) => {
  const calls = Array.from({ length: 400 }, () => ({}) as HttpCall)
  t.equal(packsOf(calls.slice(0, 4), 1).length, 4)
  t.equal(packsOf(calls, 1)[0]!.length, 32)
  t.equal(packsOf(calls, 10)[0]!.length, 10)
})

t.test('what is sent again goes out only if neither it nor its result stands in a stream', async (t) => {
  const { url } = await testRedis(t)
  const redis = connectRedis(url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const nothing = { turns: [], notifications: [], events: [], ending: [], ended: [], woken: [], started: [] }
  const queue = { addMany: async () => {} }
  const send = createSender({
    redis,
    sending: redis,
    lane: 3,
    workers: () => 1,
    agentTurns: queue,
    notifications: queue,
    eventsBytesMax: 1_000_000,
  })
  const call = (path: string, resent = false) =>
    ({ runId: newUuid(), path, generation: 0, attempt: 1, at: Date.now() + 0.25, ...(resent ? { resent } : {}) }) as HttpCall
  const [standing, answered, lost] = [call('standing'), call('answered', true), call('lost', true)]
  await send({ calls: [standing], ...nothing })
  const fact = { kind: 'result', runId: answered.runId, path: 'answered', generation: 0, attempt: 1 }
  await redis.xadd(keys.facts(partitionOf(answered.runId)), '*', ENTRY_FIELD, JSON.stringify([fact]))
  await send({ calls: [{ ...standing, resent: true }, answered, lost, call('fresh')], ...nothing })
  const entries = await redis.xrange(keys.calls(3), '-', '+')
  const sent = entries.flatMap(([, fields]) => (JSON.parse(fields[1]!) as HttpCall[]).map(({ path }) => path))
  t.same(sent.sort(), ['fresh', 'lost', 'standing'])
})

/** A way to Redis on which answers can be lost, with the connection. */
async function lossyWay(t: { teardown(end: () => void): void }, url: string) {
  const port = Number(new URL(url).port)
  const way = { loses: false, url: '' }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connectSocket(port, '127.0.0.1')
    socket.pipe(upstream)
    upstream.on('data', (data) => {
      if (!way.loses) return socket.write(data)
      way.loses = false
      return socket.destroy()
    })
    for (const end of [socket, upstream]) {
      sockets.add(end)
      end.on('error', () => {}).on('close', () => socket.destroy() && upstream.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  way.url = `redis://127.0.0.1:${(server.address() as { port: number }).port}`
  return way
}

t.test('calls whose sending was not answered are not sent twice by the connection', async (t) => {
  const { url } = await testRedis(t)
  const redis = connectRedis(url, { name: 'test' })
  const way = await lossyWay(t, url)
  const sending = connectRedis(way.url, { name: 'test-send', whileAway: 'fail' })
  t.teardown(() => [redis, sending].map((connection) => connection.disconnect()))
  await until(async () => (await sending.ping().catch(() => '')) === 'PONG')
  const queue = { addMany: async () => {} }
  const send = createSender({
    redis,
    sending,
    lane: 3,
    workers: () => 1,
    agentTurns: queue,
    notifications: queue,
    eventsBytesMax: 1_000_000,
  })
  const call = { runId: newUuid(), path: 'a', generation: 0, attempt: 1, at: Date.now() } as HttpCall
  way.loses = true
  await t.rejects(send({ calls: [call], turns: [], notifications: [], events: [], ending: [], ended: [], woken: [], started: [] }))
  await until(async () => (await sending.ping().catch(() => '')) === 'PONG')
  t.equal(await redis.xlen(keys.calls(3)), 1)
})
