import type { Json } from '@baton/contracts'
import { keys, partitionOf } from '@baton/contracts'
import { connectRedis } from '@baton/runtime'
import { loadInbox } from '@baton/store'
import { until } from '@baton/testing'
import t from 'tap'
import { bare, type Orchestrator, startOrchestrator, TINY } from './start-orchestrator.ts'

const STRUCTURED = 'application/cloudevents+json'
const BATCH = 'application/cloudevents-batch+json'

function order(id: string, more: Record<string, Json> = {}): Record<string, Json> {
  return { specversion: '1.0', id, source: '/shop', type: 'order.paid', ...more }
}

async function stored({ sql }: Orchestrator): Promise<Json[]> {
  return (await sql<{ event: Json }[]>`select event from custom_events order by seq`).map((row) => row.event)
}

const EVERYTHING = order('1', {
  subject: 'order 7',
  time: '2026-11-28T10:00:00.5+01:00',
  datacontenttype: 'application/json',
  dataschema: 'https://shop.example/order.json',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  partition: 7,
  urgent: true,
  data: { n: 1, a_b: [null, '\u0000'] },
})

t.test('events come structured, as a batch, and as plain JSON of either', async (t) => {
  const bench = await startOrchestrator(t)
  const post = (body: Json, type: string) => bench.post('/api/v1/events', body, { type })
  t.match(await post(EVERYTHING, STRUCTURED), { status: 202, body: { accepted: 1, duplicates: 0 } })
  t.match(await post([order('2'), order('3', { data_base64: 'AAE=' }), order('2')], `${BATCH}; charset=utf-8`), {
    status: 202,
    body: { accepted: 2, duplicates: 1 },
  })
  t.match(await post(order('4', { data: null, subject: null }), 'application/json'), { body: { accepted: 1 } })
  t.match(await post([order('4'), order('5')], 'application/json'), { body: { accepted: 1, duplicates: 1 } })
  t.match(await post([], BATCH), { status: 202, body: { accepted: 0, duplicates: 0 } })
  t.same(await stored(bench), [EVERYTHING, order('2'), order('3', { data_base64: 'AAE=' }), order('4', { data: null }), order('5')])
})

t.test('in binary mode attributes are headers, and the data are the body', async (t) => {
  const bench = await startOrchestrator(t)
  let id = 0
  const post = async (text: string | undefined, type: string, more: Record<string, string> = {}) => {
    id += 1
    const headers = { 'ce-specversion': '1.0', 'ce-id': String(id), 'ce-source': '/shop', 'ce-type': 'order.paid', ...more }
    return bench.ask('POST', '/api/v1/events', { type, headers, ...(text === undefined ? {} : { text }) })
  }
  const subject = 'Euro%20%E2%82%AC%20%F0%9F%98%80%2525'
  t.match(await post('{"n":1}', 'application/json', { 'ce-subject': subject, 'ce-traceparent': 'x', 'ce-quoted': '"a \\"b\\" %22"' }), {
    status: 202,
    body: { accepted: 1, duplicates: 0 },
  })
  await post('{"n":2}', 'application/vnd.shop.order+json; charset=utf-8')
  await post('n=3', 'text/plain; charset=utf-8')
  await post('<n>4</n>', 'application/xml')
  await post('\u0001\u0002', 'application/octet-stream')
  t.match(await post(undefined, 'application/json'), { status: 202 })
  const binary = (n: number, more: Record<string, Json>) => order(String(n), more)
  t.same(await stored(bench), [
    binary(1, {
      subject: 'Euro € 😀%25',
      traceparent: 'x',
      quoted: 'a "b" "',
      datacontenttype: 'application/json',
      data: { n: 1 },
    }),
    binary(2, { datacontenttype: 'application/vnd.shop.order+json; charset=utf-8', data: { n: 2 } }),
    binary(3, { datacontenttype: 'text/plain; charset=utf-8', data: 'n=3' }),
    binary(4, { datacontenttype: 'application/xml', data: '<n>4</n>' }),
    binary(5, { datacontenttype: 'application/octet-stream', data_base64: 'AQI=' }),
    binary(6, {}),
  ])
  t.match(await post('{"n":', 'application/json'), { status: 400, body: { code: 'BTN_MALFORMED_BODY' } })
  t.match(await post('x', 'text/plain', { 'ce-subject': '%FF' }), { status: 422, body: { errors: [{ pointer: '/headers/ce-subject' }] } })
  t.match(await post('x', 'text/plain', { 'ce-source': '', 'ce-Bad-Name': '1', 'ce-datacontenttype': 'a/b' }), {
    status: 422,
    body: { errors: [{ pointer: '/headers/ce-datacontenttype' }] },
  })
})

