/** The checker knows what was asked of a run: what was not done, or done and not asked for, is found, and nothing else. */
import type { BatonClient } from '@baton/client'
import { test } from 'tap'
import { type Derived, findDerived } from '../chaos/checker.ts'
import type { Control } from '../chaos/drive.ts'
import { judgeControls, judgeForks } from '../chaos/judge-controls.ts'
import { type Example, example, FORK, FORK2, ID, judged, START } from './chaos-example.ts'

const asked = (kind: Control['kind'], more: Partial<Control> = {}): Control => ({
  ...{ kind, run: ID, accepted: true, unsure: false, at: START, ...more },
})
const forked = (...ids: string[]): Derived[] => ids.map((id) => ({ id, family: 'doomed', order: 'o1', by: undefined, forkedFrom: ID }))

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
