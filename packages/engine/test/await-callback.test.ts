/** `http` with `callback: true`: a call, and a wait for a POST to the address that it brought along, in either order. */
import type { Json } from '@baton/contracts'
import { type EngineFact, restoreState, snapshotOf, whyOf } from '@baton/engine'
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const HTTP = { url: 'https://x.example', method: 'POST', callback: true, body: { to: '${{ callback.url }}' } }
const ANSWER = { status: 202, headers: {}, body: { job: 1 }, durationMs: 5 }
const flow = (more: object = {}) => ({
  steps: [
    { id: 'a', http: HTTP, ...more },
    { id: 'after', set: { got: '${{ steps.a.?output.body }}' } },
  ],
})

function callback(h: Harness, body: Json, { path = 'a', generation = 0 } = {}): EngineFact {
  return { kind: 'callback', path, generation, receivedAt: h.now, headers: { 'x-from': 'them' }, query: {}, body }
}

/** What has come so far is kept in a snapshot too. */
function keptOf({ state }: Harness) {
  const restored = restoreState(state.plan, state.header, JSON.parse(JSON.stringify(snapshotOf(state))))
  const { answer, callback } = restored.steps.get('a')!
  return { answer, callback }
}

const outputOf = (h: Harness, path = 'a') => h.state.steps.get(path)!.output as Record<string, Json>

t.test('the address stands in no event: what is recorded says where it belongs', async (t) => {
  const http = {
    url: 'https://x.example/${{ secrets.KEY }}?to=${{ callback.url }}',
    headers: { 'x-to': '${{ callback.url }}' },
    query: { to: 'a ${{ callback.url }} b ${{ callback.url }}' },
    body: { list: ['${{ {"deep": [callback.url, input]} }}'], 'a/b': '${{ callback.url + "/done" }}' },
    callback: true,
  }
  const h = start({ steps: { a: { http } } }, '${{ callback.url }}')
  const [call] = h.last.calls
  const url = { callback: 'url' }
  t.strictSame(call!.request.secrets, [
    { pointer: '/url', parts: ['https://x.example/', { secret: 'KEY' }, '?to=', url] },
    { pointer: '/headers/x-to', parts: [url] },
    { pointer: '/query/to', parts: ['a ', url, ' b ', url] },
    { pointer: '/body/list/0/deep/0', parts: [url] },
    { pointer: '/body/a~1b', parts: [url, '/done'] },
  ])
  t.match(call!.request.body, { list: [{ deep: ['${{ callback.url }}', '${{ callback.url }}'] }], 'a/b': '${{ callback.url }}/done' })
  t.notMatch(JSON.stringify(h.events), /callback\.invalid/)
  const key = start({ steps: { a: { http: { ...HTTP, body: '${{ {callback.url: 1} }}' } } } })
  t.match(key.state, { status: 'failed', error: { code: 'BTN_EXPRESSION' } })
})

t.test('after the call was answered the step waits, and the callback ends it', async (t) => {
  const h = start(flow())
  h.now = 2_000
  h.succeed('a', ANSWER)
  t.strictSame(h.log.slice(-2), ['step.waiting a', 'run.waiting'])
  t.match(h.state.steps.get('a'), { status: 'waiting', waitingFor: { kind: 'callback', until: null }, startedAt: 2_000 })
  t.strictSame([...h.timers.keys()], [], 'nothing bounds the wait')
  t.match(whyOf(h.state, []).items[0], { step: 'a', reason: /^waits for a POST to its callback.url/, movableBy: ['callback'] })
  sameWhenFolded(t, h)
  t.strictSame(keptOf(h), { answer: ANSWER, callback: undefined })
  h.now = 9_000
  h.take(callback(h, { done: true }))
  t.strictSame(outputOf(h), {
    status: 202,
    headers: { 'x-from': 'them' },
    query: {},
    body: { done: true },
    receivedAt: new Date(9_000).toISOString(),
    durationMs: 7_000,
    call: ANSWER,
  })
  t.equal(h.state.status, 'succeeded')
  t.strictSame(h.last.callbacksClosed, [])
  t.strictSame(outputOf(h, 'after'), { got: { done: true } })
  sameWhenFolded(t, h)
})

