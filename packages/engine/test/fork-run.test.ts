import type { StoredEvent } from '@baton/contracts'
import { applyEvent, type CopiedEvent, createState, forkOf, type RunState, restoreState, snapshotOf, stepsOf } from '@baton/engine'
import t from 'tap'
import { type Harness, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'https://a.example' }, ...more })

/** The run that a fork of this one is, before it is started. */
function fork(h: Harness, from: string): RunState {
  const copied = forkOf(h.state, h.events, from)
  if ('refused' in copied) throw new Error(copied.refused)
  const runId = '01920000-0000-7000-8000-00000000ffff'
  const state = createState(h.state.plan, { ...h.state.header, runId, createdAt: 9_000 })
  const first = [
    { type: 'run.created', path: '', data: {} },
    { type: 'run.forked', path: '', data: {} },
  ] as const
  for (const [index, event] of [...first, ...copied.events].entries()) {
    applyEvent(state, { ...event, runId, seq: index + 1, at: 9_000 } as StoredEvent)
  }
  return state
}

const statuses = (state: RunState) => Object.fromEntries([...state.steps.values()].map((step) => [step.path, step.status]))

t.test('what does not depend on the step and has ended is copied, the rest runs', async (t) => {
  const h = start({
    steps: { a: http(), b: http({ needs: 'a' }), c: http({ needs: 'b' }), other: http(), slow: http() },
  })
  h.succeed('a', 1)
  h.succeed('b', 2)
  h.succeed('other', 3)
  h.succeed('c', 4)
  const forked = fork(h, 'b')
  t.same(statuses(forked), { a: 'succeeded', b: 'pending', c: 'pending', other: 'succeeded', slow: 'pending' })
  t.equal(forked.steps.get('a')!.output, 1)
  t.equal(forked.steps.get('a')!.endedAt, h.state.steps.get('a')!.endedAt, 'it ended when it ended')
  t.equal(forked.status, 'queued')
  t.equal(forked.inFlight.size, 0)
})

t.test('what failed or was cancelled runs again; a failure that is tolerated is copied', async (t) => {
  const h = start({
    steps: {
      bad: http(),
      fine: http({ onError: 'continue' }),
      next: http({ needs: 'fine' }),
      last: { needs: 'next', wait: { for: '1h' } },
    },
  })
  h.fail('fine')
  h.succeed('next')
  h.fail('bad')
  t.equal(h.state.status, 'failed')
  t.equal(h.state.steps.get('last')!.status, 'cancelled')
  t.same(statuses(fork(h, 'last')), { bad: 'pending', fine: 'failed', next: 'succeeded', last: 'pending' })
  t.equal(fork(h, 'last').steps.get('fine')!.tolerated, true)
})

t.test('a replayed item is done again before others begin; where it was not, as in logs of before, a fork copies that', async (t) => {
  const one = { set: { n: '${{ item > 1 ? input.nope : 1 }}' } }
  const h = start({
    steps: {
      each: { forEach: { in: [1, 2, 3], concurrency: 2, steps: { one } }, onError: { output: 0 } },
      end: { needs: ['each'], ...http() },
    },
  })
  h.succeed('end')
  const ended = { each: 'failed', 'each[0].one': 'succeeded', 'each[1].one': 'failed' }
  t.same(statuses(h.state), { ...ended, end: 'succeeded' })
  const before = [...h.events]
  h.log.length = 0
  h.take({ kind: 'replay', by: 'key_1', path: 'each[0].one', reason: 'again' })
  t.same(h.log.slice(1, 3), ['step.scheduled each[0].one', 'step.succeeded each[0].one'])
  h.succeed('end')
  t.same(statuses(fork(h, 'end')), { ...statuses(h.state), end: 'pending' })

  const events = before.filter(({ path }) => path !== 'each[0].one').map((event, index) => ({ ...event, seq: index + 1 }))
  const state = createState(h.state.plan, h.state.header)
  for (const event of events) applyEvent(state, event)
  t.same(statuses(fork({ ...h, state, events } as Harness, 'end')), { ...ended, 'each[0].one': 'pending', end: 'pending' })
})

t.test('containers are copied with all inside them, in whatever order it happened', async (t) => {
  const h = start({
    steps: {
      each: { forEach: { in: [1, 2, 3], onItemError: 'continue', steps: { one: http(), two: http({ needs: 'one' }) } } },
      poll: { loop: { max: 3, until: 'iteration == 1', steps: { ask: http() } } },
      route: { switch: { cases: [{ if: 'true', steps: { inner: http() } }] } },
      end: { needs: ['each', 'poll', 'route'], ...http() },
    },
  })
  h.succeed('each[2].one')
  h.fail('each[1].one')
  h.succeed('each[0].one')
  h.succeed('each[2].two', 22)
  h.succeed('poll[0].ask')
  h.succeed('poll[1].ask', { n: 1 })
  h.succeed('route.inner')
  h.succeed('each[0].two')
  h.take({ kind: 'replay', by: 'key_1', path: 'each[0].one', reason: 'again' })
  h.succeed('each[0].one', 'again')
  h.succeed('each[0].two')
  h.succeed('end')
  t.equal(h.state.status, 'succeeded')
  const forked = fork(h, 'end')
  const kept = (state: RunState) => stepsOf(state).filter((step) => step.path !== 'end')
  const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1)
  // When work that was tried again or waited was scheduled is not copied; nothing of it is shown.
  t.same(kept(forked).sort(byPath), kept(h.state).sort(byPath))
  t.ok(forked.steps.get('each')!.items!.scopes[1]!.failing, 'the item that failed by itself has')
  t.equal(forked.steps.get('each')!.items!.open.size, 0)
})

