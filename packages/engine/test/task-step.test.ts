/** `task` steps: offered, ended once, tried again as tasks of their own, and withdrawn with what is around them. */
import { type BatonError, idOf, type Json } from '@baton/contracts'
import { compile, type EngineFact, stepsOf, whyOf } from '@baton/engine'
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const OCR = { task: { capabilities: ['ocr'], payload: { page: 1 } } }
const retry = { attempts: 3, backoff: 'fixed', initial: '10s', jitter: false }

/** The id of the task that the step waits for, bare. */
function taskOf(h: Harness, path: string): string {
  const { waitingFor } = h.state.steps.get(path)!
  if (waitingFor?.kind !== 'task') throw new Error(`${path} waits for no task`)
  return waitingFor.task.slice(4)
}

function ended(h: Harness, path: string, outcome: Extract<EngineFact, { kind: 'task-ended' }>['outcome']): EngineFact {
  const { generation } = h.state.steps.get(path)!
  return { kind: 'task-ended', path, generation, task: taskOf(h, path), by: 'ann', outcome }
}
const done = (h: Harness, path: string, output: Json = null) => ended(h, path, { status: 'succeeded', output })
const failed = (h: Harness, path: string, retryable = true, error: Partial<BatonError> = {}) =>
  ended(h, path, { status: 'failed', error: { code: 'NO', message: 'no', ...error }, retryable })

t.test('a task is offered with its payload, and what completes it is the output', async (t) => {
  const payload = { page: '${{ input.page }}' }
  const h = start(
    { steps: { scan: { task: { capabilities: ['ocr', '${{ input.kind }}'], payload, lease: '5s', priority: 8 } } } },
    { page: 7, kind: 'pdf' },
  )
  t.match(h.last.tasksOpened, [
    { path: 'scan', generation: 0, attempt: 1, capabilities: ['ocr', 'pdf'], payload: { page: 7 }, leaseMs: 5_000, priority: 8 },
  ])
  t.same(h.log.slice(-4), ['step.scheduled scan', 'step.waiting scan', 'task.opened scan', 'run.waiting'])
  t.equal(h.timers.size, 0)
  sameWhenFolded(t, h)
  h.take(done(h, 'scan', { text: 'x' }))
  t.same(h.log.slice(-3), ['task.completed scan', 'step.succeeded scan', 'run.succeeded'])
  t.same(h.state.steps.get('scan')!.output, { text: 'x' })
  t.same(h.last.tasksClosed, [])
  sameWhenFolded(t, h)
})

t.test('capabilities that are none fail the step', async (t) => {
  for (const kind of [7, '', null, 'x'.repeat(101), []]) {
    const h = start({ steps: { scan: { task: { capabilities: ['${{ input.kind }}'] } } } }, { kind })
    t.match(h.state.error, { code: 'BTN_TASK_CAPABILITIES' }, JSON.stringify(kind))
  }
  const { errors } = compile({ steps: { a: { task: { capabilities: ['x'.repeat(101)], lease: '1ms' } } } }, { name: 'x' })
  t.same(errors.map(({ pointer }) => pointer).sort(), ['/steps/a/task/capabilities/0', '/steps/a/task/lease'])
})

t.test('a failure is tried again as a task of its own, with the same payload; not when the worker says that it is of no use', async (t) => {
  const h = start({ steps: { scan: { ...OCR, retry } } })
  const first = taskOf(h, 'scan')
  h.take(failed(h, 'scan'))
  t.same(h.log.slice(-3), ['task.failed scan', 'step.retrying scan', 'run.resumed'])
  t.equal(h.state.steps.get('scan')!.status, 'retrying')
  t.equal(stepsOf(h.state)[0]!.waitingFor, undefined, 'a backoff waits for no task')
  sameWhenFolded(t, h)
  h.now += 10_000
  const seq = h.state.seq
  h.timer('scan', 'retry')
  t.match(h.last.tasksOpened, [{ attempt: 2, payload: { page: 1 }, capabilities: ['ocr'] }])
  t.ok(h.state.seq > seq)
  h.take({
    kind: 'task-ended',
    path: 'scan',
    generation: 0,
    task: `${first.slice(0, -1)}f`,
    by: 'ann',
    outcome: { status: 'succeeded', output: 1 },
  })
  t.equal(h.state.status, 'waiting', 'the end of another task is not that of this one')
  h.take(failed(h, 'scan', false))
  t.match(h.state, { status: 'failed', error: { code: 'NO', step: 'scan' } })
  sameWhenFolded(t, h)
})

