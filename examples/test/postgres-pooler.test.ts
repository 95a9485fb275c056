/** The whole stack behind PgBouncer in transaction mode, with fewer servers than it has connections. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BatonClient, createClient, type Run } from '@baton/client'
import { emptyDatabase, endProcess, findPgbouncer, stubServer, testPgbouncer, until } from '@baton/testing'
import { type Test, test } from 'tap'
import { startShop } from '../src/shop.ts'
import { type SupervisedStack, superviseStack } from './supervised-stack.ts'

const skip = findPgbouncer() ? false : 'pgbouncer is not installed (Debian: apt-get install pgbouncer)'
const RUNS = 200
const STEPS = 10

test('through PgBouncer in transaction mode', { skip, timeout: 150_000 }, async (t) => {
  const { url } = await emptyDatabase(t)
  const bouncer = await testPgbouncer(t, { databaseUrl: url, poolSize: 6 })
  const stack = await superviseStack(t, { DATABASE_URL: bouncer.urlOf(url), DATABASE_POOLER: 'transaction' })
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey })

  await t.test('an order is refunded, with the consent of a person', (t) => refundOrder(t, client))
  await t.test('a run is paused and resumed', (t) => pauseAndResume(t, client))
  await t.test('hundreds of runs outlive a killed runner and a killed PgBouncer, each step once', (t) =>
    outliveKills(t, { client, stack, restart: bouncer.restart }),
  )
})

async function refundOrder(t: Test, client: BatonClient) {
  const shop = await startShop()
  t.teardown(() => shop.close())
  await client.workflows.put('refund', readFileSync(join(import.meta.dirname, '../refund.yaml'), 'utf8'))
  const small = await client.runs.start('refund', { input: { orderId: 'small', shop: shop.url }, waitMs: 30_000 })
  t.match(small, { status: 'succeeded', output: { refundId: /^rf_/ } })
  const big = await client.runs.start('refund', { input: { orderId: 'big', shop: shop.url } })
  for await (const event of client.watchRun(big.id)) {
    if (event.type === 'dev.baton.approval.opened') await client.runs.decide(big.id, 'review', { decision: 'approve' })
  }
  t.match(await client.runs.get(big.id), { status: 'succeeded', output: { refundId: /^rf_/ } })
}

async function pauseAndResume(t: Test, client: BatonClient) {
  await client.workflows.put('asks', JSON.stringify({ name: 'asks', steps: [{ id: 'ok', approval: { title: 'Go?', allowSelf: true } }] }))
  const { id } = await client.runs.start('asks', {})
  const is = (status: Run['status']) => until(async () => (await client.runs.get(id)).status === status, { what: status })
  await is('waiting')
  await client.runs.pause(id)
  await is('paused')
  await client.runs.decide(id, 'ok', { decision: 'approve' })
  await client.runs.resume(id)
  t.match(await client.runs.wait(id, { timeoutMs: 30_000 }), { status: 'succeeded' })
}

type Kills = { client: BatonClient; stack: SupervisedStack; restart(): Promise<void> }

async function outliveKills(t: Test, { client, stack, restart }: Kills) {
  const server = await stubServer(t, () => ({ body: { ok: true } }))
  stack.add('workflow-runner')
  const second = stack.add('workflow-runner')
  const steps = Array.from({ length: STEPS }, (_, at) => ({ id: `s${at}`, http: { url: `${server.url}/${at}` } }))
  await client.workflows.put('ten', JSON.stringify({ name: 'ten', steps }))
  const runs = await client.runs.startBatch(
    'ten',
    Array.from({ length: RUNS }, () => ({ input: {} })),
  )
  const called = (share: number) =>
    until(() => server.requests.length >= RUNS * STEPS * share, { timeoutMs: 60_000, what: `${share} of calls` })
  await called(0.2)
  await endProcess(second, 'SIGKILL')
  await called(0.5)
  await restart()
  await until(async () => (await client.runs.count({ workflow: 'ten', status: ['succeeded'] })) === RUNS, {
    timeoutMs: 90_000,
    what: 'all runs to end',
  })
  for (const { id } of runs.slice(0, 40)) {
    const seqs: number[] = []
    const ended: string[] = []
    for await (const { seq, type, subject } of client.runs.events(id)) {
      seqs.push(seq)
      if (type === 'dev.baton.step.succeeded') ended.push(String(subject))
    }
    t.same(
      seqs,
      seqs.map((_, at) => at + 1),
      'no gap',
    )
    t.same(
      ended,
      steps.map((step) => step.id),
      'each step once, in order',
    )
  }
  const keys = new Set(server.requests.map(({ headers }) => headers['idempotency-key']))
  t.equal(keys.size, RUNS * STEPS, 'no step was left out, and none has two generations')
}
