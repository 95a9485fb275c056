import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { idOf, keys } from '@baton/contracts'
import { findFreePort, serviceProgram, until } from '@baton/testing'
import t from 'tap'
import { ADMIN_KEY, type Bench, connectClient, openSse, startBench, upTo } from './bench.ts'

t.test('the token is taken from a header, a subprotocol or the query; any other closes 4401', async (t) => {
  const bench = await startBench(t)
  const { key } = await bench.createKey('viewer')
  for (const options of [
    { key },
    { protocols: ['baton', key] },
    { query: `?token=${key}` },
    { headers: { authorization: `bearer ${ADMIN_KEY}` } },
  ]) {
    const client = await bench.connect(options)
    t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
    t.equal(client.socket.protocol, 'protocols' in options ? 'baton' : '')
  }
  const stranger = { authorization: `Bearer ${key}`, 'x-baton-namespace': 'acme' }
  for (const options of [{ key: 'nobody' }, { headers: {} }, { protocols: ['baton', 'x'] }, { query: '?token=' }, { headers: stranger }]) {
    const client = await bench.connect(options)
    client.send({ type: 'subscribe', topic: 'all' })
    t.equal(await client.closed, 4401)
    t.same(client.frames, [])
  }
})

t.test('a revoked key loses its clients at once, or within the interval when nobody tells', async (t) => {
  const told = await startBench(t)
  const untold = await startBench(t, { FANOUT_KEY_CHECK_MS: '100' })
  for (const bench of [told, untold]) {
    const key = await bench.createKey('viewer')
    const [victim, other] = [await bench.connect({ key: key.key }), await bench.connect()]
    await victim.ask({ type: 'ping' })
    await key.revoke(bench === told)
    t.equal(await victim.closed, 4401)
    t.match(await other.ask({ type: 'ping' }), { type: 'pong' })
    t.equal(await (await bench.connect({ key: key.key })).closed, 4401)
  }
})

t.test('live events do not wait for the comparison with Postgres', async (t) => {
  const bench = await startBench(t, { FANOUT_COMPARE_MS: '60000' })
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic, after: 0, batch: true })
  for (let round = 1; round <= 5; round++) {
    await bench.publish(await bench.commit(run, 2), round)
    await until(() => client.seqs(topic).length === 1 + 2 * round, { timeoutMs: 2_000 })
  }
  const lost = await bench.commit(run, 3)
  await bench.publish(lost.slice(2))
  await until(() => client.seqs(topic).length === 14, { timeoutMs: 2_000, what: 'a hole to be filled' })
  t.same(client.seqs(topic), upTo(14))
})

const PAYLOAD = { text: 'x'.repeat(60_000) }

async function flood(bench: Bench, run: string, isDone: () => boolean): Promise<number> {
  let rounds = 0
  for (; rounds < 100 && !isDone(); rounds++) await bench.publish(await bench.commit(run, 5, { data: PAYLOAD }))
  return rounds
}

t.test('a client that does not read live events is closed 4408 while others go on', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const [slow, fast, stream] = [await bench.connect(), await bench.connect(), await bench.sse(run)]
  await slow.ask({ type: 'subscribe', topic })
  await fast.ask({ type: 'subscribe', topic })
  slow.socket.pause()
  const sockets = [...bench.app.websocketServer.clients]
  const rounds = await flood(bench, run, () => sockets.some((socket) => socket.readyState !== socket.OPEN))
  t.ok(rounds < 100, `after ${rounds} rounds`)
  await until(() => fast.seqs(topic).length === rounds * 5)
  t.same(fast.seqs(topic), upTo(rounds * 5 + 1, 2))
  await until(() => stream.ids().length === rounds * 5 + 1)
  slow.socket.resume()
  t.equal(await slow.closed, 4408)
  t.same(slow.seqs(topic), upTo(slow.seqs(topic).length + 1, 2), 'what it got is without a gap: it can resume')
  t.match(await fast.ask({ type: 'ping' }), { type: 'pong' })
  const metrics = await (await fetch(`http://127.0.0.1:${bench.port}/metrics`)).text()
  t.match(metrics, 'baton_fanout_closed_total{transport="websocket",reason="too_slow"} 1')
})

