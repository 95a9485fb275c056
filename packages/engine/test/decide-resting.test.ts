/** Items that a retry or a replay puts back, more of them than may go on at once: those that rest, and what is left to the next decision. */
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const each = (list: unknown[], steps: object, more: object = {}) => ({
  steps: { each: { forEach: { in: list, concurrency: 1, steps, ...more } } },
})
const out = (h: Harness) => [...h.state.inFlight].map(({ path }) => path)
const HOUR = 3_600_000

/** All timers that are due by now fire. */
function fire(h: Harness): void {
  const due = [...h.timers.values()].filter(({ dueAt }) => dueAt <= h.now)
  h.take(...due.map(({ path, timer, generation, attempt }) => ({ kind: 'timer', path, timer, generation, attempt }) as const))
}

/** Items in which `g.x` failed one after the other, while `b` was done again in each: a retry puts them all back. */
function breakEach(steps: object): Harness {
  const h = start(each([1, 2, 3], { ...steps, b: http() }))
  for (let index = 0; index < 3; index++) {
    h.fail(`each[${index}].g.x`)
    h.fail(`each[${index}].b`)
    if (index === 2) break
    h.take({ kind: 'replay', by: 'ann', path: `each[${index}].b`, reason: 'again' })
    h.succeed(`each[${index}].b`)
  }
  return h
}

t.test('items that a retry puts back go on no more at once than concurrency says', async (t) => {
  const h = start(each([1, 2, 3, 4], { a: http(), b: http() }))
  for (let index = 0; index < 4; index++) {
    h.fail(`each[${index}].a`)
    h.fail(`each[${index}].b`)
    if (index === 3) break
    h.take({ kind: 'replay', by: 'ann', path: `each[${index}].a`, reason: 'again' })
    h.succeed(`each[${index}].a`)
  }
  t.equal(h.state.status, 'failed')
  h.take({ kind: 'retry', by: 'ann' })
  const seen: string[] = []
  while (h.state.status === 'running') {
    const paths = [...h.state.inFlight].map(({ path }) => path)
    t.equal(new Set(paths.map((path) => path.slice(0, 'each[0]'.length))).size, 1, `at once: ${paths.join(', ')}`)
    seen.push(paths[0]!)
    h.succeed(paths[0]!)
  }
  t.equal(h.state.status, 'succeeded')
  t.same(seen.filter((path) => path.endsWith('.b')).length, 4, 'each was done again')
  sameWhenFolded(t, h)
})

t.test('the time of what is in an item counts from when the item goes on', async (t) => {
  const h = breakEach({ g: { switch: { cases: [{ if: 'true', steps: { x: http() } }] }, timeout: '1h' } })
  h.take({ kind: 'retry', by: 'ann' })
  t.strictSame([out(h), [...h.timers.keys()]], [['each[0].g.x'], ['timeout each[0].g']])
  sameWhenFolded(t, h)
  h.now += HOUR * 0.6
  h.succeed('each[0].g.x')
  t.strictSame(
    [...h.timers.values()].map(({ path, dueAt }) => [path, dueAt - h.now]),
    [['each[1].g', HOUR]],
  )
  h.take({ kind: 'pause', by: 'ann' })
  t.equal(h.timers.size, 0)
  h.now += HOUR * 0.5
  h.take({ kind: 'resume', by: 'ann' })
  t.strictSame(
    [...h.timers.values()].map(({ path, dueAt }) => [path, dueAt - h.now]),
    [['each[1].g', HOUR * 0.5]],
  )
  h.now += HOUR * 0.4
  fire(h)
  for (const path of ['each[1].g.x', 'each[2].g.x', 'each[2].b']) h.succeed(path)
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})

t.test('what depends on a step that ends in an item that rests is begun when it is its turn', async (t) => {
  const g = { switch: { cases: [{ if: 'true', steps: { x: http() } }] }, timeout: '1h', onError: 'continue' }
  const h = start(each([1, 2, 3], { g, y: http(), after: http({ needs: ['g'] }) }, { concurrency: 3 }))
  h.take({ kind: 'cancel', by: 'ann' })
  for (const path of out(h)) h.fail(path)
  ;(h.state.plan.root.steps[0]!.body as { concurrency: number }).concurrency = 1 // as a change of the definition does
  h.take({ kind: 'retry', by: 'ann' })
  h.now += HOUR * 2
  fire(h)
  const began = new Set<string>()
  while (h.state.status === 'running') {
    const items = new Set(out(h).map((path) => path.slice(0, 'each[0]'.length)))
    t.equal(items.size, 1, `at once: ${[...items]}`)
    for (const path of out(h)) began.add(path)
    h.succeed(out(h).at(-1)!)
  }
  t.equal(h.state.status, 'succeeded')
  t.equal([...began].filter((path) => path.endsWith('.after')).length, 3)
  sameWhenFolded(t, h)
})

