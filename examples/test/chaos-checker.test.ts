/** A checker that finds nothing must be able to find something: each promise is broken once in what it is shown. */
import type { Approval, BatonClient, CloudEvent, Run, Step } from '@baton/client'
import { stubServer } from '@baton/testing'
import { type Test, test } from 'tap'
import { type Derived, findDerived, judge, type Observed } from '../chaos/checker.ts'
import type { Control } from '../chaos/drive.ts'
import { judgeControls, judgeForks } from '../chaos/judge-controls.ts'
import type { ShopCall } from '../src/shop.ts'

const ID = 'run_01a1fe0a-7510-7207-a990-ab685388c68d'
const [FORK, FORK2] = [ID.replace(/d$/, 'e'), ID.replace(/d$/, 'f')]
const START = 1_800_000_000_000
const at = (ms: number) => new Date(START + ms).toISOString()

const asked = (kind: Control['kind'], more: Partial<Control> = {}): Control => ({
  ...{ kind, run: ID, accepted: true, unsure: false, at: START, ...more },
})
const forked = (...ids: string[]): Derived[] => ids.map((id) => ({ id, family: 'doomed', order: 'o1', by: undefined, forkedFrom: ID }))

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
    ...{ method: 'GET', path: '/orders/o1.s1', idempotencyKey: `${ID}/s1/0`, startedAt: START + startedAt },
    ...{ endedAt: START + startedAt + 50, status: 200, replayed: false, ...more },
  })
  const observed: Observed = {
    started: [{ id: ID, family: 'doomed', order: 'o1' }],
    votes: [],
    cancelled: [ID],
    controls: [],
    followed: [],
  }
  const ofFork: CloudEvent[] | undefined = undefined
  return {
    events,
    event,
    run,
    steps,
    approvals: [approval],
    calls: [call(320)],
    call,
    observed,
    ofFork: ofFork as CloudEvent[] | undefined,
  }
}

type Example = ReturnType<typeof example>

/** The first step is done again, in its next generation: after a reopening, or because nobody knows why. */
function again({ events, event, run, calls, call }: Example, reopening?: string, path = '/orders/o1.s1'): void {
  const from = events.length
  if (reopening) events.push(event(from + 1, reopening, undefined, {}))
  else events.pop()
  const seq = events.length
  events.push(
    event(seq + 1, 'step.scheduled', 's1', { generation: 1, attempt: 1 }),
    event(seq + 2, 'step.succeeded', 's1', { generation: 1, attempt: 1, output: { status: 200, durationMs: 1 } }),
    event(seq + 3, 'run.cancelled', undefined, {}),
  )
  Object.assign(run, { lastSeq: seq + 3 })
  calls.push(call((seq + 1) * 100 + 20, { path, idempotencyKey: `${ID}/s1/1` }))
}

async function judged(t: Test, change: (seen: Example) => void): Promise<string> {
  const seen = example()
  change(seen)
  const shop = await stubServer(t, () => ({ body: { items: seen.calls } }))
  const client = {
    runs: { get: async () => seen.run, events: (id: string) => (id === FORK && seen.ofFork) || seen.events, steps: () => seen.steps },
    approvals: { list: () => seen.approvals },
  } as unknown as BatonClient
  return (await judge(client, shop.url, seen.observed)).violations.join('; ')
}

test('a run as it should be has no violation', async (t) => {
  t.equal(await judged(t, () => {}), '')
})

test('a run that was retried once, as somebody has asked, may call in its next generation', async (t) => {
  const seen = (control: Control) => (seen: Example) => {
    again(seen, 'run.reopened')
    Object.assign(seen.observed, { controls: [control] })
  }
  t.equal(await judged(t, seen(asked('retry'))), '')
  t.equal(await judged(t, seen(asked('retry', { accepted: false, unsure: true }))), '', 'nor when only the second try had an answer')
})

test('what a fork has copied from a later life of its source, and does again, is a generation further', async (t) => {
  const told = await judged(t, (seen) => {
    const { event } = seen
    const output = { status: 200, durationMs: 1 }
    Object.assign(seen.observed, { derived: forked(FORK), controls: [asked('fork', { made: FORK }), asked('replay', { run: FORK })] })
    seen.ofFork = [
      event(1, 'step.scheduled', 's1', { generation: 1, attempt: 1, copied: true }),
      event(2, 'step.succeeded', 's1', { generation: 1, attempt: 1, copied: true, output }),
      ...[event(3, 'step.scheduled', 'ask', { generation: 0 }), event(4, 'step.cancelled', 'ask', { generation: 0 })],
      ...[event(5, 'approval.opened', 'ask', {}), event(6, 'approval.cancelled', 'ask', {})],
      event(7, 'step.replayed', 's1', {}),
      event(8, 'step.succeeded', 's1', { generation: 2, attempt: 1, output }),
      event(9, 'run.cancelled', undefined, {}),
    ]
    seen.calls.push(seen.call(720, { idempotencyKey: `${FORK}/s1/2` }))
  })
  t.equal(told, '')
})