t.test('retry.on judges the failure, whatever the worker says', async (t) => {
  const definition = { steps: { scan: { ...OCR, retry: { ...retry, on: 'error.code == "BUSY"' } } } }
  const busy = start(definition)
  busy.take(failed(busy, 'scan', false, { code: 'BUSY' }))
  t.equal(busy.state.steps.get('scan')!.status, 'retrying')
  const other = start(definition)
  other.take(failed(other, 'scan', true))
  t.equal(other.state.status, 'failed')
})

t.test('the timeout bounds the whole wait, over all attempts', async (t) => {
  const h = start({ steps: { scan: { ...OCR, retry, timeout: '15s' } } })
  t.same(
    [...h.timers.values()].map(({ timer, dueAt }) => [timer, dueAt]),
    [['timeout', 16_000]],
  )
  h.now += 2_000
  h.take(failed(h, 'scan'))
  t.same(
    [...h.timers.values()].map(({ timer, dueAt }) => [timer, dueAt]),
    [['retry', 13_000]],
    'the timer of the first attempt is gone',
  )
  h.now = 13_000
  h.timer('scan', 'retry')
  t.same(
    [...h.timers.values()].map(({ timer, dueAt, attempt }) => [timer, dueAt, attempt]),
    [['timeout', 16_000, 2]],
  )
  h.take({ kind: 'timer', path: 'scan', timer: 'timeout', generation: 0, attempt: 1 })
  t.equal(h.state.status, 'waiting', 'a timer of the first attempt that comes late does nothing')
  const task = taskOf(h, 'scan')
  h.now = 16_000
  h.timer('scan', 'timeout')
  t.same(h.last.tasksClosed, [task])
  t.match(h.state, { status: 'failed', error: { code: 'BTN_TIMEOUT' } })
  sameWhenFolded(t, h)

  const late = start({ steps: { scan: { ...OCR, retry: { ...retry, on: 'true' }, timeout: '5s' } } })
  late.take(failed(late, 'scan'))
  t.match(late.state, { status: 'failed', error: { code: 'NO' } }, 'no attempt would begin in time')
})

t.test('an end that comes with the timeout counts, and so does one that comes with what withdraws the task', async (t) => {
  const h = start({ steps: { scan: { ...OCR, timeout: '5s' } } })
  h.now += 5_000
  h.take({ kind: 'timer', path: 'scan', timer: 'timeout', generation: 0, attempt: 1 }, done(h, 'scan', 1))
  t.equal(h.state.status, 'succeeded')
  const both = start({ steps: { a: OCR, b: OCR } })
  both.take(failed(both, 'a'), done(both, 'b', 1))
  t.same(both.last.tasksClosed, [], 'what was ended cannot be withdrawn')
  t.ok(both.log.includes('task.completed b'))
  t.equal(both.state.status, 'failed')
  sameWhenFolded(t, both)
})

t.test('cancel withdraws what is offered; a task that was offered by the same decision was never there', async (t) => {
  const h = start({ steps: { a: OCR, b: { ...OCR, retry }, c: { wait: { for: '1h' } } } })
  h.take(failed(h, 'b'))
  const task = taskOf(h, 'a')
  h.take({ kind: 'cancel', by: 'ann' })
  t.same(h.last.tasksClosed, [task], 'that of the failed attempt has ended')
  t.same(
    h.log.filter((line) => line.startsWith('task.cancelled')),
    ['task.cancelled a'],
  )
  t.equal(h.state.status, 'cancelled')
  const unborn = start({ steps: { a: OCR, b: { fail: {} } } })
  t.same([unborn.last.tasksOpened, unborn.last.tasksClosed], [[], []])
  sameWhenFolded(t, unborn)
})

