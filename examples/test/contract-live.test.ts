/** Live events: WebSocket frames and topics, resuming, and Server-Sent Events. */
import { until } from '@baton/testing'
import { type Test, test } from 'tap'
import { type Contract, type Loose, must, openContract } from './contract-harness.ts'
import { connectSocket, type Socket, type SocketOptions } from './contract-socket.ts'

const set = (x: unknown = 1) => ({ set: { x } })
const GATE = { approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }

interface Scene extends Contract {
  open(options?: SocketOptions): Promise<Socket>
  approve(run: string, step?: string): Promise<void>
}

test('live events', { timeout: 60_000 }, async (t) => {
  const contract = await openContract(t)
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.close()
  })
  const scene: Scene = {
    ...contract,
    open: async (options = {}) => {
      const socket = await connectSocket({ liveUrl: contract.liveUrl, key: contract.adminKey, ...options })
      sockets.push(socket)
      return socket
    },
    approve: async (run, step = 'gate') => {
      await contract.approvalOf(run, step)
      must(await contract.call('POST', `/api/v1/runs/${run}/approvals/${step}/decision`, { body: { decision: 'approve' } }), 200)
    },
  }
  await t.test('a token opens a socket, by each of three ways', (t) => tokens(t, scene))
  await t.test('a run is followed from any point, without gap', (t) => follows(t, scene))
  await t.test('a run that is cut and resumed ten times shows each event once', (t) => resumes(t, scene))
  await t.test('frames that are wrong are answered, and the socket stays', (t) => wrongFrames(t, scene))
  await t.test('live topics show what happens from now on', (t) => topics(t, scene))
  await t.test('Server-Sent Events resume, end and are 204 afterwards', (t) => sse(t, scene))
})

const isType = (type: string) => (frame: Loose) => frame.type === type
const ended = (frame: Loose) => frame.type === 'event' && /run\.(succeeded|failed|cancelled|timed_out)$/.test(frame.event.type)
const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1)

async function tokens(t: Test, { open, liveUrl, adminKey, makeKey, call }: Scene) {
  for (const options of [{}, { headers: { authorization: `Bearer ${adminKey}` } }, { protocols: ['baton', adminKey] }]) {
    const socket = await open(options)
    socket.send({ type: 'ping' })
    t.match(await socket.next(isType('pong')), { type: 'pong' })
    socket.close()
  }
  for (const options of [
    { query: '' },
    { query: '?token=wrong' },
    { headers: { authorization: 'Bearer wrong' } },
    { protocols: ['baton', 'wrong'] },
  ]) {
    t.equal((await (await open(options)).closed).code, 4401, JSON.stringify(options))
  }
  const plain = await fetch(`${liveUrl}/ws`)
  t.equal(plain.status, 400, 'plain HTTP')
  t.match(await plain.json(), { code: 'BTN_BAD_REQUEST' })
  const viewer = await makeKey('viewer')
  const socket = await open({ key: viewer.key })
  socket.send({ type: 'ping' })
  await socket.next(isType('pong'))
  must(await call('DELETE', `/api/v1/api-keys/${viewer.id}`), 204)
  t.equal((await socket.closed).code, 4401, 'a revoked key closes its sockets')
}

