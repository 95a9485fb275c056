/** Spans leave in batches and hold up nobody; while nothing is exported nothing is loaded. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseTraceparent } from '@baton/contracts'
import { stubServer, until } from '@baton/testing'
import t from 'tap'
import { z } from 'zod'
import { createLogger, metricsText, parseSettings, startTracing, traceSettings } from '../src/index.ts'
import { createSampler } from '../src/sample-traces.ts'
import { createSpanQueue, type DropReason } from '../src/span-queue.ts'
import type { SpanRecord } from '../src/tracing.ts'
import { traced } from './traced.ts'

const quiet = createLogger({ name: 'test', level: 'silent' })
const read = (env: Record<string, string>) => parseSettings(z.object(traceSettings), env)
const spanOf = (trace = traced()): SpanRecord => ({
  name: 'test',
  kind: 'internal',
  trace,
  startMs: 1_000.25,
  endMs: 1_001.5,
  attributes: {},
})

/** A queue whose sending is in the hands of the test. */
function queueOf(limits: { queueMax: number; batchMax: number; delayMs: number }) {
  const sent: { spans: number[]; resolve(): void; reject(error: Error): void }[] = []
  const counts = { sent: 0, full: 0, refused: 0, stopped: 0 }
  const queue = createSpanQueue<number>({
    ...limits,
    send(spans) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      sent.push({ spans, resolve, reject })
      return promise
    },
    onSent: (count) => {
      counts.sent += count
    },
    onDropped: (count, reason: DropReason) => {
      counts[reason] += count
    },
  })
  return { queue, sent, counts }
}

t.test('spans go in batches, one after the other; what does not fit is dropped and counted', async (t) => {
  const { queue, sent, counts } = queueOf({ queueMax: 4, batchMax: 2, delayMs: 1 })
  for (let span = 1; span <= 7; span++) queue.push(span)
  t.same(sent[0]!.spans, [1, 2], 'the first batch leaves at once')
  t.equal(sent.length, 1, 'and no other before it is answered')
  t.equal(queue.size, 4)
  t.equal(counts.full, 1, 'the seventh finds no room')
  sent[0]!.resolve()
  await until(() => sent.length === 2)
  sent[1]!.reject(new Error('the collector is away'))
  await until(() => sent.length === 3)
  t.same(sent[2]!.spans, [5, 6])
  sent[2]!.resolve()
  await until(() => counts.sent === 4)
  t.same(counts, { sent: 4, full: 1, refused: 2, stopped: 0 }, 'each span is sent or counted as dropped')
  queue.push(8)
  await until(() => sent.length === 4)
  t.same(sent[3]!.spans, [8], 'what makes no batch goes after a while')
})

t.test('at the end all that waits is sent, but the end does not wait for a collector that hangs', async (t) => {
  const done = queueOf({ queueMax: 10, batchMax: 2, delayMs: 600_000 })
  for (let span = 1; span <= 3; span++) done.queue.push(span)
  const closing = done.queue.close(60_000)
  for (const at of [0, 1]) (await until(() => done.sent[at])).resolve()
  await closing
  t.same(done.counts, { sent: 3, full: 0, refused: 0, stopped: 0 })
  done.queue.push(4)
  t.equal(done.counts.stopped, 1, 'later ones are dropped')

  const hanging = queueOf({ queueMax: 10, batchMax: 2, delayMs: 600_000 })
  for (let span = 1; span <= 5; span++) hanging.queue.push(span)
  await hanging.queue.close(1)
  t.equal(hanging.counts.stopped, 3, 'what was not under way is counted')
})

t.test('without an endpoint nothing of OpenTelemetry is loaded, and recording costs nothing', async (t) => {
  let loads = 0
  const load = () => {
    loads++
    return import('../src/export-otlp.ts')
  }
  const off = await startTracing(read({}), 'test', quiet, load)
  t.equal(off.exporting, false)
  off.record(spanOf())
  await off.close(0)
  t.equal(loads, 0)
  const on = await startTracing(read({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }), 'test', quiet, load)
  t.equal(on.exporting, true)
  t.equal(loads, 1, 'the seam is the one that is used')
  await on.close(0)
})

interface Otlp {
  resourceSpans: { resource: { attributes: object[] }; scopeSpans: { spans: Record<string, unknown>[] }[] }[]
}

