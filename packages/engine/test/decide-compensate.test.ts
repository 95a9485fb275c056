/** What the contract says of compensations: which steps, in which order, when, and what comes of them. */
import { whyOf } from '@baton/engine'
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const undo = (more: object = {}) => http({ compensate: { http: { url: 'http://x.example/undo' }, ...more } })
const calls = (h: Harness) => h.last.calls.map(({ path }) => path)
const three = { a: undo(), b: undo(), c: undo(), last: http({ needs: ['a', 'b', 'c'] }) }

/** Ends a, c and b, in this order and a millisecond apart, and lets what comes after them fail. */
function failed(definition: object = { steps: three }): Harness {
  const h = start(definition)
  for (const path of ['a', 'c', 'b']) {
    h.now += 1
    h.succeed(path, { of: path })
  }
  h.fail('last')
  return h
}

t.test('what succeeded is undone in the reverse order of its end, one after the other, before the run has ended', async (t) => {
  const h = failed()
  t.strictSame([calls(h), h.state.status, h.state.ending], [['b.compensate'], 'running', 'failed'])
  sameWhenFolded(t, h)
  h.succeed('b.compensate')
  t.strictSame(calls(h), ['c.compensate'])
  h.succeed('c.compensate')
  t.strictSame(calls(h), ['a.compensate'])
  sameWhenFolded(t, h)
  h.succeed('a.compensate')
  t.strictSame(h.log.slice(-2), ['step.succeeded a.compensate', 'run.failed'])
  t.match(h.state.error, { code: 'BTN_HTTP_STATUS', step: 'last' })
  sameWhenFolded(t, h)
})

t.test('compensations begin when what is in flight has ended; that is undone too when it succeeds, and not when it fails', async (t) => {
  const h = start({ steps: { a: undo(), b: undo(), c: undo(), d: undo() } })
  h.succeed('a')
  h.fail('b')
  t.strictSame(calls(h), [])
  h.now += 5
  h.fail('d')
  h.succeed('c')
  t.strictSame(calls(h), ['c.compensate'])
  h.succeed('c.compensate')
  t.strictSame(calls(h), ['a.compensate'])
  h.succeed('a.compensate')
  t.strictSame([h.state.status, h.state.compensations.length], ['failed', 2])
})

t.test('a run that is cancelled or times out is undone as well, outside of its timeout', async (t) => {
  for (const [ending, end] of [
    ['cancelled', (h: Harness) => h.take({ kind: 'cancel', by: 'ann' })],
    ['timed_out', (h: Harness) => h.timer('', 'run')],
  ] as const) {
    const h = start({ timeout: '10m', steps: { a: undo(), b: { needs: ['a'], wait: { for: '1h' } } } })
    h.succeed('a')
    end(h)
    t.strictSame([calls(h), h.state.ending], [['a.compensate'], ending])
    h.take({ kind: 'timer', path: '', timer: 'run', generation: 0, attempt: 1 })
    h.take({ kind: 'cancel', by: 'ann' })
    t.equal(h.state.status, 'running', 'neither its timeout nor a cancel stops it')
    sameWhenFolded(t, h)
    h.succeed('a.compensate')
    t.equal(h.state.status, ending)
    sameWhenFolded(t, h)
  }
})

t.test('a compensation is tried five times unless it says otherwise; one that waits for its next try is not cancelled', async (t) => {
  const h = failed({ steps: { ...three, a: http(), c: http() } })
  for (let attempt = 1; attempt < 5; attempt++) {
    h.fail('b.compensate', {}, true)
    t.equal(h.state.steps.get('b.compensate')?.status, 'retrying')
    sameWhenFolded(t, h)
    h.timer('b.compensate', 'retry')
    t.equal(h.last.calls[0]?.attempt, attempt + 1)
  }
  h.fail('b.compensate', {}, true)
  t.equal(h.state.status, 'failed')
  const once = failed({ steps: { ...three, a: http(), c: http(), b: undo({ retry: { attempts: 1 } }) } })
  once.fail('b.compensate', {}, true)
  t.equal(once.state.status, 'failed')
})