async function follows(t: Test, { open, saveSteps, start, events, approve, ended: end }: Scene) {
  const name = await saveSteps([
    { id: 'a', ...set() },
    { id: 'gate', ...GATE },
    { id: 'b', ...set() },
  ])
  const run = await start(name)
  const topic = `run:${run.id}`
  const socket = await open()
  socket.send({ type: 'subscribe', topic, after: 0 })
  t.match(await socket.next(isType('subscribed')), { topic, seq: Number })
  await approve(run.id)
  await socket.next(ended)
  await end(run.id)
  const all = await events(run.id)
  const seen = socket.frames.filter(isType('event'))
  t.strictSame(
    seen.map((frame) => frame.seq),
    upTo(all.length),
    'seq 1..n, nothing twice',
  )
  t.strictSame(
    seen.map((frame) => frame.event),
    all,
    'the same objects as in REST',
  )
  t.ok(seen.every((frame) => frame.topic === topic))

  const from = async (frame: Record<string, unknown>) => {
    const other = await open()
    other.send({ type: 'subscribe', topic, ...frame })
    return { other, subscribed: await other.next(isType('subscribed')) }
  }
  const { other, subscribed } = await from({ after: all.length - 2 })
  t.equal(subscribed.seq, all.length)
  await other.next(ended)
  t.strictSame(
    other.frames.filter(isType('event')).map((frame) => frame.seq),
    [all.length - 1, all.length],
    'seq > after',
  )
  const now = await from({})
  now.other.send({ type: 'ping' })
  await now.other.next(isType('pong'))
  t.equal(now.other.frames.filter(isType('event')).length, 0, 'from now without after')
  const last = await from({ after: all.length })
  last.other.send({ type: 'ping' })
  await last.other.next(isType('pong'))
  t.equal(last.other.frames.filter(isType('event')).length, 0, 'after the last')
  last.other.send({ type: 'subscribe', topic, after: all.length - 1 })
  await last.other.next(ended)
  t.pass('a second subscribe replaces the first')
  last.other.send({ type: 'unsubscribe', topic })
  t.match(await last.other.next(isType('unsubscribed')), { type: 'unsubscribed', topic })

  const batch = await from({ after: 0, batch: true })
  const seqs = () =>
    batch.other.frames
      .flatMap((frame) => (frame.type === 'events' ? frame.events : frame.type === 'event' ? [frame.event] : []))
      .map((event: Loose) => event.seq)
  await until(() => seqs().length >= all.length)
  t.strictSame(seqs(), upTo(all.length), 'in batches')
  t.ok(
    batch.other.frames.some((frame) => frame.type === 'events' && frame.topic === topic),
    'events frames',
  )
}

async function resumes(t: Test, { open, saveSteps, start, events }: Scene) {
  const name = await saveSteps(Array.from({ length: 20 }, (_, i) => ({ id: `s${i}`, ...(i % 2 ? { wait: { for: '20ms' } } : set()) })))
  const run = await start(name)
  const seqs: number[] = []
  for (let cut = 0, done = false; !done; cut++) {
    const socket = await open()
    socket.send({ type: 'subscribe', topic: `run:${run.id}`, after: seqs.length })
    const had = seqs.length
    const frames = () => socket.frames.filter(isType('event'))
    await until(() => frames().some(ended) || (cut < 10 && frames().length >= 2))
    const taken = cut < 10 ? frames().slice(0, 3) : frames()
    seqs.push(...taken.map((frame) => frame.seq))
    done = taken.some(ended)
    t.ok(seqs.length > had)
    socket.close()
  }
  t.strictSame(seqs, upTo((await events(run.id)).length))
}

async function wrongFrames(t: Test, { open, saveSteps, start, ended: end, rootKey }: Scene) {
  const run = await start(await saveSteps({ a: set() }))
  const { lastSeq } = await end(run.id)
  const socket = await open()
  const table: [unknown, string][] = [
    ['not json', 'bad_frame'],
    ['[]', 'bad_frame'],
    ['null', 'bad_frame'],
    [{ type: 'shout' }, 'bad_frame'],
    [{ type: 'subscribe' }, 'bad_frame'],
    [{ type: 'subscribe', topic: 5 }, 'bad_frame'],
    [{ type: 'subscribe', topic: `run:${run.id}`, after: 'x' }, 'bad_frame'],
    [{ type: 'subscribe', topic: 'weather' }, 'unknown_topic'],
    [{ type: 'subscribe', topic: 'run:nope' }, 'not_found'],
    [{ type: 'subscribe', topic: 'run:run_01890000-0000-7000-8000-000000000000' }, 'not_found'],
    [{ type: 'subscribe', topic: 'all', after: 0 }, 'unsupported'],
    [{ type: 'subscribe', topic: `run:${run.id}`, after: lastSeq + 1 }, 'bad_after'],
  ]
  for (const [frame, code] of table) {
    socket.send(frame)
    t.match(await socket.next(isType('error')), { type: 'error', code }, JSON.stringify(frame))
  }
  const foreign = await open({ key: rootKey })
  foreign.send({ type: 'subscribe', topic: `run:${run.id}`, after: 0 })
  t.match(await foreign.next(isType('error')), { code: 'not_found' }, 'a run of another namespace')
  socket.send({ type: 'ping' })
  t.ok(await socket.next(isType('pong')), 'the socket stays open')
}