test('forks keep what they were forked from', async (t) => {
  const one = { id: FORK, forkedFrom: ID, workflow: 'chain', input: { order: 'o1' } }
  const client = { runs: { list: () => [one] } } as unknown as BatonClient
  t.match(await findDerived(client, []), { derived: [{ id: FORK, forkedFrom: ID, family: 'chain' }], strange: [] })
})

test('a try without an answer may have been taken as well', async (t) => {
  t.strictSame(judgeForks([asked('fork', { made: FORK, unsure: true })], forked(FORK, FORK2)), [])
  const { events, event } = example()
  const twice = [...events, event(10, 'run.reopened', undefined, {}), event(11, 'run.reopened', undefined, {})]
  t.strictSame(judgeControls([asked('replay', { unsure: true })], new Map([[ID, twice]])), [])
})

test('a cancel may come too late, or be overtaken by an end that comes at once', async (t) => {
  const { event } = example()
  const ended = new Map([[ID, [event(9, 'run.succeeded', undefined, {})]]])
  t.strictSame(judgeControls([asked('cancel', { accepted: false, at: START + 901 })], ended), [])
  t.strictSame(judgeControls([asked('cancel', { at: START + 890 })], ended), [])
})

test('each broken promise is found', async (t) => {
  const broken: [string, RegExp, (seen: Example) => void][] = [
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
      'a child that nobody has asked for',
      /each\[2\].kid has started a run, which nobody has asked for/,
      (seen) => {
        const kids = [0, 1, 2].map((n) => ({ id: ID, family: 'kid', order: 'o1', by: `${ID}/each[${n}].kid` }) as const)
        Object.assign(seen.observed, { started: [{ id: ID, family: 'parent', order: 'o1' }], derived: kids })
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

test('what was asked of a run and not done, or done and not asked for, is found', async (t) => {
  const control = (seen: Example, ...controls: Control[]) => void Object.assign(seen.observed, { controls })
  const broken: [string, RegExp, (seen: Example) => void][] = [
    ['a call in a generation of nobody', /o1.s1 in generation 1, and was reopened 0 times/, (seen) => again(seen)],
    [
      'a refund in a generation of nobody',
      /refunds in generation 1, and was reopened 0 times/,
      (seen) => again(seen, undefined, '/refunds'),
    ],
    [
      'a refund of two steps',
      /refunds with the keys/,
      (seen) => seen.calls.push(...['s1', 'ask'].map((step) => seen.call(330, { path: '/refunds', idempotencyKey: `${ID}/${step}/0` }))),
    ],
    [
      'a fork that calls in the generation of its source',
      new RegExp(`${FORK} called /orders/o1.s1 in generation 1, and was reopened 0 times`),
      (seen) => {
        seen.ofFork = seen.events.map((event) => ({ ...event, data: { ...event.data, generation: 1 } }))
        again(seen, 'run.reopened')
        seen.calls.push(seen.call(330, { idempotencyKey: `${FORK}/s1/1` }))
        Object.assign(seen.observed, { derived: forked(FORK), controls: [asked('retry'), asked('fork', { made: FORK })] })
      },
    ],
    ['a lost replay', /lost the replay/, (seen) => control(seen, asked('replay'))],
    ['a lost retry', /lost the retry/, (seen) => control(seen, asked('retry'))],
    ['a retry refused for nothing', /lost the retry/, (seen) => control(seen, asked('retry', { accepted: false, unsure: true }))],
    ['a run reopened by nobody', /was reopened 1 times, which was asked for 0 times/, (seen) => again(seen, 'run.reopened')],
    ['a step replayed by nobody', /was reopened 1 times, which was asked for 0 times/, (seen) => again(seen, 'step.replayed')],
    [
      'a replay done twice',
      /was reopened 2 times, which was asked for 1 times/,
      (seen) => {
        again(seen, 'run.reopened')
        again(seen, 'run.reopened')
        control(seen, asked('replay'))
      },
    ],
    ['a lost fork', new RegExp(`lost its fork ${FORK}`), (seen) => control(seen, asked('fork', { made: FORK }))],
    [
      'a fork that is another one',
      new RegExp(`lost its fork ${FORK2}`),
      (seen) => {
        control(seen, asked('fork', { made: FORK2, unsure: true }))
        Object.assign(seen.observed, { derived: forked(FORK) })
      },
    ],
    [
      'a fork made twice',
      /was forked 2 times, which was asked for 1 times/,
      (seen) => {
        control(seen, asked('fork', { made: FORK }))
        Object.assign(seen.observed, { derived: forked(FORK, FORK2) })
      },
    ],
    ['a fork of nobody', /was forked 1 times, which was asked for 0/, (seen) => Object.assign(seen.observed, { derived: forked(FORK) })],
    [
      'a cancel that was refused before the end',
      /refused a cancel/,
      (seen) => control(seen, asked('cancel', { accepted: false, at: START + 399 })),
    ],
    [
      'a cancel that the run went on after',
      /lost the cancel/,
      (seen) => {
        seen.events.splice(8, 1, seen.event(9, 'run.succeeded', undefined, {}))
        control(seen, asked('cancel', { at: START + 899 - 30_000 }))
      },
    ],
  ]
  for (const [name, told, change] of broken) t.match(await judged(t, change), told, name)
})