t.test('a failed compensation does not stop the others; the run then fails, with the first error as cause', async (t) => {
  const h = failed()
  h.fail('b.compensate', { message: 'first' })
  t.strictSame(calls(h), ['c.compensate'])
  h.fail('c.compensate', { message: 'second' })
  h.succeed('a.compensate')
  t.equal(h.state.status, 'failed')
  t.match(h.state.error, { code: 'BTN_COMPENSATION_FAILED', step: 'b.compensate', cause: { message: 'first' } })
  sameWhenFolded(t, h)
  const cancelled = start({ steps: { a: undo(), w: { wait: { for: '1h' } } } })
  cancelled.succeed('a')
  cancelled.take({ kind: 'cancel', by: 'ann' })
  cancelled.fail('a.compensate')
  t.strictSame([cancelled.state.status, cancelled.state.error?.code], ['failed', 'BTN_COMPENSATION_FAILED'])
})

t.test('nothing is undone when the run succeeds, nor when its output is an error', async (t) => {
  const succeeded = start({ steps: { a: undo() } })
  succeeded.succeed('a')
  t.strictSame([succeeded.state.status, succeeded.last.calls], ['succeeded', []])
  const output = start({ steps: { a: undo() }, output: '${{ input.nope }}' }, {})
  output.succeed('a')
  t.strictSame([output.state.status, output.state.error?.code, output.last.calls], ['failed', 'BTN_EXPRESSION', []])
})

t.test('a compensation reads what its step gave, and where it stands: the item, its index', async (t) => {
  const of = { of: '${{ steps.a.output.n }}', item: '${{ item }}', index: '${{ index }}' }
  const each = { forEach: { in: ['x', 'y'], steps: { a: http({ compensate: { set: of } }) } } }
  const h = start({ steps: { each, last: http({ needs: ['each'] }) } })
  h.succeed('each[0].a', { n: 1 })
  h.now += 1
  h.succeed('each[1].a', { n: 2 })
  h.fail('last')
  t.strictSame(h.state.steps.get('each[0].a.compensate')?.output, { of: 1, item: 'x', index: 0 })
  t.strictSame(
    h.log.filter((line) => line.includes('succeeded') && line.endsWith('compensate')),
    ['step.succeeded each[1].a.compensate', 'step.succeeded each[0].a.compensate'],
  )
  sameWhenFolded(t, h)
})

t.test('steps in all rounds, in failed items and in containers that failed are undone, each once', async (t) => {
  const poll = { loop: { steps: { a: undo() }, until: 'iteration == 1' } }
  const steps = { b: undo(), c: http({ needs: ['b'] }) }
  const h = start({
    steps: [
      { id: 'poll', ...poll },
      { id: 'each', forEach: { in: [1], steps, onItemError: 'continue' } },
      { id: 'last', ...http() },
    ],
  })
  for (const path of ['poll[0].a', 'poll[1].a', 'each[0].b']) {
    h.now += 1
    h.succeed(path)
  }
  h.fail('each[0].c')
  h.fail('last')
  const undone: string[] = []
  for (let [path] = calls(h); path; [path] = calls(h)) {
    undone.push(path)
    h.succeed(path)
  }
  t.strictSame(undone, ['each[0].b.compensate', 'poll[1].a.compensate', 'poll[0].a.compensate'])
  t.equal(h.state.status, 'failed')
  sameWhenFolded(t, h)
})

t.test('a compensation that is an error by itself counts as failed', async (t) => {
  const h = failed({ steps: { ...three, b: http({ compensate: { set: { n: '${{ input.nope }}' } } }) } })
  t.strictSame(calls(h), ['c.compensate'])
  t.match(h.state.steps.get('b.compensate'), { status: 'failed', error: { code: 'BTN_EXPRESSION' } })
})

t.test('a call of a compensation that was lost is sent again, and why tells of it', async (t) => {
  const h = failed()
  h.take({ kind: 'resend', calls: 'all' })
  t.match(h.last.calls, [{ path: 'b.compensate', resent: true }])
  h.take({ kind: 'resend', calls: [`${h.state.header.runId}/b.compensate/0/1`] })
  t.match(h.last.calls, [{ path: 'b.compensate', resent: true }])
  t.strictSame(
    whyOf(h.state, []).items.map(({ step }) => step),
    [null, 'b.compensate'],
  )
})

t.test('a withdrawal does not end a compensation, and a pause does not hold it back', async (t) => {
  const h = failed()
  h.fail('b.compensate', { code: 'BTN_WITHDRAWN' })
  t.equal(h.state.steps.get('b.compensate')?.status, 'running')
  h.take({ kind: 'pause', by: 'ann' })
  h.succeed('b.compensate')
  t.strictSame(calls(h), ['c.compensate'])
})
