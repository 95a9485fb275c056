/** One request, one trace: over all services, jobs and events, as a collector and the called services see it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { stubServer, until } from '@baton/testing'
import { test } from 'tap'
import { type Loose, must } from './contract-harness.ts'
import { type Stack, startStack } from './start-stack.ts'

interface Span {
  service: string
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  name: string
  attributes: Record<string, string | number>
}

const REFUND = (shop: string) => ({
  steps: {
    order: { http: { url: `${shop}/orders/7?token=hunter2`, headers: { 'x-key': '${{ secrets.SHOP_KEY }}' } } },
    draft: { agent: { model: 'mock/echo', prompt: 'Refund ${{ steps.order.output.body.total }}?' } },
    review: {
      needs: ['draft'],
      approval: { title: 'Refund?', assignees: ['role:admin'], allowSelf: true, notify: [{ webhook: { url: `${shop}/notify` } }] },
    },
    refund: { needs: ['review'], http: { method: 'POST', url: `${shop}/refunds`, body: { total: 250 } } },
  },
})

async function call(stack: Stack, method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Loose> {
  const response = await fetch(stack.url + path, {
    method,
    headers: { authorization: `Bearer ${stack.adminKey}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const answer = { status: response.status, headers: response.headers, body: await response.json().catch(() => undefined) }
  return { ...must(answer, 200, 201, 202, 204), requestId: response.headers.get('x-request-id') }
}

/** Starts a refund and lets it pass; gives the run at its end. */
async function refund(stack: Stack, shop: string, headers: Record<string, string> = {}): Promise<Loose> {
  await call(stack, 'PUT', '/api/v1/secrets/SHOP_KEY', { value: 'hunter2' })
  await call(stack, 'PUT', '/api/v1/workflows/refund', REFUND(shop))
  const started = await call(stack, 'POST', '/api/v1/workflows/refund/runs', {}, headers)
  const approval = await until(async () => {
    await sleep(250) // each look is a span too, and the queues are short
    return (await call(stack, 'GET', `/api/v1/approvals?run=${started.id}&status=pending`)).items[0]
  })
  await call(stack, 'POST', `/api/v1/approvals/${approval.id}/decision`, { decision: 'approve' })
  const ended = await call(stack, 'GET', `/api/v1/runs/${started.id}?wait=30s`)
  return { ...ended, requestId: started.requestId }
}

/** The spans in what a collector was sent as JSON. */
function spansIn(requests: readonly { body: unknown }[]): Span[] {
  const plain = (list: Loose[]) =>
    Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue ?? value.doubleValue)]))
  return requests.flatMap(({ body }) =>
    (body as Loose).resourceSpans.flatMap(({ resource, scopeSpans }: Loose) =>
      scopeSpans.flatMap(({ spans }: Loose) =>
        spans.map((span: Loose) => ({ ...span, service: plain(resource.attributes)['service.name'], attributes: plain(span.attributes) })),
      ),
    ),
  )
}

const CALLER = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' }
const shopOf = () => ({ body: { id: 'rf_1', total: 250 } })

