/** What the contract says of retry and replay: the only ways out of a terminal state, and what each does again. */
import type { Json } from '@baton/contracts'
import { reopeningOf } from '@baton/engine'
import t, { type Test } from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const calls = (h: Harness) => h.last.calls.map(({ path, generation }) => `${path}/${generation}`)
const retry = (h: Harness) => h.take({ kind: 'retry', by: 'ann' })
const replay = (h: Harness, path: string) => h.take({ kind: 'replay', by: 'ann', path, reason: 'wrong figure' })
const generations = (h: Harness) => Object.fromEntries([...h.state.steps.values()].map(({ path, generation }) => [path, generation]))

/** No call is ever told the same key twice, and the state is what the events say. */
function sound(t: Test, h: Harness): void {
  t.equal(new Set(h.keys).size, h.keys.length, `keys: ${h.keys.join(' ')}`)
  sameWhenFolded(t, h)
}

t.test('retry: what failed and was cancelled begins anew in its next generation, what succeeded stays', async (t) => {
  const h = start({ steps: { a: http(), b: http(), w: { wait: { for: '1h' } }, c: http({ needs: ['a', 'b', 'w'] }) } })
  h.succeed('a', 1)
  h.fail('b')
  t.equal(h.state.status, 'failed')
  h.now = 9_000
  retry(h)
  t.strictSame(h.last.events[0], { ...h.last.events[0], type: 'run.reopened', path: '', seq: h.state.seq - h.last.events.length + 1 })
  t.strictSame([h.state.status, h.state.endedAt, h.state.error], ['running', null, null])
  t.strictSame(generations(h), { a: 0, b: 1, w: 1, c: 0 })
  t.strictSame(calls(h), ['b/1'])
  sound(t, h)
  h.succeed('b', 2)
  h.timer('w', 'wait')
  h.succeed('c')
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('retry: a failure that is tolerated is not done again', async (t) => {
  const h = start({ steps: { a: http({ onError: 'continue' }), b: http({ needs: ['a'] }) } })
  h.fail('a')
  h.fail('b')
  retry(h)
  t.strictSame([generations(h), calls(h)], [{ a: 0, b: 1 }, ['b/1']])
  sound(t, h)
})

t.test('retry is refused unless the run failed, was cancelled or timed out; a refused one changes nothing', async (t) => {
  const open = start({ steps: { a: http() } })
  t.match(reopeningOf(open.state, { kind: 'retry' }), { code: 'BTN_RUN_STATE' })
  t.strictSame(retry(open).events, [])
  open.succeed('a')
  t.match(reopeningOf(open.state, { kind: 'retry' }), { code: 'BTN_RUN_STATE' })
  t.strictSame(retry(open).events, [])
  for (const fact of [
    { kind: 'cancel', by: 'ann' } as const,
    { kind: 'timer', path: '', timer: 'run', generation: 0, attempt: 1 } as const,
  ]) {
    const h = start({ timeout: '1m', steps: { w: { wait: { for: '1h' } } } })
    h.take(fact)
    h.now = 500_000
    retry(h)
    t.strictSame([h.state.status, h.state.steps.get('w')?.generation], ['waiting', 1])
    t.match(h.timers.get('run '), { dueAt: 560_000 }, 'its timeout counts from here')
    sound(t, h)
  }
})

t.test('the timeout of before, when it comes late, does not end a run that was reopened', async (t) => {
  const h = start({ timeout: '1m', steps: { w: { wait: { for: '1h' } } } })
  const timeout = { kind: 'timer', path: '', timer: 'run', generation: 0, attempt: 1 } as const
  h.take(timeout)
  h.now = 500_000
  retry(h)
  t.strictSame([h.take(timeout).events, h.last.timersCleared, h.state.status], [[], [], 'waiting'])
  sound(t, h)
  h.timer('', 'run')
  t.equal(h.state.status, 'timed_out')
})

t.test('both are refused once a compensation began', async (t) => {
  const h = start({ steps: { a: http({ compensate: { set: {} } }), b: http({ needs: ['a'] }) } })
  h.succeed('a')
  h.fail('b')
  t.equal(h.state.status, 'failed')
  for (const asked of [{ kind: 'retry' } as const, { kind: 'replay', path: 'a' } as const])
    t.match(reopeningOf(h.state, asked), { code: 'BTN_RUN_COMPENSATED' })
  t.strictSame([retry(h).events, replay(h, 'a').events], [[], []])
})

t.test('a late result of an earlier generation, and one of a call that was in flight before, change nothing', async (t) => {
  const h = start({ steps: { a: http() } })
  const late = { kind: 'result' as const, path: 'a', generation: 0, attempt: 1, startedAt: 0 }
  h.fail('a')
  retry(h)
  t.strictSame(h.take({ ...late, outcome: { status: 'succeeded', output: 'late' } }).events, [])
  h.succeed('a', 'new')
  t.equal(h.state.steps.get('a')?.output, 'new')
  sound(t, h)
})

t.test('replay: the step and all that depends on it begin anew, others stay; nothing of them is lost before', async (t) => {
  const h = start({ steps: { a: http(), b: http({ needs: ['a'] }), c: http({ needs: ['b'] }), d: http() } })
  for (const path of ['a', 'b', 'd', 'c']) h.succeed(path)
  t.equal(h.state.status, 'succeeded')
  replay(h, 'b')
  t.match(h.last.events[0], { type: 'run.reopened', data: { replay: 'b', reason: 'wrong figure', by: 'ann' } })
  t.strictSame([generations(h), calls(h)], [{ a: 0, b: 1, c: 1, d: 0 }, ['b/1']])
  h.succeed('b')
  t.strictSame(calls(h), ['c/1'])
  h.succeed('c')
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('replay in a run that goes on: only while none of what is done again is open', async (t) => {
  const h = start({ steps: { a: http(), b: http({ needs: ['a'] }), d: http() } })
  h.succeed('a')
  t.match(reopeningOf(h.state, { kind: 'replay', path: 'a' }), { code: 'BTN_RUN_STATE', refused: /step b is running/ })
  t.strictSame(replay(h, 'a').events, [])
  h.succeed('b')
  replay(h, 'a')
  t.match(h.last.events[0], { type: 'step.replayed', path: 'a' })
  t.strictSame(calls(h), ['a/1'])
  sound(t, h)
  for (const path of ['d', 'a', 'b']) h.succeed(path)
  t.equal(h.state.status, 'succeeded')
  t.match(reopeningOf(h.state, { kind: 'replay', path: 'nope' }), { code: 'BTN_STEP_NOT_FOUND' })
})

const each = (steps: object, more: object = {}) => ({
  steps: { each: { forEach: { in: [1, 2], steps }, ...more }, after: http({ needs: ['each'] }) },
})

t.test('replay inside one item: the item and what depends on its container are done again, other items stay', async (t) => {
  const h = start(each({ a: http(), b: http({ needs: ['a'] }) }))
  for (const path of ['each[0].a', 'each[0].b', 'each[1].a', 'each[1].b', 'after']) h.succeed(path, path)
  replay(h, 'each[1].b')
  t.strictSame(calls(h), ['each[1].b/1'])
  t.match(h.state.steps.get('each'), { status: 'running', generation: 1, output: null })
  t.match(h.state.steps.get('after'), { status: 'pending', generation: 1 })
  sound(t, h)
  h.succeed('each[1].b', 'again')
  t.match(
    h.state.steps.get('each')?.output as Json,
    { results: [{ output: { b: 'each[0].b' } }, { output: { a: 'each[1].a', b: 'again' } }] } as never,
  )
  h.succeed('after')
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('replay of a container does all of it again, under keys that were never used', async (t) => {
  const h = start(each({ a: http() }))
  const through = () => {
    for (const path of ['each[0].a', 'each[1].a', 'after']) h.succeed(path)
    t.equal(h.state.status, 'succeeded')
    sound(t, h)
  }
  through()
  replay(h, 'each')
  t.strictSame(calls(h), ['each[0].a/1', 'each[1].a/1'])
  through()
  replay(h, 'each[0].a')
  t.strictSame(calls(h), ['each[0].a/2'])
  h.succeed('each[0].a')
  h.succeed('after')
  replay(h, 'each')
  through()
})

t.test('replay in an earlier round of a loop: the rounds after it are forgotten and come again', async (t) => {
  const h = start({ steps: { poll: { loop: { steps: { a: http() }, until: 'iteration == 2' } } } })
  const rounds = (from: number) => [0, 1, 2].slice(from).forEach((index) => void h.succeed(`poll[${index}].a`, `${index} of ${from}`))
  rounds(0)
  t.equal(h.state.status, 'succeeded')
  replay(h, 'poll[1].a')
  t.strictSame([calls(h), h.state.steps.has('poll[2].a')], [['poll[1].a/1'], false])
  sound(t, h)
  rounds(1)
  t.strictSame(h.state.output, null)
  t.strictSame(h.state.steps.get('poll')?.output, { iterations: 3, last: { a: '2 of 1' } })
  t.equal(h.state.steps.get('poll[0].a')?.generation, 0)
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test(
  'retry goes on inside containers: in the item that failed, in the round that failed, with the items that had not begun',
  async (t) => {
    const h = start({ steps: { each: { forEach: { in: [1, 2, 3], concurrency: 1, steps: { a: http(), b: http({ needs: ['a'] }) } } } } })
    h.succeed('each[0].a')
    h.succeed('each[0].b')
    h.succeed('each[1].a')
    h.fail('each[1].b')
    t.equal(h.state.status, 'failed')
    retry(h)
    t.strictSame(calls(h), ['each[1].b/1'])
    sound(t, h)
    h.succeed('each[1].b')
    t.strictSame(calls(h), ['each[2].a/1'])
    h.succeed('each[2].a')
    h.succeed('each[2].b')
    t.equal(h.state.status, 'succeeded')
    sound(t, h)

    const loop = start({ steps: { poll: { loop: { steps: { a: http() }, until: 'iteration == 1' } } } })
    loop.succeed('poll[0].a')
    loop.fail('poll[1].a')
    retry(loop)
    t.strictSame(calls(loop), ['poll[1].a/1'])
    loop.succeed('poll[1].a')
    t.equal(loop.state.status, 'succeeded')
    sound(t, loop)
  },
)

t.test('retry of a container that failed for a reason of its own does all of it again', async (t) => {
  const limit = start({ steps: { poll: { loop: { steps: { a: http() }, while: 'true', max: 1 } } } })
  limit.succeed('poll[0].a')
  t.equal(limit.state.error?.code, 'BTN_LOOP_LIMIT')
  retry(limit)
  t.strictSame(calls(limit), ['poll[0].a/1'])
  sound(t, limit)
  const late = start({ steps: { each: { forEach: { in: [1, 2], concurrency: 1, steps: { a: http() } }, timeout: '1m' } } })
  late.succeed('each[0].a')
  late.timer('each', 'timeout')
  late.succeed('each[1].a')
  t.match(late.state.error, { code: 'BTN_TIMEOUT', step: 'each' })
  late.now = 200_000
  retry(late)
  t.match(late.timers.get('timeout each'), { dueAt: 260_000, generation: 1 })
  sound(t, late)
})

t.test('a step that was replayed beside one that stays failed: the run ends as failed again', async (t) => {
  const h = start({ steps: { a: http(), b: http() } })
  h.fail('a')
  h.succeed('b')
  replay(h, 'b')
  t.strictSame([calls(h), h.state.status], [['b/1'], 'running'])
  h.succeed('b')
  t.strictSame([h.state.status, h.state.error?.step], ['failed', 'a'])
  sound(t, h)
  retry(h)
  t.strictSame(calls(h), ['a/1'])
  h.succeed('a')
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('what takes any of its dependencies is not skipped for one that stayed failed: a retry lets it start', async (t) => {
  const h = start({ steps: { a: http(), b: http(), any: http({ needs: ['b'], join: 'any' }) } })
  h.succeed('a', 1)
  h.fail('b')
  replay(h, 'a')
  h.succeed('a', 2)
  t.strictSame([h.state.status, h.state.steps.get('any')?.status], ['failed', 'pending'])
  retry(h)
  h.succeed('b', 3)
  h.succeed('any')
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('nor is what requires a success of one and needs another that was cancelled', async (t) => {
  const d = http({ needs: [{ step: 'a', require: 'succeeded' }, 'w'] })
  const h = start({ steps: { a: http({ onError: 'continue' }), b: http(), w: { wait: { for: '1h' } }, d } })
  h.fail('a')
  h.fail('b')
  replay(h, 'a')
  h.fail('a')
  t.strictSame([h.state.status, h.state.steps.get('d')?.status], ['failed', 'pending'])
  retry(h)
  h.succeed('b', 1)
  h.timer('w', 'wait')
  t.strictSame([h.state.status, h.state.steps.get('d')?.status], ['succeeded', 'skipped'])
  sound(t, h)
})

t.test('in a container too nothing succeeds beside what stays failed or was cancelled', async (t) => {
  const inside = { a: http(), b: http() }
  for (const [name, body, prefix] of [
    ['switch', { switch: { cases: [{ if: 'true', steps: inside }] } }, 'c.'],
    ['forEach', { forEach: { in: [1], steps: inside } }, 'c[0].'],
    ['loop', { loop: { until: 'true', steps: inside } }, 'c[0].'],
  ] as const) {
    const h = start({ steps: { c: body } })
    h.fail(`${prefix}a`)
    h.succeed(`${prefix}b`)
    replay(h, `${prefix}b`)
    h.succeed(`${prefix}b`)
    t.strictSame([h.state.status, h.state.error?.step], ['failed', `${prefix}a`], name)
    sound(t, h)
    retry(h)
    t.strictSame(calls(h), [`${prefix}a/1`], name)
    h.succeed(`${prefix}a`)
    t.equal(h.state.status, 'succeeded', name)
    sound(t, h)
  }
})

t.test('what is done again and fails is undone like the first time: only what stands as succeeded', async (t) => {
  const undo = { compensate: { http: { url: 'http://x.example/undo' } } }
  const h = start({ steps: { a: http(undo), b: http({ needs: ['a'], ...undo }) } })
  h.succeed('a')
  h.succeed('b')
  replay(h, 'a')
  h.fail('a')
  t.strictSame([h.state.status, calls(h)], ['failed', []])
  sound(t, h)
  retry(h)
  h.succeed('a')
  h.fail('b')
  t.strictSame(calls(h), ['a.compensate/2'])
  sound(t, h)
})
