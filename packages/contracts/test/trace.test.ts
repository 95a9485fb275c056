import t from 'tap'
import {
  cloudEventOf,
  inTrace,
  newSpanId,
  newUuid,
  parseTraceparent,
  spanIdOf,
  spanIdOfRun,
  spanIdOfStep,
  traceIdOf,
  traceparentOf,
} from '../src/index.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

t.test('a traceparent is taken as the W3C says, and anything else is ignored', async (t) => {
  const valid: [header: string, flags: number, why: string][] = [
    [`00-${TRACE}-${SPAN}-01`, 1, 'sampled'],
    [`00-${TRACE}-${SPAN}-00`, 0, 'not sampled'],
    [`00-${TRACE}-${SPAN}-03`, 3, 'sampled, with a random trace id'],
    [`00-${TRACE}-${SPAN}-ff`, 3, 'flags that nobody knows are not passed on'],
    [`01-${TRACE}-${SPAN}-01`, 1, 'a later version'],
    [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, 1, 'a later version that says more'],
  ]
  for (const [header, flags, why] of valid) t.same(parseTraceparent(header), { traceId: TRACE, spanId: SPAN, flags }, why)
  const invalid: [header: unknown, why: string][] = [
    [undefined, 'none'],
    ['', 'empty'],
    [[`00-${TRACE}-${SPAN}-01`], 'a list'],
    [`ff-${TRACE}-${SPAN}-01`, 'version ff'],
    [`00-${'0'.repeat(32)}-${SPAN}-01`, 'a trace id of zeros'],
    [`00-${TRACE}-${'0'.repeat(16)}-01`, 'a span id of zeros'],
    [`00-${TRACE.toUpperCase()}-${SPAN}-01`, 'an upper-case trace id'],
    [`00-${TRACE}-${SPAN.toUpperCase()}-01`, 'an upper-case span id'],
    [`00-${TRACE}-${SPAN}-0A`, 'upper-case flags'],
    [`0-${TRACE}-${SPAN}-01`, 'a short version'],
    [`00-${TRACE.slice(1)}-${SPAN}-01`, 'a short trace id'],
    [`00-${TRACE}-${SPAN.slice(1)}-01`, 'a short span id'],
    [`00-${TRACE}-${SPAN}-1`, 'short flags'],
    [`00-${TRACE}-${SPAN}-01-more`, 'version 00 that says more'],
    [`00-${TRACE}-${SPAN}-01.more`, 'something behind it'],
    [`01-${TRACE}-${SPAN}-01more`, 'a later version without a dash'],
    [`00-${TRACE.replace('a', 'g')}-${SPAN}-01`, 'not hex'],
    [`00_${TRACE}_${SPAN}_01`, 'no dashes'],
    [` 00-${TRACE}-${SPAN}-01`, 'a space before it'],
    [`00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`, 'two headers'],
  ]
  for (const [header, why] of invalid) t.equal(parseTraceparent(header), undefined, why)
})

t.test('what is written is read as the same, and another span of a trace keeps its id and its flags', async (t) => {
  for (const flags of [0, 1, 2, 3]) {
    const trace = traceparentOf({ traceId: TRACE, spanId: SPAN, flags })
    t.same(parseTraceparent(trace), { traceId: TRACE, spanId: SPAN, flags })
    t.equal(traceIdOf(trace), TRACE)
    t.equal(spanIdOf(trace), SPAN)
    t.same(parseTraceparent(inTrace(trace, '00000000000000aa')), { traceId: TRACE, spanId: '00000000000000aa', flags })
  }
  for (const none of [undefined, null, '', 'not a traceparent']) t.equal(inTrace(none, SPAN), undefined)
})

t.test('spans of runs and attempts have an id each, the same wherever it is derived', async (t) => {
  const [one, other] = [newUuid(), newUuid()]
  const step = { runId: one, path: 'each[3].charge', generation: 0, attempt: 1 }
  t.equal(spanIdOfStep(step), spanIdOfStep({ ...step }))
  const ids = new Set([spanIdOfRun(one), spanIdOfRun(other), newSpanId(), newSpanId()])
  for (let index = 0; index < 100; index++) {
    for (const attempt of [1, 2, 3]) {
      for (const generation of [0, 1]) ids.add(spanIdOfStep({ runId: one, path: `each[${index}].charge`, generation, attempt }))
    }
    ids.add(spanIdOfStep({ runId: other, path: `each[${index}].charge`, generation: 0, attempt: 1 }))
  }
  t.equal(ids.size, 4 + 100 * 7, 'none twice')
  for (const id of ids) t.ok(parseTraceparent(`00-${TRACE}-${id}-01`), id)
})

t.test('an event shows the span of the attempt that it is about, else that of its run', async (t) => {
  const runId = newUuid()
  const trace = `00-${TRACE}-${SPAN}-01`
  const of = (type: 'run.started' | 'step.succeeded' | 'step.skipped' | 'approval.opened', path: string, data = {}) =>
    cloudEventOf({ runId, seq: 2, type, path, at: 0, data, trace }).traceparent
  const attempt = { generation: 1, attempt: 2 }
  const ofRun = `00-${TRACE}-${spanIdOfRun(runId)}-01`
  t.equal(of('run.started', ''), ofRun)
  t.equal(of('step.succeeded', 'charge', attempt), `00-${TRACE}-${spanIdOfStep({ runId, path: 'charge', ...attempt })}-01`)
  t.equal(of('step.skipped', 'charge', attempt), ofRun, 'there was no attempt')
  t.equal(of('approval.opened', 'review'), ofRun)
  for (const none of [undefined, null]) {
    t.notOk('traceparent' in cloudEventOf({ runId, seq: 2, type: 'run.started', path: '', at: 0, data: {}, trace: none as never }))
  }
})
