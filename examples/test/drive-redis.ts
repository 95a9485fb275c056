/** What a stack on some kind of Redis has to do: the refund example, runs of ten calls, and the same while a server of that Redis dies. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BatonClient, type CloudEvent, createClient } from '@baton/client'
import { until } from '@baton/testing'
import type { Test } from 'tap'
import { type Shop, startShop } from '../src/shop.ts'
import type { Stack } from './start-stack.ts'

const STEPS = 10
const ENDED_MS_MAX = 30_000
const ENDS_STEP = /^dev\.baton\.step\.(succeeded|failed|skipped|cancelled)$/

/** A client of the stack, and a shop that its workflows call. */
export async function openScene(t: Test, stack: Stack): Promise<{ client: BatonClient; shop: Shop }> {
  const shop = await startShop()
  t.teardown(() => shop.close())
  return { client: createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey }), shop }
}

/** The refund example: one without consent, and one that waits for a person while somebody follows it. */
export async function refunds(t: Test, client: BatonClient, shop: Shop): Promise<void> {
  await client.workflows.put('refund', readFileSync(join(import.meta.dirname, '../refund.yaml'), 'utf8'))
  const small = await client.runs.start('refund', { input: { orderId: 'small', shop: shop.url }, waitMs: 30_000 })
  t.match(small, { status: 'succeeded', output: { refundId: /^rf_/ } }, 'a small refund needs no consent')
  const big = await client.runs.start('refund', { input: { orderId: 'big', shop: shop.url } })
  const seqs: number[] = []
  for await (const event of client.watchRun(big.id, { after: 0, giveUpMs: ENDED_MS_MAX })) {
    seqs.push(event.seq)
    if (event.type !== 'dev.baton.approval.opened') continue
    for await (const { id } of client.approvals.list({ run: big.id })) await client.approvals.decide(id, { decision: 'approve' })
  }
  const ended = await client.runs.get(big.id)
  t.match(ended, { status: 'succeeded', output: { refundId: /^rf_/ } }, 'a big refund is made when a person approves')
  t.same(
    seqs,
    Array.from({ length: ended.lastSeq }, (_, index) => index + 1),
    'whoever follows it sees each event once and in order',
  )
}

/** Runs of ten calls, one after the other; all succeed. `meanwhile` happens when a third of the calls were made. */
export async function tenStepRuns(
  t: Test,
  client: BatonClient,
  shop: Shop,
  options: { runs: number; delayMs?: number; meanwhile?(): Promise<void> },
): Promise<void> {
  const before = shop.calls.length
  await client.workflows.put('ten', JSON.stringify(tenSteps(options.delayMs ?? 0)))
  const items = Array.from({ length: options.runs }, (_, order) => ({ input: { shop: shop.url, order: `o${order}` } }))
  const runs = await client.runs.startBatch('ten', items)
  if (options.meanwhile) {
    const enough = (options.runs * STEPS) / 3
    await until(() => shop.calls.length - before >= enough, { timeoutMs: ENDED_MS_MAX, what: 'a third of the calls' })
    t.ok(shop.calls.length - before < options.runs * STEPS, 'in the middle of the load')
    await options.meanwhile()
  }
  const leftAt = performance.now()
  const open = async () => client.runs.count({ workflow: 'ten', status: ['queued', 'running', 'waiting', 'paused'] })
  await until(async () => (await open()) === 0, { timeoutMs: ENDED_MS_MAX, what: 'all runs to end' })
  t.comment(`all ${options.runs} runs ended within ${Math.round(performance.now() - leftAt)} ms`)
  const violations: string[] = []
  for (const { id } of runs) violations.push(...(await judgeRun(client, shop, id)))
  t.same(violations, [], 'each run succeeded, without a gap, and no call began after its recorded success')
  const calls = shop.calls.length - before
  t.ok(calls >= options.runs * STEPS, `${calls} calls for ${options.runs * STEPS} steps`)
  t.comment(`${calls - options.runs * STEPS} calls were made again`)
}

function tenSteps(delayMs: number) {
  const url = (step: number) => `\${{ input.shop }}/orders/\${{ input.order }}.${step}?delayMs=${delayMs}`
  const steps = Array.from({ length: STEPS }, (_, step) => ({ id: `s${step}`, http: { url: url(step) } }))
  return { name: 'ten', steps }
}

/** What anybody can see of a run, against the record of the shop. */
async function judgeRun(client: BatonClient, shop: Shop, id: string): Promise<string[]> {
  const events: CloudEvent[] = []
  for await (const event of client.runs.events(id)) events.push(event)
  const violations: string[] = []
  if (events.at(-1)?.type !== 'dev.baton.run.succeeded') violations.push(`${id} ended with ${events.at(-1)?.type}`)
  if (events.some(({ seq }, index) => seq !== index + 1)) violations.push(`${id} has a gap`)
  const outcomes = Map.groupBy(
    events.filter(({ type }) => ENDS_STEP.test(type)),
    ({ subject }) => subject,
  )
  if (outcomes.size !== STEPS) violations.push(`${id} has outcomes of ${outcomes.size} steps`)
  for (const [step, ended] of outcomes) {
    if (ended.length !== 1) violations.push(`${id} has ${ended.length} outcomes of ${step}`)
    const at = Date.parse(ended[0]!.time)
    for (const call of shop.calls.filter(({ idempotencyKey }) => idempotencyKey === `${id}/${step}/0`)) {
      if (call.startedAt > at) violations.push(`${id} called ${step} ${call.startedAt - at} ms after its success was recorded`)
    }
  }
  return violations
}
