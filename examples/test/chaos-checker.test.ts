/** A checker that finds nothing must be able to find something: each promise is broken once in what it is shown. */
import type { Approval, BatonClient, CloudEvent, Run, Step } from '@baton/client'
import { stubServer } from '@baton/testing'
import { type Test, test } from 'tap'
import { judge, type Observed } from '../chaos/checker.ts'
import type { ShopCall } from '../src/shop.ts'

const ID = 'run_01a1fe0a-7510-7207-a990-ab685388c68d'
const at = (ms: number) => new Date(1_800_000_000_000 + ms).toISOString()

/** A `doomed` run as it should be: one call, an approval, a cancellation. */
function example() {
  const event = (seq: number, type: string, subject: string | undefined, data: object) =>
    ({
      id: `${ID}/${seq}`,
      source: `/runs/${ID}`,
      type: `dev.baton.${type}`,
      subject,
      time: at(seq * 100),
      seq,
      data,
    }) as unknown as CloudEvent
  const events = [
    event(1, 'run.created', undefined, {}),
    event(2, 'run.started', undefined, {}),
    event(3, 'step.scheduled', 's1', { generation: 0, attempt: 1 }),
    event(4, 'step.succeeded', 's1', { generation: 0, attempt: 1, output: { status: 200, durationMs: 1 } }),
    event(5, 'step.scheduled', 'ask', { generation: 0, attempt: 1 }),
    event(6, 'approval.opened', 'ask', {}),
    event(7, 'approval.cancelled', 'ask', {}),
    event(8, 'step.cancelled', 'ask', { generation: 0, attempt: 1 }),
    event(9, 'run.cancelled', undefined, {}),
  ]
  const run = { id: ID, status: 'cancelled', lastSeq: 9, output: null } as unknown as Run
  const steps = [
    { path: 's1', status: 'succeeded' },
    { path: 'ask', status: 'cancelled' },
  ] as Step[]
  const approval = { id: 'apr_1', step: 'ask', status: 'cancelled', decisions: [], decision: null, quorum: 2 } as unknown as Approval
  const call = (startedAt: number, more: Partial<ShopCall> = {}): ShopCall => ({
    ...{ method: 'GET', path: '/orders/o1.s1', idempotencyKey: `${ID}/s1/0`, startedAt: 1_800_000_000_000 + startedAt },
    ...{ endedAt: 1_800_000_000_000 + startedAt + 50, status: 200, replayed: false, ...more },
  })
  const observed: Observed = { started: [{ id: ID, family: 'doomed', order: 'o1' }], votes: [], cancelled: [ID], followed: [] }
  return { events, event, run, steps, approvals: [approval], calls: [call(320)], call, observed }
}

async function judged(t: Test, change: (seen: ReturnType<typeof example>) => void): Promise<string> {
  const seen = example()
  change(seen)
  const shop = await stubServer(t, () => ({ body: { items: seen.calls } }))
  const client = {
    runs: { get: async () => seen.run, events: () => seen.events, steps: () => seen.steps },
    approvals: { list: () => seen.approvals },
  } as unknown as BatonClient
  return (await judge(client, shop.url, seen.observed)).violations.join('; ')
}

test('a run as it should be has no violation', async (t) => {
  t.equal(await judged(t, () => {}), '')
})