t.test('what is no event is refused at its place, and nothing of its batch is accepted', async (t) => {
  const bench = await startOrchestrator(t, { BATON_EVENTS_BATCH_MAX: '3', BATON_EVENT_BYTES_MAX: '1000', BATON_JSON_DEPTH_MAX: '5' })
  const refused = async (event: Json, pointers: string[]) => {
    const { status, body } = await bench.post('/api/v1/events', event, { type: STRUCTURED })
    t.equal(status, 422, JSON.stringify(event))
    t.same(
      body.errors.map((error: { pointer: string }) => error.pointer),
      pointers,
    )
  }
  await refused({}, ['/specversion', '/id', '/source', '/type'])
  await refused(order('1', { specversion: '0.3' }), ['/specversion'])
  await refused(order('', { source: 'a b', type: 7 }), ['/id', '/source', '/type'])
  await refused(order('1', { time: 'yesterday', datacontenttype: 'json', subject: '' }), ['/time', '/datacontenttype', '/subject'])
  await refused(order('1', { tooLong: 'x', [`a${'b'.repeat(20)}`]: 1, 'a-b': 1 }), ['/tooLong', `/a${'b'.repeat(20)}`, '/a-b'])
  await refused(order('1', { ext: { a: 1 }, half: 1.5, big: 2 ** 40 }), ['/ext', '/half', '/big'])
  await refused(order('1', { data: 1, data_base64: 'AA==' }), ['/data_base64'])
  await refused(order('1', { data_base64: '?' }), ['/data_base64'])
  await refused(order('a\u0000b'), ['/id'])
  await refused(order('x'.repeat(1_025)), ['/id'])
  await refused(order('1', { data: [[[[[[1]]]]]] }), [''])
  await refused([order('1')], [''])
  const batch = await bench.post('/api/v1/events', [order('1'), order('2', { type: '' }), 7], { type: BATCH })
  t.match(batch, { status: 422, body: { code: 'BTN_INVALID_REQUEST', errors: [{ pointer: '/1/type' }, { pointer: '/2' }] } })
  const many = await bench.post(
    '/api/v1/events',
    ['1', '2', '3', '4'].map((id) => order(id)),
    { type: BATCH },
  )
  t.match(many, { status: 422, body: { detail: /BATON_EVENTS_BATCH_MAX/ } })
  t.match(await bench.post('/api/v1/events', order('1', { data: 'x'.repeat(1_000) }), { type: STRUCTURED }), {
    status: 413,
    body: { code: 'BTN_TOO_LARGE', detail: /BATON_EVENT_BYTES_MAX/ },
  })
  t.match(await bench.ask('POST', '/api/v1/events', { text: '{"a":', type: STRUCTURED }), { status: 400 })
  t.match(await bench.ask('POST', '/api/v1/events', { text: 'hello', type: 'text/plain' }), { status: 415 })
  t.match(await bench.ask('POST', '/api/v1/events', { text: '<e/>', type: 'application/cloudevents+xml' }), { status: 415 })
  t.match(await bench.post('/api/v1/events', order('1'), { key: await bench.key('viewer') }), { status: 403 })
  t.match(await bench.post('/api/v1/events', order('1'), { key: null }), { status: 401 })
  t.same(await stored(bench), [])
  t.match(await bench.post('/api/v1/events', order('x'.repeat(700), { ext: false }), { key: await bench.key('operator') }), { status: 202 })
})

t.test('the same event from three clients at once is accepted once; another namespace has its own', async (t) => {
  const bench = await startOrchestrator(t)
  const posts = Array.from({ length: 30 }, (_, n) => bench.post('/api/v1/events', order(String(n % 10), { data: n })))
  const answers = await Promise.all(posts)
  t.ok(answers.every(({ status }) => status === 202))
  const sum = (name: string) => answers.reduce((total, { body }) => total + body[name], 0)
  t.same([sum('accepted'), sum('duplicates')], [10, 20])
  t.match(await bench.post('/api/v1/events', order('1'), { headers: { 'x-baton-namespace': 'other' } }), { body: { accepted: 1 } })
})

