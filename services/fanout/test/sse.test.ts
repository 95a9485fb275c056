import { idOf } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { ADMIN_KEY, openSse, startBench, upTo } from './bench.ts'

t.test('SSE gives each event once over ten cuts, ends after the run, and then answers 204', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const seen: number[] = []
  for (let cut = 0; cut < 10; cut++) {
    const stream = await bench.sse(run, seen.length === 0 ? {} : { lastEventId: String(seen.length) })
    t.equal(stream.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
    await bench.publish(await bench.commit(run, 10))
    await until(() => stream.ids().length > 2)
    stream.stop()
    await stream.done
    // A cut may fall into the middle of an event, which then has an id and no end.
    seen.push(...stream.ids().slice(0, stream.state.text.split('\n\n').filter((part) => part.includes('data: ')).length))
  }
  const last = await bench.sse(run, { lastEventId: String(seen.length) })
  await bench.publish(await bench.commit(run, 5, { end: true }))
  await last.done
  t.ok(last.state.ended, 'the server ended the response')
  t.same([...seen, ...last.ids()], upTo(106))
  t.match(last.state.text, /id: 106\nevent: dev\.baton\.run\.succeeded\ndata: \{"specversion":"1\.0"/)
  t.equal((await bench.sse(run, { lastEventId: '106' })).response.status, 204)
  t.equal((await bench.sse(run, { after: '106' })).response.status, 204)
  const whole = await bench.sse(run)
  await whole.done
  t.same(whole.ids(), upTo(106), 'without a place to go on from it begins at the first event')
  const metrics = await (await fetch(`http://127.0.0.1:${bench.port}/metrics`)).text()
  for (const [reason, count] of Object.entries({ client: 10, ended: 2 })) {
    t.match(metrics, `baton_fanout_closed_total{transport="sse",reason="${reason}"} ${count}`, reason)
  }
  const rest = await bench.sse(run, { after: '3', lastEventId: '100' })
  await rest.done
  t.same(rest.ids(), upTo(106, 101), 'Last-Event-ID is newer than ?after=')
})

t.test('a stream goes on over the end of a run that was reopened', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  await bench.commit(run, 3, { end: true })
  await bench.commit(run, 1, { type: 'run.reopened' })
  const stream = await bench.sse(run)
  await until(() => stream.ids().length === 5)
  t.notOk(stream.state.ended)
  await bench.publish(await bench.commit(run, 2, { end: true }))
  await stream.done
  t.same(stream.ids(), upTo(7))
})

t.test('problems: 401, 404 for unknown, foreign and malformed ids, 403 for workers, 422 for a bad place', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const foreign = await bench.createRun('acme')
  const viewer = await bench.createKey('viewer')
  const problemOf = async (stream: Awaited<ReturnType<typeof bench.sse>>) => {
    await stream.done
    t.match(stream.response.headers.get('content-type'), /application\/problem\+json/)
    return { http: stream.response.status, ...(JSON.parse(stream.state.text) as { code: string; errors?: unknown }) }
  }
  t.match(await problemOf(await bench.sse(run, { key: 'nobody' })), { http: 401, code: 'BTN_UNAUTHORIZED' })
  t.match(await problemOf(await bench.sse('run_nonsense')), { http: 404, code: 'BTN_RUN_NOT_FOUND' })
  t.match(await problemOf(await bench.sse('01990000-0000-7000-8000-000000000001')), { http: 404, code: 'BTN_RUN_NOT_FOUND' })
  t.match(await problemOf(await bench.sse(foreign, { key: viewer.key })), { http: 404, code: 'BTN_RUN_NOT_FOUND' })
  t.match(await problemOf(await bench.sse(run, { key: (await bench.createKey('worker')).key })), { http: 403, code: 'BTN_FORBIDDEN' })
  t.match(await problemOf(await bench.sse(run, { after: '2' })), { http: 422, errors: [{ pointer: '/query/after' }] })
  t.match(await problemOf(await bench.sse(run, { after: 'x' })), { http: 422, code: 'BTN_INVALID_REQUEST' })
  t.match(await problemOf(await bench.sse(run, { lastEventId: '-1' })), { http: 422, errors: [{ pointer: '/headers/last-event-id' }] })
  const byQuery = await bench.sse(run, { query: `?token=${viewer.key}` })
  t.equal(byQuery.response.status, 200)
  t.equal(byQuery.response.headers.get('access-control-allow-origin'), '*')
  const wrongMethod = await fetch(`http://127.0.0.1:${bench.port}/sse/runs/${idOf('run', run)}`, { method: 'POST' })
  t.equal(wrongMethod.status, 405)
})

t.test('a quiet stream gets comments, and ends when its key is revoked', async (t) => {
  const bench = await startBench(t, { FANOUT_COMMENT_MS: '100', FANOUT_KEY_CHECK_MS: '100' })
  const run = await bench.createRun()
  const viewer = await bench.createKey('viewer')
  const stream = await bench.sse(run, { key: viewer.key })
  await until(() => stream.state.text.includes(': still here'))
  await viewer.revoke(false)
  await stream.done
  t.equal((await bench.sse(run, { key: viewer.key })).response.status, 401)
})

t.test('whoever hung up while Postgres was asked is no client, and does not hold up the stop', async (t) => {
  const bench = await startBench(t)
  const run = await bench.createRun()
  const { app, port } = await bench.start()
  const connections = () =>
    new Promise((resolve, reject) => app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))))
  const leaving = new AbortController()
  let asked: Promise<unknown> | undefined
  await bench.sql.begin(async (tx) => {
    await tx`lock table runs in access exclusive mode`
    const headers = { authorization: `Bearer ${ADMIN_KEY}` }
    asked = fetch(`http://127.0.0.1:${port}/sse/runs/${idOf('run', run)}`, { headers, signal: leaving.signal }).catch(() => {})
    const waits = () => bench.sql`select from pg_stat_activity where application_name = 'fanout' and wait_event_type = 'Lock'`
    await until(async () => (await waits()).length > 0, { what: 'the query to wait' })
    leaving.abort()
    await until(async () => (await connections()) === 0, { what: 'the connection to be gone' })
  })
  await asked
  const next = await openSse(t, port, run, {})
  next.stop()
  await next.done
  const closed = app.close().then(() => 'closed')
  t.equal(await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 8_000, 'still open'))]), 'closed')
})