async function topics(t: Test, { open, saveSteps, start, approve, ended: end, rootKey }: Scene) {
  const name = await saveSteps([{ id: 'gate', ...GATE }])
  const other = await saveSteps([{ id: 'a', ...set() }])
  const socket = await open()
  const stranger = await open({ key: rootKey })
  stranger.send({ type: 'subscribe', topic: 'all' })
  await stranger.next(isType('subscribed'))
  for (const topic of [`workflow:${name}`, 'approvals', 'all']) {
    socket.send({ type: 'subscribe', topic })
    t.match(await socket.next(isType('subscribed')), { topic })
  }
  const run = await start(name)
  const second = await start(other)
  await approve(run.id)
  await Promise.all([end(run.id), end(second.id)])
  const on = (topic: string) => socket.frames.filter((frame) => frame.type === 'event' && frame.topic === topic).map((frame) => frame.event)
  const finished = (id: string) => (event: Loose) => event.source === `/runs/${id}` && event.type === 'dev.baton.run.succeeded'
  await until(
    () => on('all').some(finished(run.id)) && on('all').some(finished(second.id)) && on(`workflow:${name}`).some(finished(run.id)),
  )
  await until(() => on('approvals').some((event) => event.type === 'dev.baton.approval.decided'))
  t.ok(
    on(`workflow:${name}`).every((event) => event.source === `/runs/${run.id}`),
    'only its runs',
  )
  t.ok(
    on('approvals').every((event) => /\.approval\./.test(event.type)),
    'only approvals',
  )
  stranger.send({ type: 'ping' })
  await stranger.next(isType('pong'))
  t.notOk(
    stranger.frames.some((frame) => frame.type === 'event' && [run.id, second.id].some((id) => frame.event.source === `/runs/${id}`)),
    'nothing of another namespace',
  )
}

/** One SSE answer to its end, as messages; comments are left out. */
async function readSse(liveUrl: string, key: string | null, path: string, headers: Record<string, string> = {}) {
  const response = await fetch(liveUrl + path, { headers: { ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers } })
  const text = await response.text()
  const messages = text
    .split('\n\n')
    .filter((block) => /^data:/m.test(block))
    .map((block) =>
      Object.fromEntries(block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()])),
    )
  return { status: response.status, type: response.headers.get('content-type'), messages, text }
}

async function sse(t: Test, { liveUrl, adminKey, saveSteps, start, approve, events, rootKey }: Scene) {
  const run = await start(
    await saveSteps([
      { id: 'a', ...set() },
      { id: 'gate', ...GATE },
    ]),
  )
  const path = `/sse/runs/${run.id}`
  const followed = readSse(liveUrl, adminKey, path, { 'last-event-id': '0' })
  await approve(run.id)
  const { status, type, messages } = await followed
  const all = await events(run.id)
  t.equal(status, 200)
  t.match(type, /^text\/event-stream/)
  t.strictSame(
    messages.map((message) => Number(message['id'])),
    upTo(all.length),
    'id is seq; the server ends after the terminal event',
  )
  t.strictSame(
    messages.map((message) => message['event']),
    all.map((event) => event.type),
  )
  t.strictSame(
    messages.map((message) => JSON.parse(message['data']!)),
    all,
  )
  const rest = await readSse(liveUrl, adminKey, path, { 'last-event-id': '3' })
  t.strictSame(
    rest.messages.map((message) => Number(message['id'])),
    upTo(all.length).slice(3),
  )
  const byQuery = await readSse(liveUrl, adminKey, `${path}?after=${all.length - 1}`)
  t.strictSame(
    byQuery.messages.map((message) => Number(message['id'])),
    [all.length],
  )
  t.match(await readSse(liveUrl, adminKey, path, { 'last-event-id': `${all.length}` }), { status: 204, text: '' })
  t.equal((await readSse(liveUrl, null, path)).status, 401)
  t.equal((await readSse(liveUrl, 'wrong', path)).status, 401)
  t.equal((await readSse(liveUrl, rootKey, path)).status, 404, 'of another namespace')
  t.equal((await readSse(liveUrl, adminKey, '/sse/runs/nope')).status, 404)
  t.match((await readSse(liveUrl, adminKey, `${path}?after=x`)).status, /400|422/)
  t.equal(
    (await readSse(liveUrl, null, `${path}?after=0&token=${adminKey}`)).messages.length,
    all.length,
    'a token in the query, for EventSource',
  )
}