t.test('a callback that comes before the answer is kept, and only one counts', async (t) => {
  const h = start(flow())
  h.take(callback(h, 'early'))
  t.equal(h.state.steps.get('a')!.status, 'running')
  t.match(whyOf(h.state, []).items[0], { reason: /its callback has come/ })
  sameWhenFolded(t, h)
  t.match(keptOf(h), { answer: undefined, callback: { body: 'early' } })
  t.strictSame(h.take(callback(h, 'second')).events, [])
  h.succeed('a', ANSWER)
  t.notMatch(h.log, ['step.waiting a'])
  t.match(outputOf(h), { body: 'early', call: ANSWER })
  t.equal(h.state.status, 'succeeded')
})

t.test('who has posted the callback has been reached: the call may fail then, and is not made again', async (t) => {
  const error = { code: 'BTN_HTTP_NETWORK', message: 'no' }
  const failed = start(flow({ retry: { attempts: 3 } }))
  failed.take(callback(failed, 1))
  failed.fail('a', error, true)
  t.match(outputOf(failed), { status: null, body: 1, call: { error } })
  t.strictSame([failed.state.status, failed.keys], ['succeeded', ['a/0']])

  const between = start(flow({ retry: { attempts: 3 } }))
  between.fail('a', { ...error, status: 503 }, true)
  t.equal(between.state.steps.get('a')!.status, 'retrying')
  between.take(callback(between, 2))
  t.match(outputOf(between), { body: 2, call: { error } })
  t.strictSame([between.state.status, [...between.timers.keys()]], ['succeeded', []], 'its backoff is over')

  const again = start(flow({ retry: { attempts: 3 } }))
  again.fail('a', error, true)
  again.timer('a', 'retry')
  t.equal(again.last.calls[0]!.attempt, 2)
  again.take(callback(again, 3))
  again.succeed('a', ANSWER)
  t.match(outputOf(again), { body: 3, call: ANSWER }, 'by the address of an earlier attempt')
})

t.test('timeout bounds the wait, and each call by no more than 30 s', async (t) => {
  const h = start(flow({ timeout: '2h', retry: { attempts: 5 } }))
  t.equal(h.last.calls[0]!.timeoutMs, 30_000)
  t.equal(start(flow({ timeout: '5s' })).last.calls[0]!.timeoutMs, 5_000)
  h.now = 4_000
  h.succeed('a', ANSWER)
  t.match(h.timers.get('timeout a'), { dueAt: 4_000 + 7_200_000 })
  h.now += 7_200_000
  h.timer('a', 'timeout')
  t.match(h.state, { status: 'failed', error: { code: 'BTN_TIMEOUT', message: /no callback came/ } })
  t.strictSame(h.last.callbacksClosed, [{ path: 'a', generation: 0 }])
  sameWhenFolded(t, h)
})

t.test('a step that ends without its callback takes none any more', async (t) => {
  const failed = start(flow())
  failed.fail('a')
  t.strictSame(failed.last.callbacksClosed, [{ path: 'a', generation: 0 }])
  const cancelled = start(flow())
  cancelled.succeed('a', ANSWER)
  cancelled.take({ kind: 'cancel', by: 'key_1' })
  t.strictSame([cancelled.state.status, cancelled.last.callbacksClosed], ['cancelled', [{ path: 'a', generation: 0 }]])
  t.strictSame(cancelled.take(callback(cancelled, 1)).events, [])
  const both = start(flow())
  both.succeed('a', ANSWER)
  both.take(callback(both, 1), { kind: 'cancel', by: 'key_1' })
  t.strictSame([both.state.steps.get('a')!.status, both.last.callbacksClosed], ['succeeded', []], 'what was accepted before it counts')
  const unborn = start(flow({ if: 'false' }))
  t.strictSame(unborn.last.callbacksClosed, [], 'nobody was told of a step that was skipped')
  const aborted = start(flow())
  aborted.succeed('a', ANSWER)
  aborted.take({ kind: 'abort', error: { code: 'BTN_EVENT_REFUSED', message: 'no' } })
  t.strictSame([aborted.state.status, aborted.last.callbacksClosed], ['failed', []], 'whatever came for it, the abort holds')
  t.strictSame(aborted.last.callbacksGivenUp, [{ path: 'a', generation: 0 }])
})

