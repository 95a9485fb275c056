/** Cancelling what stands in a long queue: what was not begun never begins. */
import { until } from '@baton/testing'
import { test } from 'tap'
import { insist } from './reach.ts'
import { openScene, tell } from './scene.ts'

const WIDTH = 250
const SINGLES = 250
/** Calls that the two workers make at once. */
const SLOTS = 8
const CALL_MS = 400
const END_MS = 60_000
/** A worker hears of the commit when it is done: what begins in between is in flight. */
const HEARD_MS = 250

test(`cancel with ${WIDTH + SINGLES} calls in the queue: nothing begins after the cancellation stands written, and every run ends cancelled`, {
  timeout: 200_000,
}, async (t) => {
  const scene = await openScene(t, 'queue', { settings: { HTTP_WORKER_CONCURRENCY: String(SLOTS / 2) } })
  const { client } = scene.reach
  const shop = scene.stack.shopUrl
  const http = { url: '${{ input.shop }}/orders/${{ input.order }}', query: { delayMs: `${CALL_MS}` } }
  const steps = Object.fromEntries(Array.from({ length: WIDTH }, (_, n) => [`s${n}`, { http }]))
  await client.workflows.put('wide', { name: 'wide', steps } as never)
  await client.workflows.put('single', { name: 'single', steps: { s0: { http } } } as never)
  const wide = await client.runs.start('wide', { input: { shop, order: 'wide' } })
  const singles = await client.runs.startBatch(
    'single',
    Array.from({ length: SINGLES }, (_, n) => ({ input: { shop, order: `single-${n}` } })),
  )
  const ids = [wide.id, ...singles.map(({ id }) => id)]
  await until(async () => (await scene.calls()).length >= SLOTS * 2, { what: 'the first calls' })

  const answeredAt = new Map<string, number>()
  await Promise.all(
    ids.map(async (id) => {
      const { value } = await insist(() => client.runs.cancel(id))
      if (value && value.status !== 'succeeded') answeredAt.set(id, Date.now())
    }),
  )
  await until(async () => (await client.runs.count({ status: ['queued', 'running', 'waiting'] })) === 0, {
    timeoutMs: END_MS,
    what: 'all to end',
  })

  const endingAt = new Map<string, number>()
  for (const id of ids) {
    const events = []
    for await (const event of client.runs.events(id)) events.push(event)
    const run = await client.runs.get(id)
    const ending = events.find(({ type }) => type === 'dev.baton.run.ending' || type === 'dev.baton.run.cancelled')
    if (run.status === 'cancelled') endingAt.set(id, Date.parse(ending!.time))
    else t.equal(run.status, 'succeeded', `${id} was over before`)
  }
  const calls = await scene.calls()
  const runOf = (key: string | null) => key?.split('/')[0] ?? ''
  const late = calls
    .map((call) => call.startedAt - (endingAt.get(runOf(call.idempotencyKey)) ?? Number.POSITIVE_INFINITY))
    .filter((ms) => ms > HEARD_MS)
  tell(
    `chaos queue: ${WIDTH + SINGLES} calls queued, ${calls.length} made, ${answeredAt.size} cancellations accepted, ${endingAt.size} runs cancelled, ` +
      `${late.length} calls began after their run was ending, up to ${Math.max(0, ...late)} ms`,
  )
  t.ok(endingAt.size > SINGLES / 2, `${endingAt.size} runs were cancelled`)
  t.strictSame(late, [], 'nothing began after the cancellation stood written')
})
