import { type HttpCall, inTrace, spanIdOfRun, spanIdOfStep } from '@baton/contracts'
import { createLogger, NO_TRACING, type SpanRecord } from '@baton/runtime'
import t from 'tap'
import { failed, type Outcome } from '../src/call-http.ts'
import { traceCalls } from '../src/trace-call.ts'
import { callOf } from './calls.ts'

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const ok: Outcome = { status: 'succeeded', output: { status: 201, headers: {}, body: null, durationMs: 1 } }

function watch(outcome: Outcome, level = 'info') {
  const spans: SpanRecord[] = []
  const lines: string[] = []
  const log = createLogger({ name: 'test', level }, { write: (line: string) => void lines.push(line) })
  const tracing = { ...NO_TRACING, exporting: true, record: (span: SpanRecord) => void spans.push(span) }
  const make = traceCalls(async () => outcome, { tracing, log })
  return { make: (call: HttpCall) => make(call, () => true), spans, lines }
}

t.test('an attempt is a span under that of its run, and tells nothing that may be a secret', async (t) => {
  const { make, spans } = watch(ok)
  const call = callOf(
    {
      method: 'POST',
      url: 'https://ann:hunter2@shop.example/hunter2?token=hunter2#hunter2',
      headers: { authorization: 'hunter2' },
      query: { key: 'hunter2' },
      body: { password: 'hunter2' },
    },
    { trace: TRACE, requestId: 'req-1', path: 'each[3].charge', attempt: 2 },
  )
  t.same(await make(call), ok, 'the outcome is what it was')
  t.match(spans, [
    {
      name: 'POST each[].charge',
      kind: 'client',
      trace: inTrace(TRACE, spanIdOfStep(call)),
      parentSpanId: spanIdOfRun(call.runId),
      error: undefined,
      attributes: {
        'http.request.method': 'POST',
        'http.request.resend_count': 1,
        'http.response.status_code': 201,
        'server.address': 'shop.example',
        'server.port': 443,
        'url.scheme': 'https',
        'baton.run.id': `run_${call.runId}`,
        'baton.request.id': 'req-1',
        'baton.step.path': 'each[3].charge',
        'baton.step.attempt': 2,
      },
    },
  ])
  t.notMatch(JSON.stringify(spans), /hunter2|ann/)
})

t.test('a URL that is made of a secret is not told at all', async (t) => {
  const { make, spans } = watch(ok)
  const secrets = [{ pointer: '/url', parts: ['https://', { secret: 'HOST' }, '/x'] }]
  await make(callOf({ url: 'https://half-a-secret/x', secrets }, { trace: TRACE }))
  t.match(spans[0], { attributes: { 'server.address': undefined, 'server.port': undefined } })
  t.notMatch(JSON.stringify(spans), /half-a-secret/)
})

t.test('a failure is told by its status, else by its code', async (t) => {
  const refused = watch({
    status: 'failed',
    error: { code: 'BTN_HTTP_STATUS', message: 'answered 503: hunter2', status: 503 },
    retryable: true,
  })
  await refused.make(callOf({ url: 'http://127.0.0.1/' }, { trace: TRACE }))
  t.match(refused.spans[0], { error: '503', attributes: { 'http.response.status_code': 503 } })
  t.notMatch(JSON.stringify(refused.spans), /hunter2/)
  const away = watch(failed('BTN_HTTP_NETWORK', 'connection refused', true))
  await away.make(callOf({ url: 'http://127.0.0.1:81/' }, { trace: TRACE }))
  t.match(away.spans[0], { error: 'BTN_HTTP_NETWORK', attributes: { 'server.port': 81 } })
})

t.test('a run without a trace has no spans; while nobody listens calls are made as they are', async (t) => {
  const { make, spans } = watch(ok)
  t.same(await make(callOf({ url: 'http://127.0.0.1/' })), ok)
  t.same(spans, [])
  const plain = async () => ok
  const log = createLogger({ name: 'test', level: 'info' }, { write() {} })
  t.equal(traceCalls(plain, { tracing: NO_TRACING, log }), plain)
})

t.test('at level debug each call is a line with run, trace and request', async (t) => {
  const { make, lines } = watch(failed('BTN_TIMEOUT', 'took too long', true), 'debug')
  const call = callOf({ url: 'http://127.0.0.1/' }, { trace: TRACE, requestId: 'req-1' })
  await make(call)
  t.match(JSON.parse(lines[0]!), {
    msg: 'call made',
    runId: call.runId,
    requestId: 'req-1',
    traceId: '0af7651916cd43dd8448eb211c80319c',
    outcome: 'BTN_TIMEOUT',
  })
})