t.test('a call that is answered while the run ends is recorded, and waits for nothing', async (t) => {
  const h = start(flow())
  h.take({ kind: 'cancel', by: 'key_1' })
  h.succeed('a', ANSWER)
  t.strictSame(h.log.slice(-2), ['step.cancelled a', 'run.cancelled'])
  t.match(h.events.at(-2), { data: { call: ANSWER } })
  t.strictSame([...h.timers.keys()], [])
  sameWhenFolded(t, h)
  const early = start(flow())
  early.take(callback(early, 1), { kind: 'cancel', by: 'key_1' })
  early.succeed('a', ANSWER)
  t.strictSame([early.state.steps.get('a')!.status, early.state.status], ['succeeded', 'cancelled'])
  const withdrawn = start(flow())
  withdrawn.take(callback(withdrawn, 1), { kind: 'cancel', by: 'key_1' })
  withdrawn.fail('a', { code: 'BTN_WITHDRAWN' })
  t.match(outputOf(withdrawn), { body: 1, call: null })
})

t.test('while the run is paused the callback is taken, and what follows starts at resume', async (t) => {
  const h = start(flow({ timeout: '1h' }))
  h.take({ kind: 'pause', by: 'key_1' })
  h.succeed('a', ANSWER)
  h.take({ kind: 'resume', by: 'key_1' }, { kind: 'pause', by: 'key_1' })
  t.strictSame([h.state.steps.get('a')!.status, [...h.timers.keys()]], ['waiting', []], 'nothing fires meanwhile')
  h.take(callback(h, 1))
  t.strictSame([h.state.steps.get('a')!.status, h.state.steps.get('after')!.status], ['succeeded', 'pending'])
  h.take({ kind: 'resume', by: 'key_1' })
  t.equal(h.state.status, 'succeeded')
  const waits = start(flow({ timeout: '1h' }))
  waits.succeed('a', ANSWER)
  waits.take({ kind: 'pause', by: 'key_1' })
  t.strictSame([...waits.timers.keys()], [])
  waits.take({ kind: 'resume', by: 'key_1' })
  t.match(waits.timers.get('timeout a'), { dueAt: 1_000 + 3_600_000 })
})

t.test('what is done again waits for a callback of its own', async (t) => {
  const h = start(flow({ timeout: '1h' }))
  h.succeed('a', ANSWER)
  h.timer('a', 'timeout')
  h.take({ kind: 'retry', by: 'key_1' })
  t.equal(h.last.calls[0]!.generation, 1)
  h.succeed('a', ANSWER)
  t.strictSame(h.take(callback(h, 'late')).events, [], 'that of the first generation')
  h.take(callback(h, 'new', { generation: 1 }))
  t.match([h.state.status, outputOf(h).body], ['succeeded', 'new'])
  h.take({ kind: 'replay', by: 'key_1', path: 'a', reason: 'x' })
  t.match(h.state.steps.get('a'), { status: 'running', generation: 2 })
  t.equal(h.state.steps.get('a')!.callback, undefined)
  sameWhenFolded(t, h)
})