test('a refund with an approval is one trace', { timeout: 110_000 }, async (t) => {
  let isHanging = false
  const answer = () => (isHanging ? new Promise<never>(() => {}) : {})
  const [shop, collector] = await Promise.all([stubServer(t, shopOf), stubServer(t, answer)])
  const lines: { service: string; line: string }[] = []
  const stack = await startStack(t, {
    onLine: (service, line) => void lines.push({ service, line }),
    settings: {
      LOG_LEVEL: 'debug',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '20',
      OTEL_BSP_MAX_QUEUE_SIZE: '8',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '4',
    },
  })
  const run = await refund(stack, shop.url, { traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-01` })
  t.equal(run.status, 'succeeded')
  const mine = () => spansIn(collector.requests).filter((span) => span.traceId === CALLER.traceId)
  await until(() => mine().length >= 8, { what: 'all spans' })
  const byName = new Map(mine().map((span) => [span.name, span]))
  const idOf = (name: string) => byName.get(name)!.spanId

  await t.test('all services have told their part, once each, and each part hangs below the right one', async (t) => {
    t.same(
      mine()
        .map(({ service, name }) => `${service}: ${name}`)
        .sort(),
      [
        'agent-runner: chat echo',
        'hitl-worker: notify webhook',
        'http-worker: GET order',
        'http-worker: POST refund',
        'orchestrator: POST /api/v1/approvals/:id/decision',
        'orchestrator: POST /api/v1/workflows/:name/runs',
        'workflow-runner: approval review',
        'workflow-runner: run refund',
      ],
    )
    const start = 'POST /api/v1/workflows/:name/runs'
    t.equal(byName.get(start)!.parentSpanId, CALLER.spanId)
    t.equal(byName.get('run refund')!.parentSpanId, idOf(start))
    for (const name of ['GET order', 'chat echo', 'approval review', 'POST refund']) {
      t.equal(byName.get(name)!.parentSpanId, idOf('run refund'), name)
    }
    for (const name of ['notify webhook', 'POST /api/v1/approvals/:id/decision']) {
      t.equal(byName.get(name)!.parentSpanId, idOf('approval review'), name)
    }
    for (const span of mine().filter(({ name }) => !name.startsWith('POST /api/v1/approvals'))) {
      t.equal(span.attributes['baton.request.id'], run.requestId, span.name)
    }
  })

  await t.test('who is called sees the span that calls', async (t) => {
    const seen = Object.fromEntries(shop.requests.map(({ path, headers }) => [path.split('?')[0], headers['traceparent']]))
    t.same(seen, {
      '/orders/7': `00-${CALLER.traceId}-${idOf('GET order')}-01`,
      '/notify': `00-${CALLER.traceId}-${idOf('notify webhook')}-01`,
      '/refunds': `00-${CALLER.traceId}-${idOf('POST refund')}-01`,
    })
  })

  await t.test('events show it, in REST and in the stream', async (t) => {
    const { items } = await call(stack, 'GET', `/api/v1/runs/${run.id}/events`)
    const sse = await fetch(`${stack.liveUrl}/sse/runs/${run.id}?after=0`, { headers: { authorization: `Bearer ${stack.adminKey}` } })
    const streamed = [...(await sse.text()).matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!))
    t.same(streamed, items)
    const about = (type: string, subject?: string) => items.find((e: Loose) => e.type === `dev.baton.${type}` && e.subject === subject)
    t.equal(about('run.created').traceparent, `00-${CALLER.traceId}-${idOf('run refund')}-01`)
    t.equal(about('step.succeeded', 'order').traceparent, `00-${CALLER.traceId}-${idOf('GET order')}-01`)
    t.equal(about('step.succeeded', 'review').traceparent, `00-${CALLER.traceId}-${idOf('approval review')}-01`)
    t.ok(items.every((event: Loose) => event.traceparent.slice(3, 35) === CALLER.traceId))
  })

  await t.test('logs of all services have run, request and trace', async (t) => {
    const told = ['run started', 'run ended', 'call made', 'approval notified', 'turn taken']
    const services = ['orchestrator', 'workflow-runner', 'http-worker', 'hitl-worker', 'agent-runner']
    for (const [index, msg] of told.entries()) {
      const found = lines.map(({ service, line }) => ({ service, ...JSON.parse(line) })).find((line) => line.msg === msg)
      t.match(found, { service: services[index], requestId: run.requestId, traceId: CALLER.traceId, runId: run.id.slice(4) }, msg)
    }
    const vote = lines.map(({ line }) => JSON.parse(line)).find((line) => line.msg === 'vote counted')
    t.match(vote, { traceId: CALLER.traceId, runId: run.id.slice(4) }, 'the vote is part of it')
  })

  await t.test('no span has a secret, a path or a query', async (t) => {
    const all = JSON.stringify(collector.requests.map(({ body }) => body))
    t.notMatch(all, /hunter2|orders\/7/)
    t.notMatch(all, new RegExp(stack.adminKey))
  })

  await t.test('a collector that hangs holds up nothing: runs end, spans are dropped and counted', async (t) => {
    isHanging = true
    await call(stack, 'PUT', '/api/v1/workflows/plain', {
      steps: { one: { http: { url: `${shop.url}/one` } }, two: { needs: ['one'], http: { method: 'POST', url: `${shop.url}/two` } } },
    })
    const { items } = await call(stack, 'POST', '/api/v1/workflows/plain/runs/batch', { items: Array(20).fill({ input: {} }) })
    for (const { id } of items) t.equal((await call(stack, 'GET', `/api/v1/runs/${id}?wait=30s`)).status, 'succeeded')
    t.equal(shop.requests.filter(({ path }) => path === '/two').length, 20)
    for (const service of ['orchestrator', 'workflow-runner', 'http-worker'] as const) {
      const metrics = await (await fetch(`${stack.urls[service]}/metrics`)).text()
      t.match(metrics, /^baton_spans_dropped_total\{reason="full"\} [1-9]/m, service)
    }
  })
})
