import { idOf } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { startBench, upTo } from './bench.ts'

t.test('a subscriber with after: 0 sees seq 1..n without gap, past and live', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  await bench.commit(run, 700)
  const topic = `run:${idOf('run', run)}`
  const single = await bench.connect()
  const batched = await bench.connect()
  t.match(await single.ask({ type: 'subscribe', topic, after: 0 }), { type: 'subscribed', topic, seq: 701 })
  t.match(await batched.ask({ type: 'subscribe', topic, after: 0, batch: true }), { type: 'subscribed', topic, seq: 701 })
  for (let round = 0; round < 20; round++) await bench.publish(await bench.commit(run, 5))
  await bench.publish(await bench.commit(run, 2, { end: true }))
  for (const client of [single, batched]) {
    await until(() => client.seqs(topic).length >= 803)
    t.same(client.seqs(topic), upTo(803))
  }
  const frame = single.frames.find((one) => one.type === 'event')
  const [first] = await bench.events(run)
  t.match(frame, {
    type: 'event',
    topic,
    seq: 1,
    event: { specversion: '1.0', type: 'dev.baton.run.created', source: `/runs/${idOf('run', run)}`, seq: 1 },
  })
  t.equal(first?.type, 'run.created')
  t.ok(batched.frames.some((one) => one.type === 'events'))
  t.equal((await single.ask({ type: 'ping' })).type, 'pong', 'after the end the subscription stays')
})

t.test('cut and resumed ten times in one run, each event comes once', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const seen: number[] = []
  for (let cut = 0; cut < 10; cut++) {
    const client = await bench.connect()
    client.send({ type: 'subscribe', topic, after: seen.length, batch: cut % 2 === 0 })
    await bench.publish(await bench.commit(run, 7))
    await bench.publish(await bench.commit(run, 3), cut)
    await until(() => client.seqs(topic).length > 3)
    client.socket.terminate()
    await client.closed
    seen.push(...client.seqs(topic))
  }
  const last = await bench.connect()
  last.send({ type: 'subscribe', topic, after: seen.length })
  await until(() => seen.length + last.seqs(topic).length >= 101)
  t.same([...seen, ...last.seqs(topic)], upTo(101))
})

t.test('live events that are doubled, out of order or lost reach subscribers once and in order', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic, after: 1 })
  const events = await bench.commit(run, 30)
  const [a, b, c, , e] = [events.slice(0, 5), events.slice(5, 10), events.slice(10, 15), events.slice(15, 20), events.slice(20, 30)]
  await bench.publish(b!, 3)
  await bench.publish(a!, 1)
  await bench.publish(a!, 2)
  await bench.publish([...c!].reverse())
  await bench.publish(e!)
  await bench.publish(b!)
  await until(() => client.seqs(topic).length >= 30)
  t.same(client.seqs(topic), upTo(31, 2))
  await bench.commit(run, 4)
  await until(() => client.seqs(topic).length >= 34, { what: 'events that were committed and never published' })
  await bench.commit(run, 1_000)
  await until(() => client.seqs(topic).length >= 1_034, { what: 'more of them than are pushed at once' })
  t.same(client.seqs(topic), upTo(1_035, 2))
})

t.test('FLUSHALL and a restart of Redis in the middle leave no gap', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic })
  await bench.publish(await bench.commit(run, 10))
  await bench.server.flushAll()
  await bench.publish(await bench.commit(run, 10))
  await until(() => client.seqs(topic).length >= 20)
  await bench.server.kill()
  await bench.commit(run, 10)
  await until(() => client.seqs(topic).length >= 30, { what: 'events while Redis is away' })
  await bench.server.restart()
  await bench.publish(await bench.commit(run, 10))
  await until(() => client.seqs(topic).length >= 40)
  t.same(client.seqs(topic), upTo(41, 2))
})

t.test('many subscribers that come while events flow each see everything once', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const topic = `run:${idOf('run', run)}`
  const flow = (async () => {
    for (let round = 0; round < 100; round++) await bench.publish(await bench.commit(run, 3), round % 16)
  })()
  const clients = []
  for (let index = 0; index < 20; index++) {
    const client = await bench.connect()
    client.send({ type: 'subscribe', topic, after: 0, batch: index % 2 === 0 })
    clients.push(client)
  }
  await flow
  for (const client of clients) {
    await until(() => client.seqs(topic).length >= 301)
    t.same(client.seqs(topic), upTo(301))
  }
})

t.test('two topics of one socket, a replaced subscription and an ended one do not disturb each other', async (t) => {
  const bench = await startBench(t)
  const [one, two] = [await bench.createRun(), await bench.createRun()]
  const [topicOne, topicTwo] = [`run:${idOf('run', one)}`, `run:${idOf('run', two)}`]
  await bench.commit(one, 9)
  const client = await bench.connect()
  await client.ask({ type: 'subscribe', topic: topicOne, after: 5 })
  await until(() => client.seqs(topicOne).length === 5)
  await client.ask({ type: 'subscribe', topic: topicTwo, after: 0 })
  await client.ask({ type: 'subscribe', topic: topicOne, after: 8 })
  await until(() => client.seqs(topicOne).length === 7)
  t.same(client.seqs(topicOne), [6, 7, 8, 9, 10, 9, 10])
  t.match(await client.ask({ type: 'unsubscribe', topic: topicOne }), { type: 'unsubscribed', topic: topicOne })
  await bench.publish(await bench.commit(one, 3))
  await bench.publish(await bench.commit(two, 3))
  await until(() => client.seqs(topicTwo).length === 4)
  t.equal(client.seqs(topicOne).length, 7)
})