t.test('what others do with the task stands in the events and moves nothing', async (t) => {
  const h = start({ steps: { scan: OCR } })
  const news = (type: 'claimed' | 'lease_expired', task = taskOf(h, 'scan')): EngineFact => {
    return { kind: 'task-news', path: 'scan', generation: 0, task, type, data: { by: 'ann' } }
  }
  h.take(news('claimed'), news('lease_expired'), news('claimed', '01920000-0000-7000-9000-00000000000f'))
  t.match(
    h.last.events.map(({ type, path, data }) => [type, path, data.by, data.task]),
    [
      ['task.claimed', 'scan', 'ann', idOf('task', taskOf(h, 'scan'))],
      ['task.lease_expired', 'scan', 'ann', String],
    ],
  )
  t.equal(h.last.events.length, 2, 'nothing is told of a task that the step does not wait for')
  t.equal(h.state.status, 'waiting')
  sameWhenFolded(t, h)
})

t.test('pause, resume, retry and replay', async (t) => {
  const h = start({ steps: { a: { ...OCR, timeout: '1h' }, b: { needs: ['a'], set: {} } } })
  h.take({ kind: 'pause', by: 'ann' })
  t.equal(h.timers.size, 0)
  h.take(done(h, 'a'))
  t.equal(h.state.steps.get('a')!.status, 'succeeded', 'the end is taken')
  t.equal(h.state.steps.get('b')!.status, 'pending', 'nothing new starts')
  h.take({ kind: 'resume', by: 'ann' })
  t.equal(h.state.status, 'succeeded')
  h.take({ kind: 'replay', by: 'ann', path: 'a', reason: 'x' })
  t.match(h.last.tasksOpened, [{ path: 'a', generation: 1, attempt: 1 }])
  h.take(failed(h, 'a'))
  t.equal(h.state.status, 'failed')
  h.take({ kind: 'retry', by: 'ann' })
  t.match(h.last.tasksOpened, [{ path: 'a', generation: 2 }])
  sameWhenFolded(t, h)
})

t.test('in forEach, in loop and as a compensation', async (t) => {
  const each = start({ steps: { each: { forEach: { in: [1, 2], steps: { scan: OCR } } } } })
  t.same(
    each.last.tasksOpened.map(({ path }) => path),
    ['each[0].scan', 'each[1].scan'],
  )
  each.take(done(each, 'each[1].scan', 2), done(each, 'each[0].scan', 1))
  t.match(each.state.steps.get('each')!.output, { results: [{ output: { scan: 1 } }, { output: { scan: 2 } }] })
  const loop = start({ steps: { poll: { loop: { steps: { scan: OCR }, until: 'iteration == 1' } } } })
  loop.take(done(loop, 'poll[0].scan'))
  loop.take(done(loop, 'poll[1].scan'))
  t.equal(loop.state.status, 'succeeded')
  const undo = start({
    steps: [
      { id: 'a', set: {}, compensate: OCR },
      { id: 'b', fail: {} },
    ],
  })
  t.match(undo.last.tasksOpened, [{ path: 'a.compensate' }])
  undo.take(failed(undo, 'a.compensate'))
  t.equal(undo.state.steps.get('a.compensate')!.status, 'retrying', 'a compensation is tried five times')
  undo.now += 60_000
  undo.timer('a.compensate', 'retry')
  undo.take(done(undo, 'a.compensate'))
  t.equal(undo.state.status, 'failed')
  sameWhenFolded(t, undo)
})

t.test('onError tolerates, and /why says who can move it', async (t) => {
  const h = start({ steps: { scan: { ...OCR, onError: 'continue', timeout: '1h' } } })
  const task = idOf('task', taskOf(h, 'scan'))
  const open = { task, claimedBy: null, leaseUntil: null, reservedFor: null, progress: null }
  const why = (standing: object = {}) => whyOf(h.state, [], [{ ...open, ...standing }]).items[0]!
  t.match(why(), {
    reason: `waits for a worker with ocr to claim ${task}; it gives up at 1970-01-01T01:00:01.000Z`,
    movableBy: ['capability:ocr'],
  })
  t.match(why({ reservedFor: 'bob' }), { reason: /^waits for bob to claim/, movableBy: ['worker:bob'] })
  const held = why({ claimedBy: 'ann', leaseUntil: '1970-01-01T00:01:00.000Z', progress: { percent: 10, note: 'page 1' } })
  t.match(held, { reason: /^ann works on tsk_\S+ \(10 %, page 1\); the claim ends at 1970-01-01T00:01:00.000Z/, movableBy: ['worker:ann'] })
  h.take(failed(h, 'scan'))
  t.equal(h.state.status, 'succeeded')
})
