/** A checker that finds nothing must be able to find something: each promise is broken once in what it is shown. */
import type { Step } from '@baton/client'
import { test } from 'tap'
import { at, type Example, FORK, ID, judged } from './chaos-example.ts'

test('a run as it should be has no violation', async (t) => {
  t.equal(await judged(t, () => {}), '')
  t.equal(await judged(t, (seen) => void seen.calls.push(seen.call(330, { path: '/refunds' }))), '', 'nor with a refund')
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
    [
      'the answer to another run',
      /has the refund rf_1, and so has run_/,
      (seen) => {
        Object.assign(seen.run, { output: { refund: 'rf_1' } })
        Object.assign(seen.observed, { started: [ID, FORK].map((id) => ({ id, family: 'doomed', order: 'o1' })) })
      },
    ],
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
