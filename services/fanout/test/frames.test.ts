import { idOf, type ServerFrame } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { ADMIN_KEY, startBench } from './bench.ts'

t.test('a bad frame is answered and the socket stays open', async (t) => {
  const bench = await startBench(t, { FANOUT_FRAME_BYTES_MAX: '1000', FANOUT_SUBSCRIPTIONS_MAX: '2' })
  const run = await bench.createRun()
  const foreign = await bench.createRun('acme')
  const viewer = await bench.createKey('viewer')
  const client = await bench.connect({ key: viewer.key })
  const topic = `run:${idOf('run', run)}`
  const table: [frame: unknown, code: string][] = [
    ['', 'bad_frame'],
    ['nonsense', 'bad_frame'],
    ['[]', 'bad_frame'],
    ['null', 'bad_frame'],
    ['{}', 'bad_frame'],
    [Buffer.from('{"type":"ping"}'), 'bad_frame'],
    [{ type: 'shout' }, 'bad_frame'],
    [{ type: 'subscribe' }, 'bad_frame'],
    [{ type: 'subscribe', topic: 7 }, 'bad_frame'],
    [{ type: 'subscribe', topic, after: '1' }, 'bad_frame'],
    [{ type: 'subscribe', topic, after: -1 }, 'bad_frame'],
    [{ type: 'subscribe', topic, after: 1.5 }, 'bad_frame'],
    [{ type: 'subscribe', topic, surprise: true }, 'bad_frame'],
    [{ type: 'subscribe', topic: 'x'.repeat(2_000) }, 'bad_frame'],
    [{ type: 'ping', filler: 'x'.repeat(20_000) }, 'bad_frame'],
    [{ type: 'subscribe', topic: 'weather' }, 'unknown_topic'],
    [{ type: 'subscribe', topic: 'workflow:' }, 'unknown_topic'],
    [{ type: 'subscribe', topic: 'workflow:NOT A NAME' }, 'unknown_topic'],
    [{ type: 'subscribe', topic: 'agent:nothing' }, 'unknown_topic'],
    [{ type: 'unsubscribe', topic: 'weather' }, 'unknown_topic'],
    [{ type: 'subscribe', topic: 'run:nonsense' }, 'not_found'],
    [{ type: 'subscribe', topic: 'run:run_01990000-0000-7000-8000-000000000001' }, 'not_found'],
    [{ type: 'subscribe', topic: `run:${idOf('run', foreign)}` }, 'not_found'],
    [{ type: 'subscribe', topic: `agent:${idOf('run', foreign)}/think` }, 'not_found'],
    [{ type: 'subscribe', topic: 'all', after: 0 }, 'unsupported'],
    [{ type: 'subscribe', topic: 'workflow:refund', after: 3 }, 'unsupported'],
    [{ type: 'subscribe', topic, after: 2 }, 'bad_after'],
  ]
  for (const [frame, code] of table) {
    const answer = await client.ask(frame)
    t.match(answer, { type: 'error', code, message: String }, `${code}: ${JSON.stringify(frame).slice(0, 60)}`)
  }
  t.match(await client.ask({ type: 'ping' }), { type: 'pong' })
  t.match(await client.ask({ type: 'subscribe', topic, after: 1 }), { type: 'subscribed', seq: 1 })
  t.match(await client.ask({ type: 'subscribe', topic: 'all' }), { type: 'subscribed', topic: 'all' })
  t.match(await client.ask({ type: 'subscribe', topic: 'tasks' }), {
    type: 'error',
    code: 'forbidden',
    message: /FANOUT_SUBSCRIPTIONS_MAX/,
  })
  t.match(await client.ask({ type: 'unsubscribe', topic: 'tasks' }), { type: 'unsubscribed', topic: 'tasks' })
})

t.test('frames that come in one burst, even before the token was checked, are all answered in order', async (t) => {
  const bench = await startBench(t)
  const client = await bench.connect()
  for (let index = 0; index < 500; index++) client.send(index % 5 === 0 ? 'x' : { type: 'ping' })
  await until(() => client.frames.length === 500)
  t.same(
    client.frames.map((frame) => frame.type),
    Array.from({ length: 500 }, (_, index) => (index % 5 === 0 ? 'error' : 'pong')),
  )
})

t.test('live topics give the events of their namespace from now on, each at most once', async (t) => {
  const bench = await startBench(t)
  const admin = await bench.connect({ headers: { authorization: `Bearer ${ADMIN_KEY}`, 'x-baton-namespace': 'acme' } })
  const client = await bench.connect()
  const [mine, other, foreign] = [await bench.createRun(), await bench.createRun('default', 'other'), await bench.createRun('acme')]
  await bench.publish(await bench.commit(mine, 1))
  for (const topic of ['all', 'workflow:refund', 'approvals', 'tasks', 'agents', `agent:${idOf('run', mine)}/s4`]) {
    t.match(await client.ask({ type: 'subscribe', topic }), { type: 'subscribed', topic })
  }
  t.match(await admin.ask({ type: 'subscribe', topic: 'all', batch: true }), { type: 'subscribed' })
  const opened = await bench.commit(mine, 1, { type: 'approval.opened' })
  await bench.publish(opened, 1)
  await bench.publish(opened, 2)
  await bench.publish(await bench.commit(other, 1))
  await bench.publish(await bench.commit(foreign, 3))
  await bench.publish(await bench.commit(mine, 1))
  await until(() => client.seqs('all').length === 3 && admin.seqs('all').length === 3)
  t.same(client.seqs('all'), [3, 2, 4])
  t.same(client.seqs('workflow:refund'), [3, 4])
  t.same(client.seqs('approvals'), [3])
  t.same(admin.seqs('all'), [2, 3, 4])
  const frame = client.frames.find(
    (one): one is Extract<ServerFrame, { type: 'event' }> => one.type === 'event' && one.topic === 'approvals',
  )
  t.match(frame, { seq: 3, event: { type: 'dev.baton.approval.opened', seq: 3 } })
})

t.test('a worker key may follow tasks and agents, but neither runs nor approvals', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const client = await bench.connect({ key: (await bench.createKey('worker')).key })
  for (const topic of [`run:${idOf('run', run)}`, 'approvals', 'all', 'workflow:refund']) {
    t.match(await client.ask({ type: 'subscribe', topic }), { type: 'error', code: 'forbidden', topic })
  }
  t.match(await client.ask({ type: 'subscribe', topic: 'tasks' }), { type: 'subscribed' })
})

t.test('a run that retention took is gone for its subscribers', async (t) => {
  const bench = await startBench(t, { FANOUT_COMPARE_MS: '50' })
  const [dropped, emptied] = [await bench.createRun(), await bench.createRun()]
  await bench.commit(emptied, 5)
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic: `run:${idOf('run', dropped)}`, after: 1 })
  await bench.sql`delete from runs where id = ${dropped}`
  await until(() => client.frames.find((frame) => frame.type === 'error'))
  t.match(client.frames.at(-1), { type: 'error', code: 'gone', topic: `run:${idOf('run', dropped)}` })
  await bench.sql`delete from run_events where run_id = ${emptied} and seq < 3`
  client.frames.length = 0
  client.send({ type: 'subscribe', topic: `run:${idOf('run', emptied)}`, after: 0 })
  await until(() => client.frames.length === 2)
  t.match(client.frames[1], { type: 'error', code: 'gone' })
})
