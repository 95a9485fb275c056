/** CONTRACT §3, the end of a run: nothing new, what is in flight ends, compensations in reverse order of `endedAt`, the terminal state. */
import t from 'tap'
import { type Harness, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'https://a.example' }, ...more })
const undone = (more: object = {}) => http({ compensate: { http: { url: 'https://undo.example' } }, ...more })

/** Lets one compensation after the other succeed; gives the order in which they were begun. */
function undoAll(h: Harness): string[] {
  const order: string[] = []
  for (let open = h.state.compensations.at(-1); open && open.status === 'running'; open = h.state.compensations.at(-1)) {
    order.push(open.path)
    h.succeed(open.path)
  }
  return order
}

t.test('calls in flight end first, and are undone like the others; what was to come never starts', async (t) => {
  const h = start({
    steps: { a: undone(), b: undone(), bad: http(), next: http({ needs: ['a', 'b'] }), ask: { approval: { title: 'Go?' } } },
  })
  h.succeed('a')
  h.fail('bad')
  t.equal(h.state.ending, 'failed')
  t.equal(h.state.steps.get('ask')!.status, 'cancelled')
  t.equal(h.state.compensations.length, 0, 'b is still out')
  h.now += 1
  h.succeed('b')
  t.equal(h.state.steps.get('next')!.status, 'pending')
  t.same(undoAll(h), ['b.compensate', 'a.compensate'])
  t.equal(h.state.status, 'failed')
  t.same(h.refold().status, 'failed')
})

t.test('inside containers too, over all of them in reverse order of their ends', async (t) => {
  const h = start({
    steps: {
      first: undone(),
      each: { needs: 'first', forEach: { in: [1, 2], steps: { one: undone() } } },
      poll: { needs: 'each', loop: { max: 2, while: 'iteration < 2', steps: { ask: undone() } } },
      route: { needs: 'poll', switch: { cases: [{ if: 'true', steps: { way: undone(), bad: http({ needs: 'way' }) } }] } },
    },
  })
  for (const path of ['first', 'each[1].one', 'each[0].one', 'poll[0].ask', 'poll[1].ask', 'route.way']) {
    h.now += 1
    h.succeed(path)
  }
  h.fail('route.bad')
  const order = ['route.way', 'poll[1].ask', 'poll[0].ask', 'each[0].one', 'each[1].one', 'first']
  t.same(
    undoAll(h),
    order.map((path) => `${path}.compensate`),
  )
  t.equal(h.state.status, 'failed')
})

t.test('a compensation that fails does not stop the others, and is why the run fails', async (t) => {
  for (const ending of ['cancelled', 'timed_out'] as const) {
    const h = start({ steps: { a: undone(), b: undone({ needs: 'a' }), ask: { needs: 'b', approval: { title: 'Go?' } } }, timeout: '1h' })
    h.succeed('a')
    h.succeed('b')
    if (ending === 'cancelled') h.take({ kind: 'cancel', by: 'key_1' })
    else h.timer('', 'run')
    t.equal(h.state.ending, ending)
    h.fail('b.compensate')
    t.equal(h.state.compensations.at(-1)!.path, 'a.compensate')
    h.succeed('a.compensate')
    t.match(h.state, { status: 'failed', error: { code: 'BTN_COMPENSATION_FAILED', cause: { code: 'BTN_HTTP_STATUS' } } })
  }
})

t.test('cancelled and timed out runs are undone, and end as what they were', async (t) => {
  const h = start({ steps: { a: undone(), ask: { needs: 'a', approval: { title: 'Go?' } } }, timeout: '1h' })
  h.succeed('a')
  h.timer('', 'run')
  t.same(undoAll(h), ['a.compensate'])
  t.match(h.state, { status: 'timed_out', error: { code: 'BTN_RUN_TIMEOUT' } })
})

t.test('an error in the output of the run undoes nothing, and can be retried', async (t) => {
  const h = start({ steps: { a: undone() }, output: '${{ steps.a.output.missing }}' })
  h.succeed('a', {})
  t.match(h.state, { status: 'failed', error: { code: 'BTN_EXPRESSION' } })
  t.equal(h.state.compensations.length, 0)
})

t.test('a runner that dies in the middle of a compensation goes on with the same one', async (t) => {
  const h = start({ steps: { a: undone(), b: undone({ needs: 'a' }), bad: http({ needs: 'b' }) } })
  h.succeed('a')
  h.succeed('b')
  h.fail('bad')
  const again = h.goOn(h.refold())
  t.same(
    again.take({ kind: 'resend', calls: 'all' }).calls.map(({ path, attempt }) => `${path} ${attempt}`),
    ['b.compensate 1'],
  )
  t.same(undoAll(again), ['b.compensate', 'a.compensate'])
  t.equal(again.state.status, 'failed')
})

t.test('a run that is retried counts its timeout from then on', async (t) => {
  const h = start({ steps: { ask: { approval: { title: 'Go?' } } }, timeout: '1h' })
  h.now += 3_600_000
  h.timer('', 'run')
  t.equal(h.state.status, 'timed_out')
  h.now += 10_000
  const { timersSet } = h.take({ kind: 'retry', by: 'key_1' })
  t.same(timersSet.find(({ timer }) => timer === 'run')?.dueAt, h.now + 3_600_000)
  t.equal(h.state.status, 'waiting')
})
