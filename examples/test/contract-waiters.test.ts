/**
 * Events that come just when a step begins to wait for them. Waiters are started in batches, so that those of a batch register in the same
 * moment; three clients post at it: one a millisecond before, one at it, one a millisecond after, as well as it can be foretold.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '@baton/testing'
import { test } from 'tap'
import { type Contract, type Loose, must, openContract } from './contract-harness.ts'

const WAITERS = 1_000
const BATCH = 50
const WAIT_MS = 250
/** When each client posts, in ms from the moment in which the waiters register. */
const AIMS = [-1, 0, 1] as const

const FLOW = {
  steps: [
    { id: 'rest', wait: { for: `${WAIT_MS}ms` } },
    {
      id: 'each',
      loop: {
        until: `iteration >= ${AIMS.length - 1}`,
        max: AIMS.length,
        steps: [{ id: 'w', waitFor: { event: 'ping', where: 'event.data.n == input.n' } }],
      },
    },
  ],
}

interface Post {
  sentAt: number
  answeredAt: number
}

interface Waiter {
  id: string
  n: number
  posts: Post[]
}

test(`events posted 1 ms before, at and 1 ms after the step waits, ${WAITERS} times each: each is taken once, in the order of acceptance`, {
  timeout: 180_000,
}, async (t) => {
  const contract = await openContract(t)
  await contract.save('waits', FLOW)
  const keys = await Promise.all(AIMS.map(() => contract.makeKey('operator')))
  const waiters: Waiter[] = []
  let lagMs = 10
  while (waiters.length < WAITERS) {
    const batch = await startBatch(contract, waiters.length, lagMs, keys)
    waiters.push(...batch.waiters)
    lagMs += (batch.lagMs - lagMs) / 2
  }
  const open = async () => must(await contract.call('GET', '/api/v1/runs/count?workflow=waits&status=queued,running,waiting'), 200).count
  await until(async () => (await open()) === 0, { timeoutMs: 20_000, what: 'the end of all waiters' }).catch(async () => {
    const left = await contract.list('/api/v1/runs?workflow=waits&status=queued,running,waiting')
    t.fail(`${left.length} waiters wait for ever: ${JSON.stringify(await contract.events(left[0].id))}`)
  })

  const seen = { before: 0, at: 0, after: 0 }
  for (const waiter of waiters) {
    const events = await contract.events(waiter.id)
    const taken = events.filter(({ type, subject }) => type === 'dev.baton.step.succeeded' && /\.w$/.test(subject))
    const ids = taken.map(({ data }) => data.output.id as string)
    if (new Set(ids).size !== AIMS.length || ids.length !== AIMS.length) t.fail(`waiter ${waiter.n} took ${ids.join(', ')}`)
    if (taken.some(({ data }) => data.output.data.n !== waiter.n)) t.fail(`waiter ${waiter.n} took what was not for it`)
    const order = taken.map(({ data }) => data.accepted as number)
    if (order.some((seq, index) => index > 0 && seq <= order[index - 1]!)) t.fail(`waiter ${waiter.n} took them in the order ${order}`)
    const registeredAt = Date.parse(events.find(({ type, subject }) => type === 'dev.baton.step.waiting' && subject === 'each[0].w').time)
    for (const { sentAt, answeredAt } of waiter.posts) {
      seen[answeredAt < registeredAt ? 'before' : sentAt > registeredAt ? 'after' : 'at']++
    }
  }
  for (const [when, count] of Object.entries(seen)) t.ok(count > 0, `some came ${when}`)
  t.comment(`${waiters.length} waiters took ${AIMS.length} events each: ${JSON.stringify(seen)}, lag ${lagMs.toFixed(1)} ms`)
  process.stderr.write(`waiters: ${waiters.length}, of their events ${seen.before} before, ${seen.at} at and ${seen.after} after\n`)
})

/** Starts a batch of waiters and posts at them. `lagMs`: how long after the end of `rest` they are expected to register, and in truth did. */
async function startBatch(
  contract: Contract,
  first: number,
  lagMs: number,
  keys: { key: string }[],
): Promise<{ waiters: Waiter[]; lagMs: number }> {
  const items = Array.from({ length: BATCH }, (_, index) => ({ input: { n: first + index } }))
  const { items: runs } = must(await contract.call('POST', '/api/v1/workflows/waits/runs/batch', { body: { items } }), 202)
  const createdAt = Date.parse(runs[0].createdAt)
  const due = createdAt + WAIT_MS + lagMs
  const posts = await Promise.all(
    AIMS.map((aimMs, client) => postAt(contract, due + aimMs, runs, { key: keys[client]!.key, first, client })),
  )
  const registered = await until(
    async () => {
      const events = await contract.events(runs[0].id)
      return events.find(({ type, subject }: Loose) => type === 'dev.baton.step.waiting' && subject === 'each[0].w')?.time as
        | string
        | undefined
    },
    { what: 'the waiter' },
  )
  return {
    waiters: runs.map((run: Loose, index: number) => ({ id: run.id, n: first + index, posts })),
    lagMs: Math.max(0, Date.parse(registered) - createdAt - WAIT_MS),
  }
}

/** Posts one event for each waiter, twice: the second time they are duplicates. */
async function postAt(
  contract: Contract,
  atMs: number,
  runs: Loose[],
  from: { key: string; first: number; client: number },
): Promise<Post> {
  const body = runs.map((_, index) => {
    const n = from.first + index
    return { specversion: '1.0', id: `${n}-${from.client}`, source: '/test', type: 'ping', data: { n } }
  })
  await pause(Math.max(0, atMs - Date.now()))
  const sentAt = Date.now()
  const answer = must(await contract.call('POST', '/api/v1/events', { body, key: from.key }), 202)
  const answeredAt = Date.now()
  if (answer.accepted !== body.length) throw new Error(`accepted ${JSON.stringify(answer)}`)
  const again = must(await contract.call('POST', '/api/v1/events', { body, key: from.key }), 202)
  if (again.duplicates !== body.length) throw new Error(`accepted twice: ${JSON.stringify(again)}`)
  return { sentAt, answeredAt }
}