t.test('a decision that was full, and another fact before the next: what is left is not given up', async (t) => {
  const items = Array.from({ length: 3_000 }, (_, index) => index)
  const h = start({
    steps: {
      bad: http(),
      each: { needs: ['first'], forEach: { in: items, concurrency: 10, steps: { a: { set: { n: 1 } } } } },
      first: http(),
    },
  })
  h.succeed('first')
  h.fail('bad')
  h.take({ kind: 'replay', by: 'ann', path: 'first', reason: 'again' })
  h.succeed('first')
  h.take({ kind: 'resend', calls: 'all' })
  t.equal(h.state.status, 'running')
  while (h.timers.size > 0) fire(h)
  t.strictSame([h.state.steps.get('each')!.status, h.state.status], ['succeeded', 'failed'], 'bad stays failed, and ends the run at last')
})

t.test('a run that ends in a full decision: what was due at once goes when it fires', async (t) => {
  const items = Array.from({ length: 3_000 }, (_, index) => index)
  const h = start({ steps: { each: { forEach: { in: items, steps: { a: { set: { n: 1 } } } } }, bad: { fail: { message: 'no' } } } })
  t.strictSame([h.state.status, [...h.timers.keys()]], ['failed', ['more each']])
  fire(h)
  t.equal(h.timers.size, 0, 'or it would come again for ever, before those of other runs')
  t.equal(h.last.events.length, 0)
})

t.test('rounds that were left to the next decision, and begun by another before: their delay is not cut short', async (t) => {
  const items = Array.from({ length: 1_500 }, (_, index) => index)
  const poll = { loop: { steps: { a: { set: { n: 1 } } }, while: 'true', max: 2, delay: '1h' } }
  const h = start(each(items, { poll }, { concurrency: 1_500 }))
  h.take({ kind: 'pause', by: 'ann' }, { kind: 'resume', by: 'ann' })
  while ([...h.timers.values()].some(({ dueAt }) => dueAt <= h.now)) fire(h)
  t.equal([...h.state.steps.keys()].filter((path) => path.includes('poll[1]')).length, 0)
  t.equal(h.timers.size, 1_500)
})

t.test('loops that were left to the next decision are not given up by another fact before it', async (t) => {
  const items = Array.from({ length: 1_990 }, (_, index) => index)
  const loop = { steps: { a: { set: { n: 1 } } }, max: 5, until: 'true' }
  const h = start({
    steps: {
      bad: http(),
      each: { needs: ['first'], forEach: { in: items, concurrency: 1_990, steps: { poll: { loop } } } },
      first: http(),
    },
  })
  h.fail('bad')
  h.succeed('first')
  h.take({ kind: 'replay', by: 'ann', path: 'first', reason: 'again' })
  h.succeed('first')
  h.take({ kind: 'resend', calls: 'all' })
  while (h.timers.size > 0) fire(h)
  t.strictSame([h.state.steps.get('each')!.status, h.state.status], ['succeeded', 'failed'])
})

t.test('nor are steps of items that are open already', async (t) => {
  const items = Array.from({ length: 1_500 }, (_, index) => index)
  const steps = { p: { set: { n: 1 } }, x: http(), y: { needs: ['x'], set: { n: 1 } } }
  for (const again of ['each[0].p', 'each[1499].p']) {
    const h = start({ steps: { bad: http(), each: { forEach: { in: items, concurrency: 1_500, steps } } } })
    while (h.timers.size > 0) fire(h)
    h.fail('bad')
    for (const path of out(h)) h.succeed(path)
    h.take({ kind: 'replay', by: 'ann', path: again, reason: 'again' })
    h.take({ kind: 'resend', calls: 'all' })
    while (h.timers.size > 0) fire(h)
    t.strictSame([h.state.steps.get('each')!.status, h.state.status], ['succeeded', 'failed'], again)
  }
})

t.test('ten thousand items are put back and go on in bounded time', async (t) => {
  const items = Array.from({ length: 10_000 }, (_, index) => index)
  const h = start(each(items, { a: http(), b: http({ needs: ['a'] }) }, { concurrency: 10_000 }))
  while (h.timers.size > 0) fire(h)
  t.equal(h.state.inFlight.size, 10_000)
  h.take({ kind: 'cancel', by: 'ann' })
  const failure = { outcome: { status: 'failed' as const, error: { code: 'BTN_TIMEOUT', message: 'no' }, retryable: false } }
  h.take(
    ...[...h.state.inFlight].map(({ path, generation, attempt }) => {
      return { kind: 'result' as const, path, generation, attempt, startedAt: h.now, ...failure }
    }),
  )
  h.take({ kind: 'retry', by: 'ann' })
  while (h.timers.size > 0) fire(h)
  t.equal(h.state.inFlight.size, 10_000)
})
