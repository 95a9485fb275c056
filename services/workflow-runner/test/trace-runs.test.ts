/** Spans that the runner makes of what it commits. */
import { inTrace, type Json, newUuid, spanIdOfRun, spanIdOfStep } from '@baton/contracts'
import { compile, createState, type DecideContext, decide, type EngineFact } from '@baton/engine'
import { createLogger, NO_TRACING, type SpanRecord } from '@baton/runtime'
import t from 'tap'
import { createRunTracer } from '../src/trace-runs.ts'

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const CREATED_AT = 1_000_000

/** A run of these steps, advanced fact by fact at the times given, and all that was told of it. */
function play(steps: Json, facts: [at: number, fact: EngineFact][], origin: { trace?: string } = { trace: TRACE }) {
  const { plan, errors } = compile({ name: 'w', steps })
  if (!plan) throw new Error(JSON.stringify(errors))
  const header = { namespace: 'default', workflow: 'w', version: 3, checksum: 'c', input: {}, labels: {}, priority: 5, startedBy: 'key_1' }
  const state = createState(plan, { ...header, runId: newUuid(), createdAt: CREATED_AT, requestId: 'req-1', ...origin })
  state.seq = 1
  const spans: SpanRecord[] = []
  const lines: Record<string, unknown>[] = []
  const tracing = { ...NO_TRACING, exporting: true, record: (span: SpanRecord) => void spans.push(span) }
  const tell = createRunTracer({
    tracing,
    log: createLogger({ name: 'test' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  })
  for (const [at, fact] of facts) {
    const shared = {
      random: () => 0,
      newUuid,
      vars: {},
      blobs: new Map(),
      inlineBytesMax: 65_536,
      outputBytesMax: 1_000_000,
      forEachItemsMax: 10_000,
    }
    const decision = decide(state, [fact], { now: at, ...shared } satisfies DecideContext)
    tell(state, decision.events)
  }
  const { runId } = state.header
  const spanOfStep = (path: string) => inTrace(TRACE, spanIdOfStep({ runId, path, generation: 0, attempt: 1 }))
  return { state, spans, lines, runId, spanOfStep }
}

t.test('a run is told once, when it ends; what the runner does itself is told beside it', async (t) => {
  const steps = { total: { set: { n: 1 } }, pause: { needs: ['total'], wait: { for: '1s' } } }
  const timer: EngineFact = { kind: 'timer', path: 'pause', timer: 'wait', generation: 0, attempt: 1 }
  const { spans, runId, spanOfStep, lines } = play(steps, [
    [CREATED_AT + 10, { kind: 'start' }],
    [CREATED_AT + 1_010, timer],
    [CREATED_AT + 1_020, timer],
  ])
  const parentSpanId = spanIdOfRun(runId)
  t.match(spans, [
    { name: 'set total', trace: spanOfStep('total'), parentSpanId, startMs: CREATED_AT + 10, endMs: CREATED_AT + 10, error: undefined },
    { name: 'wait pause', trace: spanOfStep('pause'), parentSpanId, startMs: CREATED_AT + 10, endMs: CREATED_AT + 1_010 },
    {
      name: 'run w',
      trace: inTrace(TRACE, parentSpanId),
      parentSpanId: 'b7ad6b7169203331',
      startMs: CREATED_AT,
      endMs: CREATED_AT + 1_010,
      attributes: {
        'baton.run.id': `run_${runId}`,
        'baton.request.id': 'req-1',
        'baton.workflow.version': 3,
        'baton.run.status': 'succeeded',
      },
    },
  ])
  t.equal(spans.length, 3, 'a fact that changes nothing tells nothing')
  t.same(lines, [], 'a success is no news')
})

t.test('an attempt that a worker has begun is for the worker to tell, one that it never saw is not', async (t) => {
  const call = { kind: 'result', path: 'call', generation: 0, attempt: 1, startedAt: CREATED_AT + 20 } as const
  const output = { status: 200, headers: {}, body: null, durationMs: 1 }
  const steps = {
    call: { http: { url: 'https://shop.example/' } },
    broken: { needs: ['call'], http: { url: 'https://shop.example/${{ steps.call.output.body.id }}' } },
  }
  const { spans, lines, runId } = play(steps, [
    [CREATED_AT + 10, { kind: 'start' }],
    [CREATED_AT + 30, { ...call, outcome: { status: 'succeeded', output } }],
  ])
  t.match(spans, [
    { name: 'http broken', error: 'BTN_EXPRESSION' },
    { name: 'run w', error: 'BTN_EXPRESSION', attributes: { 'baton.run.status': 'failed' } },
  ])
  t.equal(spans.length, 2)
  t.match(lines, [
    { level: 'info', msg: 'run ended', runId, status: 'failed', code: 'BTN_EXPRESSION', requestId: 'req-1', traceId: TRACE.slice(3, 35) },
  ])
})

t.test('a run without a trace is not told', async (t) => {
  const { spans, state } = play({ total: { set: { n: 1 } } }, [[CREATED_AT, { kind: 'start' }]], {})
  t.equal(state.status, 'succeeded')
  t.same(spans, [])
})
