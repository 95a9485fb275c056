import { keys, partitionOf } from '@baton/contracts'
import { connectRedis, createProducer, notifications } from '@baton/runtime'
import { createSecretBox } from '@baton/store'
import { endProcess, stubServer, type Teardown, testDatabase, testRedis, until } from '@baton/testing'
import { test } from 'tap'
import { isNotified, MASTER_KEY, openApproval, startService } from './open-approval.ts'

async function setUp(t: Teardown, answer?: Parameters<typeof stubServer>[1]) {
  const [{ url, sql }, redis, receiver] = await Promise.all([testDatabase(t), testRedis(t), stubServer(t, answer)])
  const env = { DATABASE_URL: url, REDIS_URL: redis.url, BATON_HTTP_ALLOW: '127.0.0.0/8', BATON_PUBLIC_URL: 'https://baton.example' }
  const producer = createProducer(notifications, redis.url)
  t.teardown(() => producer.close())
  await until(async () => (await producer.depth()) === 0, { what: 'the producer to be connected' })
  const tell = (approvalId: string) => producer.add({ approvalId, namespace: 'default' })
  return { sql, redis, receiver, env, producer, tell }
}

async function metricsOf(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text()
}

test('every channel is told once, with secrets that stand nowhere else', { timeout: 60_000 }, async (t) => {
  const { sql, receiver, env, producer, tell } = await setUp(t)
  const service = await startService(t, env)
  const box = createSecretBox(MASTER_KEY)
  await box.putSecret(sql, 'default', 'HOOK', 'path-9f3')
  await box.putSecret(sql, 'default', 'TOKEN', 'token-7c1')
  const { approvalId } = await openApproval(sql, {
    notify: [{ webhook: { url: '', headers: { authorization: '' } } }, { slack: { url: `${receiver.url}/slack` } }],
    notifySecrets: [
      { pointer: '/0/webhook/url', parts: [`${receiver.url}/`, { secret: 'HOOK' }] },
      { pointer: '/0/webhook/headers/authorization', parts: ['Bearer ', { secret: 'TOKEN' }] },
    ],
  })
  await tell(approvalId)
  await until(() => isNotified(sql, approvalId))
  await until(async () => (await producer.depth()) === 0)
  await tell(approvalId)
  await until(async () => (await producer.depth()) === 0)
  t.same(receiver.requests.map((request) => request.path).sort(), ['/path-9f3', '/slack'])
  const webhook = receiver.requests.find((request) => request.path === '/path-9f3')!
  t.match(webhook.headers, {
    authorization: 'Bearer token-7c1',
    'idempotency-key': `apr_${approvalId}/0`,
    'content-type': 'application/json',
  })
  t.match(webhook.body, {
    approval: {
      id: `apr_${approvalId}`,
      step: 'review',
      title: 'Refund 250 EUR?',
      assignees: ['role:operator'],
      options: [{ id: 'approve' }, { id: 'reject' }],
    },
    link: `https://baton.example/api/v1/approvals/apr_${approvalId}`,
  })
  t.notMatch(service.lines.join('\n'), /path-9f3|token-7c1/)
  for (const probe of ['healthz', 'ready', 'health']) t.equal((await fetch(`${service.url}/${probe}`)).status, 200, probe)
  t.match(await metricsOf(service.url), 'baton_notifications_total{channel="webhook",outcome="delivered"} 1')
})

test('a receiver that is down is told later, and only that one', { timeout: 60_000 }, async (t) => {
  const { sql, receiver, env, tell } = await setUp(t, (request, index) => ({ status: request.path === '/down' && index < 3 ? 503 : 200 }))
  await startService(t, env)
  const { approvalId } = await openApproval(sql, {
    notify: [{ webhook: { url: `${receiver.url}/up` } }, { webhook: { url: `${receiver.url}/down` } }],
  })
  await tell(approvalId)
  await until(() => isNotified(sql, approvalId), { timeoutMs: 30_000 })
  const paths = receiver.requests.map((request) => request.path)
  t.equal(paths.filter((path) => path === '/up').length, 1)
  t.ok(paths.filter((path) => path === '/down').length >= 2)
  const downKeys = receiver.requests.filter((request) => request.path === '/down').map((request) => request.headers['idempotency-key'])
  t.same([...new Set(downKeys)], [`apr_${approvalId}/1`], 'every try carries the same key')
})

