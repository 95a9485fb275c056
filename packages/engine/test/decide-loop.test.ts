/** What the contract says of `loop`: conditions, rounds, delays, limits. */
import t from 'tap'
import { sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const loop = (body: object, more: object = {}) => ({ steps: { poll: { loop: { steps: { check: http() }, ...body }, ...more } } })

t.test('`while` is asked before each round, also before the first; `last` is null in round 0', async (t) => {
  const none = start(loop({ while: 'iteration > 0' }))
  t.strictSame([none.state.status, none.state.steps.get('poll')?.output], ['succeeded', { iterations: 0, last: null }])
  sameWhenFolded(t, none)
  const h = start(loop({ while: 'last == null || last.check.more' }))
  h.succeed('poll[0].check', { more: true })
  h.succeed('poll[1].check', { more: false })
  t.strictSame(h.state.steps.get('poll')?.output, { iterations: 2, last: { check: { more: false } } })
  sameWhenFolded(t, h)
})

t.test('`until` is asked after each round, so that there is one at least', async (t) => {
  const once = start(loop({ until: 'true' }))
  t.equal(once.state.status, 'running')
  once.succeed('poll[0].check', 7)
  t.strictSame(once.state.steps.get('poll')?.output, { iterations: 1, last: { check: 7 } })
  const h = start(loop({ until: 'last.check == "done" && iteration == 1' }))
  h.succeed('poll[0].check', 'done')
  h.succeed('poll[1].check', 'done')
  t.strictSame(h.log.slice(-3), ['step.succeeded poll[1].check', 'step.succeeded poll', 'run.succeeded'])
  sameWhenFolded(t, h)
})

t.test('steps of a round know its number and what the round before gave', async (t) => {
  const steps = { note: { set: { n: '${{ iteration }}', before: '${{ last.?note.n }}' } } }
  const h = start({ steps: { poll: { loop: { steps, while: 'iteration < 3' } } }, output: '${{ steps.poll.output.last }}' })
  t.strictSame(h.state.output, { note: { n: 2, before: 1 } })
  t.strictSame(h.state.steps.get('poll[0].note')?.output, { n: 0, before: null })
})

t.test('a loop that would go on at its limit fails; one that stops there does not', async (t) => {
  const over = start({ steps: { poll: { loop: { steps: { n: { set: { i: '${{ iteration }}' } } }, while: 'true', max: 3 } } } })
  t.match(over.state.error, { code: 'BTN_LOOP_LIMIT', step: 'poll' })
  t.ok(over.state.steps.has('poll[2].n') && !over.state.steps.has('poll[3].n'))
  sameWhenFolded(t, over)
  const just = start({ steps: { poll: { loop: { steps: { n: { set: { i: 1 } } }, until: 'iteration == 2', max: 3 } } } })
  t.equal(just.state.status, 'succeeded')
  const byDefault = start({ steps: { poll: { loop: { steps: { n: { set: { i: 1 } } }, while: 'true' } } } })
  t.equal([...byDefault.state.steps.keys()].length, 1 + 100)
})

t.test('between two rounds passes the delay: the run waits, and no round begins before', async (t) => {
  const h = start(loop({ until: 'iteration == 2', delay: '30s' }))
  h.succeed('poll[0].check')
  t.equal(h.state.status, 'waiting')
  t.match(h.last.timersSet, [{ path: 'poll', timer: 'wait', dueAt: 31_000 }])
  sameWhenFolded(t, h)
  h.now = 31_000
  t.strictSame(
    h.timer('poll', 'wait').calls.map(({ path }) => path),
    ['poll[1].check'],
  )
  t.equal(h.state.status, 'running')
  sameWhenFolded(t, h)
  h.succeed('poll[1].check')
  h.timer('poll', 'wait')
  h.succeed('poll[2].check')
  t.equal(h.state.status, 'succeeded', 'after the last round there is no delay')
})

t.test('the timer of an earlier delay that comes late does not cut short the next one', async (t) => {
  const h = start(loop({ until: 'iteration == 2', delay: '30s' }))
  h.succeed('poll[0].check')
  const { generation, attempt } = h.last.timersSet[0]!
  h.timer('poll', 'wait')
  h.succeed('poll[1].check')
  h.take({ kind: 'timer', path: 'poll', timer: 'wait', generation, attempt })
  t.strictSame([h.last.events, h.last.timersCleared, h.state.steps.has('poll[2].check')], [[], [], false])
  h.timer('poll', 'wait')
  t.equal(h.last.calls[0]?.path, 'poll[2].check')
})

t.test('a delay that is none and a condition that cannot be told fail the loop', async (t) => {
  const delay = start(loop({ until: 'false', delay: '${{ iteration }} apples' }))
  delay.succeed('poll[0].check')
  t.match(delay.state.error, { code: 'BTN_EXPRESSION', step: 'poll' })
  const until = start(loop({ until: 'last.nope > 1' }, { onError: 'continue' }))
  until.succeed('poll[0].check')
  t.strictSame([until.state.status, until.state.steps.get('poll')?.error?.code], ['succeeded', 'BTN_EXPRESSION'])
  sameWhenFolded(t, until)
})

t.test('a loop begins no round while the run is paused, and goes on when it is resumed', async (t) => {
  const h = start(loop({ until: 'iteration == 1' }))
  h.take({ kind: 'pause', by: 'ann' })
  h.succeed('poll[0].check')
  t.notOk(h.state.steps.has('poll[1].check'))
  sameWhenFolded(t, h)
  h.take({ kind: 'resume', by: 'ann' })
  t.equal(h.last.calls[0]?.path, 'poll[1].check')
  const delayed = start(loop({ until: 'iteration == 1', delay: '30s' }))
  delayed.succeed('poll[0].check')
  delayed.take({ kind: 'pause', by: 'ann' })
  t.strictSame([...delayed.timers.keys()], [], 'the delay fires at resume')
  delayed.take({ kind: 'resume', by: 'ann' })
  t.strictSame([...delayed.timers.keys()], ['wait poll'])
  sameWhenFolded(t, delayed)
})

t.test('the timeout of a loop bounds all its rounds and delays', async (t) => {
  const h = start(loop({ until: 'false', delay: '30s' }, { timeout: '45s', onError: 'continue' }))
  h.succeed('poll[0].check')
  h.timer('poll', 'timeout')
  t.strictSame([h.state.status, h.state.steps.get('poll')?.error?.code], ['succeeded', 'BTN_TIMEOUT'])
  t.strictSame([...h.timers.keys()], [])
  const inFlight = start(loop({ until: 'true' }, { timeout: '45s', onError: 'continue' }))
  inFlight.timer('poll', 'timeout')
  t.equal(inFlight.state.status, 'running', 'what is in flight ends first')
  inFlight.succeed('poll[0].check')
  t.strictSame([inFlight.state.status, inFlight.state.steps.get('poll')?.status], ['succeeded', 'failed'])
  sameWhenFolded(t, inFlight)
})

t.test('ten thousand rounds that need nobody are done in bounded decisions, one after the other', async (t) => {
  const steps = { n: { set: { i: '${{ iteration }}' } } }
  const h = start({ steps: { poll: { loop: { steps, while: 'iteration < 10000', max: 10_000 } } } })
  let most = h.last.events.length
  let decisions = 1
  for (; h.timers.has('more poll'); decisions++) most = Math.max(most, h.timer('poll', 'more').events.length)
  t.strictSame(h.state.steps.get('poll')?.output, { iterations: 10_000, last: { n: { i: 9_999 } } })
  t.ok(most < 2_100 && decisions >= 10, `${decisions} decisions of at most ${most} events`)
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})

t.test('delays that end together, more rounds than a decision takes: the rest goes on with the next', async (t) => {
  const steps = { a: { set: { n: 1 } }, b: { set: { n: 1 } }, c: { set: { n: 1 } }, d: { set: { n: 1 } } }
  const poll = { loop: { steps, until: 'iteration >= 2', max: 5, delay: '1s' } }
  const items = Array.from({ length: 400 }, (_, index) => index)
  const h = start({ steps: { each: { forEach: { in: items, concurrency: 400, steps: { poll } } } } })
  while (h.timers.size > 0) {
    const due = [...h.timers.values()]
    h.now = Math.max(h.now, ...due.map(({ dueAt }) => dueAt))
    h.take(...due.map(({ path, timer, generation, attempt }) => ({ kind: 'timer', path, timer, generation, attempt }) as const))
  }
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})