t.test('items, rounds and compensations wait for callbacks of their own', async (t) => {
  const each = start({ steps: { each: { forEach: { in: [1, 2], steps: { a: { http: HTTP } } } } } })
  each.succeed('each[0].a', ANSWER)
  each.take(callback(each, 'one', { path: 'each[1].a' }))
  each.succeed('each[1].a', ANSWER)
  each.take(callback(each, 'nought', { path: 'each[0].a' }))
  t.equal(each.state.status, 'succeeded')
  t.match(outputOf(each, 'each').results, [{ output: { a: { body: 'nought' } } }, { output: { a: { body: 'one' } } }])

  const undo = start({
    steps: [
      { id: 'a', set: {}, compensate: { http: HTTP, timeout: '24h' } },
      { id: 'b', fail: {} },
    ],
  })
  undo.succeed('a.compensate', ANSWER)
  t.match(undo.state, { status: 'running', ending: 'failed' })
  t.equal(undo.state.steps.get('a.compensate')!.status, 'waiting')
  sameWhenFolded(t, undo)
  undo.take(callback(undo, 'undone', { path: 'a.compensate' }))
  t.match([undo.state.status, outputOf(undo, 'a.compensate').body], ['failed', 'undone'])

  const inside = start({
    steps: {
      both: { switch: { cases: [{ if: 'true', steps: { a: { http: HTTP }, b: { http: { url: 'https://y' } } } }] }, onError: 'continue' },
    },
  })
  inside.fail('both.b')
  inside.succeed('both.a', ANSWER)
  t.strictSame([inside.state.steps.get('both.a')!.status, inside.state.status], ['cancelled', 'succeeded'])
})

t.test('a callback that is too large fails the step, and is not waited for any more', async (t) => {
  const h = start(flow())
  h.succeed('a', ANSWER)
  h.take(callback(h, 'x'.repeat(1_000_001)))
  t.match(h.state, { status: 'failed', error: { code: 'BTN_OUTPUT_TOO_LARGE' } })
  t.strictSame(h.last.callbacksClosed, [], 'it was received')
})

t.test('a callback for a step that asked for none changes nothing', async (t) => {
  const h = start({ steps: { a: { http: { url: 'https://x' } } } })
  t.strictSame(h.take(callback(h, 1), callback(h, 1, { path: 'nowhere' })).events, [])
  h.succeed('a', ANSWER)
  t.strictSame(h.state.steps.get('a')!.output, ANSWER)
})

t.test('a callback that was accepted counts, whatever was asked of the run before that had not happened yet', async (t) => {
  const approval = { title: 'Go?' }
  const waiting = () => {
    const h = start({
      steps: { a: { http: HTTP, timeout: '1h' }, b: { http: HTTP }, ask: { approval }, other: { http: { url: 'https://o.example' } } },
    })
    h.succeed('a', ANSWER)
    h.succeed('b', ANSWER)
    return h
  }
  const decided = { decision: 'reject', rejects: true, comment: null, data: null, decidedBy: ['ann'], decidedAt: 1 }
  const asked: Record<string, (h: Harness) => EngineFact> = {
    cancel: () => ({ kind: 'cancel', by: 'ann' }),
    rejection: (h) => {
      const { waitingFor } = h.state.steps.get('ask')! as { waitingFor: { approval: string } }
      return { kind: 'approval-decided', path: 'ask', generation: 0, approvalId: waitingFor.approval.slice(4), ...decided }
    },
    failure: () => ({
      ...{ kind: 'result', path: 'other', generation: 0, attempt: 1, startedAt: 1 },
      outcome: { status: 'failed', error: { code: 'NO', message: 'no' }, retryable: false },
    }),
    timeout: () => ({ kind: 'timer', timer: 'timeout', path: 'a', generation: 0, attempt: 1 }),
    replay: () => ({ kind: 'replay', by: 'ann', path: 'a', reason: 'again' }),
  }
  for (const [name, fact] of Object.entries(asked)) {
    const h = waiting()
    const { callbacksClosed } = h.take(fact(h), callback(h, 'mine'))
    t.notMatch(callbacksClosed, [{ path: 'a' }], `${name}: an address that was used cannot be closed`)
    t.ok(
      h.events.some(({ type, path, data }) => type === 'step.succeeded' && path === 'a' && data.generation === 0),
      `${name}: the step has succeeded`,
    )
    sameWhenFolded(t, h)
  }
  const h = waiting()
  const { callbacksClosed } = h.take(callback(h, 'x'.repeat(2 ** 21)), callback(h, 'mine', { path: 'b' }))
  t.same(callbacksClosed, [], 'one that is too large fails the run: the other has been accepted all the same')
})