test('what cannot be told is said once and does not hold up the rest', { timeout: 60_000 }, async (t) => {
  const { sql, receiver, env, tell } = await setUp(t, (request) => ({ status: request.path === '/gone' ? 410 : 200 }))
  const service = await startService(t, { ...env, BATON_HTTP_ALLOW: '127.0.0.1' })
  const { approvalId } = await openApproval(sql, {
    notify: [
      { webhook: { url: `${receiver.url}/gone` } },
      { webhook: { url: 'http://169.254.169.254/latest' } },
      { email: { to: 'somebody@example.com' } },
      { webhook: { url: `${receiver.url}/fine` } },
    ],
  })
  await tell(approvalId)
  await until(() => isNotified(sql, approvalId))
  t.same(receiver.requests.map((request) => request.path).sort(), ['/fine', '/gone'])
  const metrics = await metricsOf(service.url)
  t.match(metrics, 'baton_notifications_total{channel="webhook",outcome="refused"} 2')
  t.match(metrics, 'baton_notifications_total{channel="email",outcome="unsupported"} 1')
  t.match(service.lines.join('\n'), 'email notifications are not set up')
})

test('a notification whose worker was killed is made by another, under the same key', { timeout: 90_000 }, async (t) => {
  const held = Promise.withResolvers<void>()
  const { sql, receiver, env, tell } = await setUp(t, (_request, index) => {
    if (index > 0) return {}
    held.resolve()
    return new Promise(() => {})
  })
  const doomed = await startService(t, env)
  const { approvalId } = await openApproval(sql, { notify: [{ webhook: { url: receiver.url } }] })
  await tell(approvalId)
  await held.promise
  await endProcess(doomed.child, 'SIGKILL')
  await startService(t, env)
  await until(() => isNotified(sql, approvalId), { timeoutMs: 60_000 })
  t.same([...new Set(receiver.requests.map((request) => request.headers['idempotency-key']))], [`apr_${approvalId}/0`])
})

test('a notification that Redis lost is queued again', { timeout: 60_000 }, async (t) => {
  const { sql, redis, receiver, env } = await setUp(t)
  const decided = await openApproval(sql, { notify: [{ webhook: { url: `${receiver.url}/decided` } }], age: 60 })
  await sql`update approvals set status = 'decided', decision = 'approve', closed_at = now() where id = ${decided.approvalId}`
  const service = await startService(t, { ...env, HITL_RENOTIFY_MS: '200' })
  await redis.flushAll()
  const { approvalId } = await openApproval(sql, { notify: [{ webhook: { url: `${receiver.url}/pending` } }], age: 60 })
  await until(() => isNotified(sql, approvalId))
  t.same(
    receiver.requests.map((request) => request.path),
    ['/pending'],
  )
  t.match(await metricsOf(service.url), /baton_notifications_requeued_total [1-9]/)
})

test('approvals past their deadline are measured and their runs woken', { timeout: 60_000 }, async (t) => {
  const { sql, redis: server, env } = await setUp(t)
  const late = await openApproval(sql, { notify: null, deadline: -60 })
  await openApproval(sql, { notify: null, deadline: 60 })
  const service = await startService(t, { ...env, HITL_OVERDUE_MS: '200' })
  const redis = connectRedis(server.url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const entries = await until(async () => {
    const found = await redis.xrange(keys.facts(partitionOf(late.runId)), '-', '+', 'COUNT', 1)
    return found.length > 0 && found
  })
  t.same(JSON.parse(entries[0]![1][1]!), [{ kind: 'sweep', runId: late.runId, lost: [] }])
  t.match(await metricsOf(service.url), 'baton_approvals_overdue 1')
})

test('SIGTERM ends the service in order', { timeout: 60_000 }, async (t) => {
  const { env } = await setUp(t)
  const { child } = await startService(t, env)
  const exit = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)))
  child.kill('SIGTERM')
  t.equal(await exit, 0)
})
