/** The promises under fire, judged only by the public API and the shop's own record of what was called. */
import { type BatonClient, type CloudEvent, createClient } from '@baton/client'
import { until } from '@baton/testing'
import { type Test, test } from 'tap'
import { type Shop, startShop } from '../src/shop.ts'
import { SERVICES, type SupervisedStack, superviseStack } from './supervised-stack.ts'

const STEPS = 10
const DELAY_MS = 150

async function setup(t: Test, settings: Record<string, string> = {}) {
  const stack = await superviseStack(t, settings)
  const shop = await startShop()
  t.teardown(() => shop.close())
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey })
  const url = `\${{ input.shop }}/orders/\${{ input.order }}?delayMs=${DELAY_MS}`
  await client.workflows.put('ten', { name: 'ten', steps: Array.from({ length: STEPS }, (_, i) => ({ id: `s${i}`, http: { url } })) })
  return { stack, shop, client }
}

/** Starts many ten-step runs; gives their ids. */
async function startMany(client: BatonClient, shop: Shop, count: number): Promise<string[]> {
  const items = Array.from({ length: count }, (_, i) => ({ input: { shop: shop.url, order: `o-${i}` }, labels: { batch: 'faults' } }))
  return (await client.runs.startBatch('ten', items)).map((run) => run.id)
}

const succeeded = (client: BatonClient) => client.runs.count({ status: 'succeeded', label: 'batch:faults' }).catch(() => -1)

async function eventsOf(client: BatonClient, id: string): Promise<CloudEvent[]> {
  const events: CloudEvent[] = []
  for await (const event of client.runs.events(id)) events.push(event)
  return events
}

/** Waits for the end of all runs; says what the others wait for when that takes too long. */
async function allSucceed(t: Test, client: BatonClient, count: number): Promise<void> {
  try {
    await until(async () => (await succeeded(client)) === count, { timeoutMs: 60_000, what: 'all runs to succeed' })
  } catch (error) {
    for await (const run of client.runs.list({ label: 'batch:faults' })) {
      if (run.status === 'succeeded') continue
      const { items } = await client.runs.why(run.id)
      t.comment(`${run.id} is ${run.status}: ${JSON.stringify(items[0])}`)
    }
    throw error
  }
}

/** All ended well, `seq` has no gap, each step has one outcome, and nothing was called after its success stood written. */
async function judge(t: Test, client: BatonClient, shop: Shop, ids: string[]): Promise<void> {
  let gaps = 0
  let outcomes = 0
  const successes = new Map<string, number>()
  for (const id of ids) {
    const events = await eventsOf(client, id)
    if (events.some((event, i) => event.seq !== i + 1)) gaps++
    for (const event of events) {
      if (!/step\.(succeeded|failed|skipped|cancelled)$/.test(event.type)) continue
      outcomes++
      successes.set(`${id}/${event.subject}/${event.data.generation}`, Date.parse(event.time))
    }
    if (events.at(-1)?.type !== 'dev.baton.run.succeeded') t.fail(`${id} ended with ${events.at(-1)?.type}`)
  }
  t.equal(gaps, 0, 'seq has no gap')
  t.equal(outcomes, ids.length * STEPS, 'one outcome for each step')
  t.equal(successes.size, ids.length * STEPS, 'of different steps')
  const late = shop.calls.filter((call) => call.startedAt > (successes.get(call.idempotencyKey ?? '') ?? Number.POSITIVE_INFINITY))
  t.strictSame(late, [], 'no call started after its success was recorded')
  t.equal(new Set(shop.calls.map((call) => call.idempotencyKey)).size, ids.length * STEPS, 'every call carries the key of its step')
  t.comment(`${shop.calls.length} calls for ${ids.length * STEPS} steps`)
}

/** Follows runs live; gives the seqs that each follower saw. */
function follow(client: BatonClient, ids: string[]): Promise<number[][]> {
  return Promise.all(
    ids.map(async (id) => {
      const seqs: number[] = []
      for await (const event of client.watchRun(id, { after: 0 })) seqs.push(event.seq)
      return seqs
    }),
  )
}

async function underWay(client: BatonClient, shop: Shop, calls: number): Promise<void> {
  await until(() => shop.calls.length >= calls, { timeoutMs: 60_000, what: `${calls} calls` })
  void client
}

test('SIGKILL of each service in turn, then FLUSHALL: all 300 runs succeed, nothing is lost or doubled', {
  timeout: 180_000,
}, async (t) => {
  const { stack, shop, client } = await setup(t)
  const ids = await startMany(client, shop, 300)
  const followed = follow(client, ids.slice(0, 5))
  for (const [i, service] of (['workflow-runner', 'http-worker', 'orchestrator', 'fanout'] as const).entries()) {
    await underWay(client, shop, 300 + i * 500)
    await stack.end(service, 'SIGKILL')
  }
  await underWay(client, shop, 2_000)
  const flushedAt = Date.now()
  await stack.redis.flushAll()
  await allSucceed(t, client, 300)
  t.ok(Date.now() - flushedAt < 35_000, `all ended ${Date.now() - flushedAt} ms after the flush`)
  let open = 0
  for await (const run of client.runs.list({ label: 'batch:faults' })) if (Date.parse(run.endedAt!) > flushedAt) open++
  t.ok(open > 0, `${open} of 300 were open when Redis was emptied`)
  await judge(t, client, shop, ids)
  for (const seqs of await followed)
    t.strictSame(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
      'a follower saw each event once, in order',
    )
})

test('SIGTERM of every service under load: exit 0 within 25 s, nothing is lost', { timeout: 180_000 }, async (t) => {
  const { stack, shop, client } = await setup(t)
  const ids = await startMany(client, shop, 200)
  for (const [i, service] of SERVICES.entries()) {
    await underWay(client, shop, 150 + i * 250)
    const ended = await stack.end(service, 'SIGTERM')
    t.equal(ended.code, 0, `${service} exits 0`)
    t.ok(ended.durationMs < 25_000, `${service} took ${Math.round(ended.durationMs)} ms`)
  }
  await allSucceed(t, client, 200)
  await judge(t, client, shop, ids)
})

export type { SupervisedStack }