t.test('a run that waits is told of an event', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  const run = (await bench.post('/api/v1/workflows/tiny/runs')).body.id as string
  await bench.sql`insert into event_waiters values ('default', 'order.paid', ${bare(run)}, 'paid', 0)`
  await bench.post('/api/v1/events', order('1', { data: { n: 1 } }))
  t.match(await loadInbox(bench.sql, [bare(run)]), [
    { fact: { kind: 'event', path: 'paid', generation: 0, event: { id: '1', data: { n: 1 } } } },
  ])
  const client = connectRedis(bench.redis.url, { name: 'test' })
  t.teardown(() => client.disconnect())
  await until(async () => {
    const entries = await client.xrange(keys.facts(partitionOf(run)), '-', '+')
    return entries.some(([, fields]) => JSON.parse(fields[1]!).some((fact: Json) => (fact as { kind: string }).kind === 'inbox'))
  })
})

t.test('event triggers start runs with the event or what their mapping makes of it, once for each event', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save({ ...TINY, input: { type: 'object', required: ['n'], properties: { n: { type: 'number' } } } }, 'strict')
  await bench.save(TINY, 'tiny')
  const trigger = (name: string, body: object) => bench.put(`/api/v1/triggers/${name}`, { type: 'event', event: 'order.paid', ...body })
  t.match(await trigger('whole', { workflow: 'tiny', labels: { team: 'a' }, priority: 8 }), {
    status: 201,
    body: { name: 'whole', type: 'event', event: 'order.paid', enabled: true, lastError: null },
  })
  await trigger('mapped', {
    workflow: 'strict',
    where: 'event.data.n > 1',
    input: { n: '${{ event.data.n }}', of: 'order ${{ event.id }}' },
  })
  await trigger('off', { workflow: 'tiny', enabled: false })
  await bench.put('/api/v1/triggers/lost', { type: 'event', event: 'order.lost', workflow: 'tiny' })
  const events = [order('1', { data: { n: 1 } }), order('2', { data: { n: 2 } }), order('3', { data: { n: 'x' } }), order('4')]
  t.match(await bench.post('/api/v1/events', events), { status: 202, body: { accepted: 4 } })
  t.match(await bench.post('/api/v1/events', events), { body: { accepted: 0, duplicates: 4 } })
  const runs = (await bench.get('/api/v1/runs')).body.items
  t.same(
    runs.filter((run: { workflow: string }) => run.workflow === 'tiny').map((run: { input: Json }) => run.input),
    events.toReversed(),
  )
  t.match(
    runs.filter((run: { workflow: string }) => run.workflow === 'strict'),
    [{ input: { n: 2, of: 'order 2' }, labels: { 'baton.trigger': 'mapped' } }],
  )
  t.equal(runs.length, 5)
  t.match(
    runs.findLast((run: { workflow: string }) => run.workflow === 'tiny'),
    { labels: { team: 'a', 'baton.trigger': 'whole' }, priority: 8 },
  )
  t.match((await bench.get(`/api/v1/runs/${runs[0].id}/events`)).body.items[0].data, { startedBy: /^trigger:/ })
  const { lastError } = await until(async () => {
    const { body } = await bench.get('/api/v1/triggers/mapped')
    return body.lastError && body
  })
  t.match(lastError.message, /BTN_EXPRESSION/)
  await bench.ask('DELETE', '/api/v1/workflows/strict')
  t.match(await bench.post('/api/v1/events', order('5', { data: { n: 9 } })), { status: 202, body: { accepted: 1 } })
})

t.test('events that were accepted elsewhere start what their triggers say, once', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  await bench.put('/api/v1/triggers/paid', { type: 'event', event: 'order.paid', workflow: 'tiny' })
  await bench.sql`
    insert into custom_events (namespace, source, event_id, type, event, untriggered)
    select 'default', '/runs/1', n::text, 'order.paid', json_build_object('id', n), true from generate_series(1, 500) n`
  const count = async () => (await bench.get('/api/v1/runs/count')).body.count
  await until(async () => (await count()) === 500)
  t.match(await bench.sql`select from custom_events where untriggered`, [])
})
