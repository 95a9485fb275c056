/** Requests carry on the trace of their caller or of the run that they are about, in headers, logs and spans. */
import { parseTraceparent } from '@baton/contracts'
import type { Teardown } from '@baton/testing'
import t from 'tap'
import { createLogger, createService, joinTrace, NO_TRACING, traceOf } from '../src/index.ts'
import type { SpanRecord } from '../src/tracing.ts'
import { traced } from './traced.ts'

const quiet = createLogger({ name: 'test', level: 'silent' })

/** A service whose spans and logs are kept. */
async function startApp(t: Teardown) {
  const spans: SpanRecord[] = []
  const lines: string[] = []
  const tracing = { ...NO_TRACING, exporting: true, record: (span: SpanRecord) => void spans.push(span) }
  const logger = createLogger({ name: 'test', level: 'info' }, { write: (line: string) => void lines.push(line) })
  const app = createService({ name: 'test', logger, checks: [], tracing })
  const runTrace = traced()
  app.get('/runs/:id', async (request) => {
    request.log.info('seen')
    return { trace: traceOf(request) }
  })
  app.post('/votes', async (request) => {
    const standIn = joinTrace(request, runTrace, '00000000000000aa')
    request.log.info('voted')
    return { trace: traceOf(request), standIn }
  })
  app.get('/boom', async () => {
    throw new Error('no')
  })
  t.teardown(() => app.close())
  return { app, spans, runTrace, logged: () => JSON.parse(lines.at(-1)!) as Record<string, string> }
}

t.test('a request goes on with the trace of its caller, else it has one by its own id', async (t) => {
  const { app, spans, logged } = await startApp(t)
  const caller = traced()
  const { traceId, spanId } = parseTraceparent(caller)!
  const brought = await app.inject({ url: '/runs/7?token=hunter2', headers: { traceparent: caller, authorization: 'Bearer hunter2' } })
  const own = parseTraceparent(brought.json().trace)!
  t.equal(own.traceId, traceId)
  t.not(own.spanId, spanId, 'the request has a span of its own')
  t.match(logged(), { traceId, requestId: brought.headers['x-request-id'] })
  t.match(spans[0], {
    name: 'GET /runs/:id',
    kind: 'server',
    trace: brought.json().trace,
    parentSpanId: spanId,
    attributes: { 'http.request.method': 'GET', 'http.route': '/runs/:id', 'http.response.status_code': 200 },
  })
  t.notMatch(JSON.stringify(spans[0]), /hunter2|\/runs\/7/)

  const made = await app.inject({ url: '/runs/7', headers: { traceparent: `ff-${traceId}-${spanId}-01` } })
  t.equal(parseTraceparent(made.json().trace)!.traceId, String(made.headers['x-request-id']).replaceAll('-', ''))
  t.match(parseTraceparent(made.json().trace), { flags: 1 })
  t.equal(spans[1]!.parentSpanId, undefined)
  const named = await app.inject({ url: '/runs/7', headers: { 'x-request-id': 'my-own-id' } })
  t.ok(parseTraceparent(named.json().trace))
  t.match(logged(), { requestId: 'my-own-id', traceId: parseTraceparent(named.json().trace)!.traceId })
})

t.test('probes have no span, a bug has one that says so', async (t) => {
  const { app, spans } = await startApp(t)
  for (const url of ['/healthz', '/ready', '/health', '/metrics']) await app.inject({ url })
  t.same(spans, [])
  await app.inject({ url: '/boom' })
  t.match(spans[0], { error: '500' })
  await app.inject({ url: '/secret-in-a-path' })
  t.match(spans[1], { name: 'GET', attributes: { 'http.response.status_code': 404, 'http.route': undefined } })
})

t.test('a request about a run joins its trace; a caller with a trace of its own is linked', async (t) => {
  const { app, spans, runTrace, logged } = await startApp(t)
  const { traceId } = parseTraceparent(runTrace)!
  const joined = (await app.inject({ method: 'POST', url: '/votes' })).json()
  t.equal(parseTraceparent(joined.trace)!.traceId, traceId)
  t.equal(joined.standIn, undefined)
  t.match(spans[0], { trace: joined.trace, parentSpanId: '00000000000000aa' })
  t.equal(logged().traceId, traceId)

  const caller = traced()
  const apart = (await app.inject({ method: 'POST', url: '/votes', headers: { traceparent: caller } })).json()
  t.equal(parseTraceparent(apart.trace)!.traceId, parseTraceparent(caller)!.traceId)
  t.equal(parseTraceparent(apart.standIn)!.traceId, traceId, 'something stands for it in the trace of the run')
  t.same(spans[1]!.links, [`00-${traceId}-00000000000000aa-01`])
})

t.test('what is left of the spans is sent when the service has closed everything else', async (t) => {
  const order: string[] = []
  const tracing = {
    ...NO_TRACING,
    close: async (graceMs: number) => void order.push(graceMs > 0 && graceMs <= 2_000 ? 'flushed' : `grace ${graceMs}`),
  }
  const app = createService({ name: 'test', logger: quiet, checks: [], tracing })
  app.addHook('onClose', async () => void order.push('closed'))
  await app.ready()
  await app.close()
  t.same(order, ['closed', 'flushed'])
})