t.test('a span arrives as OTLP says, with the headers of a file', async (t) => {
  const collector = await stubServer(t)
  const dir = mkdtempSync(join(tmpdir(), 'otlp-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  writeFileSync(join(dir, 'headers'), 'authorization=Bearer%20hunter2,x-tenant=shop\n')
  const tracing = await startTracing(
    read({
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/otlp/`,
      OTEL_EXPORTER_OTLP_HEADERS_FILE: join(dir, 'headers'),
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    }),
    'http-worker',
    quiet,
  )
  const trace = traced()
  const other = traced('00')
  tracing.record({
    ...spanOf(trace),
    kind: 'client',
    parentSpanId: '00000000000000aa',
    attributes: { 'baton.run.id': 'run_1', nothing: undefined },
    error: '503',
    links: [other],
  })
  tracing.record(spanOf(other))
  await tracing.close(60_000)
  t.equal(collector.requests.length, 1)
  const { path, headers, body } = collector.requests[0]!
  t.equal(path, '/otlp/v1/traces')
  t.match(headers, { authorization: 'Bearer hunter2', 'x-tenant': 'shop', 'content-type': 'application/json' })
  const [{ resource, scopeSpans }] = (body as Otlp).resourceSpans as [Otlp['resourceSpans'][0]]
  const named = (key: string, stringValue: string) =>
    resource.attributes.some((attribute) => JSON.stringify(attribute) === JSON.stringify({ key, value: { stringValue } }))
  t.ok(named('service.name', 'http-worker') && named('deployment.environment.name', 'test'), JSON.stringify(resource))
  const { spans } = scopeSpans[0]!
  t.equal(spans.length, 1, 'a trace that is not sampled is not exported')
  const { traceId, spanId } = parseTraceparent(trace)!
  const linked = parseTraceparent(other)!
  t.match(spans[0], {
    traceId,
    spanId,
    parentSpanId: '00000000000000aa',
    name: 'test',
    kind: 3,
    startTimeUnixNano: '1000250000',
    endTimeUnixNano: '1001500000',
    status: { code: 2 },
    links: [{ traceId: linked.traceId, spanId: linked.spanId }],
  })
  t.same(spans[0]!.attributes, [
    { key: 'baton.run.id', value: { stringValue: 'run_1' } },
    { key: 'error.type', value: { stringValue: '503' } },
  ])
})

t.test('protobuf is spoken unless told otherwise', async (t) => {
  const collector = await stubServer(t)
  const tracing = await startTracing(
    read({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }),
    'test',
    quiet,
  )
  tracing.record(spanOf())
  await tracing.close(60_000)
  t.match(collector.requests[0], { path: '/v1/traces', headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' } })
})

t.test('a collector that refuses or hangs is counted, and named once without what was sent', async (t) => {
  const lines: string[] = []
  const log = createLogger({ name: 'test', level: 'info' }, { write: (line: string) => void lines.push(line) })
  const refusing = await stubServer(t, () => ({ status: 400, body: 'hunter2' }))
  const before = await droppedFor('refused')
  const tracing = await startTracing(read({ OTEL_EXPORTER_OTLP_ENDPOINT: refusing.url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1' }), 'test', log)
  for (let span = 0; span < 3; span++) tracing.record(spanOf())
  await until(async () => (await droppedFor('refused')) === before + 3)
  await tracing.close(0)
  t.equal(lines.length, 1, 'not once a batch')
  t.notMatch(lines[0], /hunter2/)

  const hanging = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(hanging, 'listening')
  t.teardown(() => hanging.close())
  const { port } = hanging.address() as { port: number }
  const stopped = await droppedFor('stopped')
  const stuck = await startTracing(
    read({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_TIMEOUT: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '1',
    }),
    'test',
    quiet,
  )
  for (let span = 0; span < 3; span++) stuck.record(spanOf())
  await stuck.close(0)
  t.equal(await droppedFor('stopped'), stopped + 2, 'beside the one that is under way')
})

async function droppedFor(reason: string): Promise<number> {
  const { text } = await metricsText()
  return Number(new RegExp(`^baton_spans_dropped_total\\{reason="${reason}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

t.test('settings that cannot be are named, and secrets in them are not shown', async (t) => {
  const wrong: [env: Record<string, string>, message: RegExp][] = [
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, /OTEL_EXPORTER_OTLP_ENDPOINT is wrong .* a URL/],
    [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, /gRPC is not spoken here: name the HTTP port/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'hunter2' }, /OTEL_EXPORTER_OTLP_HEADERS is wrong .* name=value/],
    [{ OTEL_EXPORTER_OTLP_HEADERS: 'a=%E0%A4hunter2' }, /OTEL_EXPORTER_OTLP_HEADERS is wrong/],
    [{ OTEL_TRACES_SAMPLER: 'jaeger_remote' }, /one of always_on, always_off/],
    [{ OTEL_TRACES_SAMPLER_ARG: '2' }, /a number from 0 to 1/],
  ]
  for (const [env, message] of wrong) {
    t.throws(() => read(env), { message })
    t.throws(() => read(env), { message: /^(?!.*hunter2)/s })
  }
})

t.test('samplers: a caller that has decided is followed, a ratio takes the same traces everywhere', async (t) => {
  const on = 'f'.repeat(32)
  const off = `${'f'.repeat(18)}${'0'.repeat(14)}`
  const table: [name: Parameters<typeof createSampler>[0], ratio: number, cases: [string, boolean | undefined, boolean][]][] = [
    [
      'always_on',
      1,
      [
        [off, undefined, true],
        [off, false, true],
      ],
    ],
    [
      'always_off',
      1,
      [
        [on, undefined, false],
        [on, true, false],
      ],
    ],
    [
      'traceidratio',
      0.5,
      [
        [on, undefined, true],
        [off, undefined, false],
        [off, true, false],
      ],
    ],
    ['traceidratio', 0, [[on, undefined, false]]],
    ['traceidratio', 1, [[off, undefined, true]]],
    [
      'parentbased_always_on',
      1,
      [
        [off, undefined, true],
        [on, false, false],
        [off, true, true],
      ],
    ],
    [
      'parentbased_always_off',
      1,
      [
        [on, undefined, false],
        [on, true, true],
      ],
    ],
    [
      'parentbased_traceidratio',
      0.5,
      [
        [off, undefined, false],
        [off, true, true],
        [on, undefined, true],
        [on, false, false],
      ],
    ],
  ]
  for (const [name, ratio, cases] of table) {
    const sample = createSampler(name, ratio)
    for (const [traceId, parent, expected] of cases)
      t.equal(sample(traceId, parent), expected, `${name} ${ratio} ${traceId.slice(-1)} ${parent}`)
  }
})