t.test('nothing of an approval is copied but its outcome', async (t) => {
  const h = start({ steps: { ask: { approval: { title: 'Go?' } }, after: http({ needs: 'ask' }) } })
  h.decide('ask', 'approve')
  const copied = forkOf(h.state, h.events, 'after')
  t.match(copied, {
    events: [
      { type: 'step.scheduled', path: 'ask' },
      { type: 'step.succeeded', path: 'ask', data: { copied: true } },
    ],
  })
  t.equal((copied as { events: unknown[] }).events.length, 2)
  t.same(fork(h, 'after').steps.get('ask')!.output, h.state.steps.get('ask')!.output)
})

t.test('a generation that is over is not copied', async (t) => {
  const h = start({ steps: { a: http({ retry: { attempts: 2, jitter: false } }), b: http({ needs: 'a' }) } })
  h.succeed('a', 'old')
  h.succeed('b')
  h.take({ kind: 'replay', by: 'key_1', path: 'a', reason: 'again' })
  h.fail('a', {}, true)
  h.timer('a', 'retry')
  h.succeed('a', 'new')
  const forked = fork(h, 'b')
  t.match(forked.steps.get('a'), { generation: 1, attempt: 2, output: 'new', status: 'succeeded' })
  t.same(forked.steps.get('a')!.input, h.state.steps.get('a')!.input, 'as its first attempt was rendered')
})

t.test('a container that was reopened is copied in the generation that it ended in', async (t) => {
  const h = start({ steps: { route: { switch: { cases: [{ if: 'true', steps: { a: http() } }] } }, b: http({ needs: 'route' }) } })
  h.succeed('route.a')
  h.succeed('b')
  h.take({ kind: 'replay', by: 'key_1', path: 'route.a', reason: 'again' })
  h.succeed('route.a')
  const copied = forkOf(h.state, h.events, 'b') as { events: CopiedEvent[] }
  const ofRoute = copied.events.filter(({ path }) => path === 'route')
  t.same(
    ofRoute.map(({ type, data }) => [type, data.generation]),
    [
      ['step.scheduled', 1],
      ['step.succeeded', 1],
    ],
  )
  t.match(fork(h, 'b').steps.get('route'), { generation: 1, status: 'succeeded' })
})

t.test('a fork does not undo what another run did', async (t) => {
  const undo = http({ compensate: { http: { url: 'https://undo.example' } } })
  const h = start({ steps: { pay: undo, mine: { needs: 'pay', ...undo }, ship: http({ needs: 'mine' }) } })
  h.succeed('pay')
  h.succeed('mine')
  h.fail('ship')
  h.succeed('mine.compensate')
  h.succeed('pay.compensate')
  t.equal(h.state.status, 'failed')
  const state = fork(h, 'mine')
  t.notOk(state.steps.has('pay.compensate'))
  const again = restoreState(state.plan, state.header, JSON.parse(JSON.stringify(snapshotOf(state))))
  const g = h.goOn(again)
  g.take({ kind: 'start' })
  g.succeed('mine')
  g.fail('ship')
  g.succeed('mine.compensate')
  t.equal(again.status, 'failed')
  t.same(
    [...again.steps.keys()].filter((path) => path.endsWith('.compensate')),
    ['mine.compensate'],
  )
})

t.test('a step inside a container that was taken over is replayed, also before the fork is started', async (t) => {
  const h = start({ steps: { route: { switch: { cases: [{ if: 'true', steps: { a: http() } }] } }, b: http({ needs: 'route' }) } })
  h.succeed('route.a')
  h.succeed('b')
  const g = h.goOn(fork(h, 'b'))
  g.take({ kind: 'replay', by: 'key_1', path: 'route.a', reason: 'again' })
  g.take({ kind: 'start' })
  g.succeed('route.a')
  g.succeed('b')
  t.equal(g.state.status, 'succeeded')
})

t.test('only a step at the top can be forked from', async (t) => {
  const h = start({ steps: { each: { forEach: { in: [1], steps: { one: http() } } } } })
  t.match(forkOf(h.state, h.events, 'each[0].one'), { refused: /from a step at the top alone, here each/, isUnknown: false })
  t.match(forkOf(h.state, h.events, 'nothing'), { refused: /no step nothing/, isUnknown: true })
})