test('each broken promise is found', async (t) => {
  const broken: [string, RegExp, (seen: ReturnType<typeof example>) => void][] = [
    ['a gap in seq', /has seq 6 at place 5/, (seen) => void seen.events.splice(4, 1)],
    ['an event twice', /has seq 4 at place 5/, (seen) => void seen.events.splice(4, 0, seen.events[3]!)],
    ['a wrong lastSeq', /lastSeq 8 and has 9/, (seen) => Object.assign(seen.run, { lastSeq: 8 })],
    ['two ends', /ended 2 times/, (seen) => seen.events.push(seen.event(10, 'run.failed', undefined, {}))],
    ['two outcomes', /2 outcomes of s1/, (seen) => void seen.events.splice(4, 1, seen.event(5, 'step.failed', 's1', { generation: 0 }))],
    ['no outcome', /no outcome of ask/, (seen) => void seen.events.splice(7, 1, seen.event(8, 'run.ending', undefined, {}))],
    ['steps unlike events', /shows s1 as failed/, (seen) => Object.assign(seen.steps[0]!, { status: 'failed' })],
    ['a call after success', /81 ms after dev.baton.step.succeeded/, (seen) => seen.calls.push(seen.call(481))],
    ['success without an answer', /without an answer of the shop/, (seen) => void seen.calls.splice(0)],
    ['an answer after success', /without an answer of the shop/, (seen) => Object.assign(seen.calls[0]!, { endedAt: Date.parse(at(401)) })],
    ['a second key', /with the keys/, (seen) => seen.calls.push(seen.call(330, { idempotencyKey: `${ID}/ask/0` }))],
    ['a generation of nobody', /has no outcome/, (seen) => seen.calls.push(seen.call(330, { idempotencyKey: `${ID}/s1/1` }))],
    ['an end too few', /was reopened 1 times/, (seen) => void seen.events.splice(1, 1, seen.event(2, 'run.reopened', undefined, {}))],
    [
      'a child that was not started',
      /each\[1\].kid has started 0 runs/,
      (seen) => {
        const by = `${ID}/each[0].kid`
        const kid = { id: ID, family: 'kid', order: 'o1', by } as const
        Object.assign(seen.observed, { started: [{ id: ID, family: 'parent', order: 'o1' }], derived: [kid] })
      },
    ],
    [
      'two in one slot too many',
      /was admitted beside 2 others/,
      (seen) => {
        seen.events.splice(1, 1, seen.event(2, 'run.admitted', undefined, {}))
        Object.assign(seen.observed, { started: ['o1', 'o2', 'o3'].map((order) => ({ id: ID, family: 'crowd', order })) })
      },
    ],
    [
      'a step that was not undone',
      /has not undone a.compensate/,
      (seen) => {
        Object.assign(seen.run, { status: 'failed', error: { code: 'NO' } })
        seen.steps.push({ path: 'b.compensate', status: 'succeeded' } as Step)
        Object.assign(seen.observed, { started: [{ id: ID, family: 'undone', order: 'o1' }] })
      },
    ],
    ['a foreign key', /was called with the key nonsense/, (seen) => seen.calls.push(seen.call(330, { idempotencyKey: 'nonsense' }))],
    ['a call of another run', /in the name of/, (seen) => seen.calls.push(seen.call(330, { path: '/orders/o2.s1' }))],
    ['a lost cancel', /was cancelled, which was accepted, and is failed/, (seen) => Object.assign(seen.run, { status: 'failed' })],
    [
      'a lost vote',
      /lost the approve of ann/,
      (seen) => {
        Object.assign(seen.observed, { votes: [{ approval: 'apr_1', by: 'ann', decision: 'approve' }] })
      },
    ],
    [
      'a voter twice',
      /counts a voter twice/,
      (seen) => {
        Object.assign(seen.approvals[0]!, {
          decisions: [
            { by: 'key:ann', decision: 'approve' },
            { by: 'key:ann', decision: 'approve' },
          ],
        })
      },
    ],
    [
      'two outcomes of an approval',
      /closed it 2 times/,
      (seen) => void seen.events.splice(7, 1, seen.event(8, 'approval.decided', 'ask', {})),
    ],
    [
      'a follower who missed one',
      /gave a follower over SSE 8 of 9/,
      (seen) => {
        Object.assign(seen.observed, { followed: [{ run: ID, over: 'SSE', events: seen.events.slice(0, 8) }] })
      },
    ],
    [
      'a follower who was told another story',
      /another event 1 than over REST/,
      (seen) => {
        Object.assign(seen.observed, { followed: [{ run: ID, over: 'SSE', events: [...seen.events].reverse() }] })
      },
    ],
    [
      'a follower who was cut off',
      /could not be followed/,
      (seen) => {
        Object.assign(seen.observed, { followed: [{ run: ID, over: 'SSE', events: [], error: 'gone' }] })
      },
    ],
  ]
  for (const [name, told, change] of broken) t.match(await judged(t, change), told, name)
})