t.test('the past is read at the pace of its reader: much more of it than the bound closes nobody', async (t) => {
  const bench = await startBench(t, { FANOUT_BUFFER_BYTES_MAX: '100000' })
  const run = await bench.createRun()
  for (let round = 0; round < 10; round++) await bench.commit(run, 20, { data: PAYLOAD })
  const topic = `run:${idOf('run', run)}`
  const client = await bench.connect()
  client.send({ type: 'subscribe', topic, after: 0, batch: true })
  await until(() => client.seqs(topic).length > 0)
  client.socket.pause()
  const [server] = [...bench.app.websocketServer.clients]
  await until(() => (server?.bufferedAmount ?? 0) > 0, { what: 'the connection to be full' })
  for (let round = 0; round < 5; round++) await bench.publish(await bench.commit(run, 1))
  t.ok(server!.bufferedAmount < 1_000_000, `only a page is under way: ${server!.bufferedAmount}`)
  client.socket.resume()
  await until(() => client.seqs(topic).length === 206)
  t.same(client.seqs(topic), upTo(206))
  t.equal(client.socket.readyState, client.socket.OPEN)
})

t.test('no more clients than may be', async (t) => {
  const bench = await startBench(t, { FANOUT_CLIENTS_MAX: '2' })
  const run = await bench.createRun()
  const [first] = [await bench.connect(), await bench.connect()]
  t.equal(await (await bench.connect()).closed, 1013)
  t.equal((await bench.sse(run)).response.status, 429)
  first.socket.close()
  await first.closed
  await until(async () => bench.clients() === 1)
  const again = await bench.connect()
  t.match(await again.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('a peer that is gone without a word is found by its silence', async (t) => {
  const bench = await startBench(t, { FANOUT_HEARTBEAT_MS: '100' })
  const alive = await bench.connect()
  const dead = connectTcp(bench.port, '127.0.0.1')
  dead.on('error', () => {})
  t.teardown(() => dead.destroy())
  const handshake = ['GET /ws HTTP/1.1', 'host: x', 'connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13']
  dead.write([...handshake, `sec-websocket-key: ${'A'.repeat(22)}==`, `authorization: Bearer ${ADMIN_KEY}`, '', ''].join('\r\n'))
  await once(dead, 'data')
  await until(() => bench.clients() === 2)
  await until(() => bench.clients() === 1)
  t.match(await alive.ask({ type: 'ping' }), { type: 'pong' })
})

t.test('without clients fanout reads no stream', async (t) => {
  const bench = await startBench(t)
  const readers = async () => String(await bench.redis.client('LIST')).includes('name=fanout-events')
  t.notOk(await readers())
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic: 'all' })
  t.ok(await readers())
  client.socket.close()
  await until(async () => !(await readers()))
  const again = await bench.connect()
  await again.ask({ type: 'subscribe', topic: 'all' })
  const run = await bench.createRun()
  await bench.publish(await bench.commit(run, 1))
  await until(() => again.seqs('all').length === 1)
})

t.test('SIGTERM: clients hear 1012, streams end, the process exits 0, and no token was logged', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const { key } = await bench.createKey('viewer')
  const port = await findFreePort()
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: bench.databaseUrl,
    REDIS_URL: bench.server.url,
    HOST: '127.0.0.1',
    PORT: String(port),
    BATON_ADMIN_KEY: ADMIN_KEY,
    LOG_LEVEL: 'debug',
  }
  const child = spawn(process.execPath, serviceProgram('fanout'), { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for (const output of [child.stdout, child.stderr]) output.on('data', (chunk) => lines.push(String(chunk)))
  const exited = once(child, 'exit')
  await until(async () => (await fetch(`http://127.0.0.1:${port}/ready`)).ok, { timeoutMs: 20_000 })
  const client = await connectClient(t, port, { query: `?token=${key}` })
  await client.ask({ type: 'subscribe', topic: `run:${idOf('run', run)}`, after: 0 })
  const stream = await openSse(t, port, run, { query: `?token=${key}` })
  await until(() => stream.ids().length === 1)
  await fetch(`http://127.0.0.1:${port}/sse/runs/nonsense?token=${key}`)
  await until(async () => JSON.parse((await bench.redis.hvals(keys.replicas))[0] ?? '{}').service === 'fanout')
  child.kill('SIGTERM')
  t.equal(await client.closed, 1012)
  await stream.done
  t.same(await exited, [0, null])
  t.match(lines.join(''), /service stopped/)
  t.notMatch(lines.join(''), key)
})
