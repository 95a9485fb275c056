import { whyOf } from '@baton/engine'
import t from 'tap'
import { sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })

t.test('a sequence runs one step after the other and ends with the output', async (t) => {
  const h = start({
    steps: [
      { id: 'a', ...http() },
      { id: 'b', set: { x: '${{ steps.a.output.n + 1 }}' } },
    ],
    output: '${{ steps.b.output.x }}',
  })
  t.equal(h.last.calls.length, 1)
  t.equal(h.state.status, 'running')
  h.succeed('a', { n: 41 })
  t.equal(h.state.status, 'succeeded')
  t.equal(h.state.output, 42)
  t.strictSame(h.log, ['run.started', 'step.scheduled a', 'step.succeeded a', 'step.scheduled b', 'step.succeeded b', 'run.succeeded'])
  sameWhenFolded(t, h)
})

t.test('a graph fans out and joins when the last has ended', async (t) => {
  const h = start({ steps: { a: http(), b: http(), c: http(), join: http({ needs: ['a', 'b', 'c'] }) } })
  t.equal(h.last.calls.length, 3)
  h.succeed('a')
  h.succeed('c')
  t.equal(h.last.calls.length, 0)
  h.succeed('b')
  t.equal(h.last.calls[0]?.path, 'join')
  h.succeed('join')
  t.equal(h.state.status, 'succeeded')
})

t.test('a doubled, stale or late result changes nothing', async (t) => {
  const h = start({ steps: { a: http({ retry: { attempts: 2, jitter: false } }), b: http() } })
  h.fail('a', {}, true)
  t.equal(h.state.steps.get('a')?.status, 'retrying')
  t.equal(h.last.timersSet[0]?.timer, 'retry')
  h.timer('a', 'retry')
  t.equal(h.last.calls[0]?.attempt, 2)
  const stale = {
    kind: 'result' as const,
    path: 'a',
    generation: 0,
    attempt: 1,
    startedAt: 0,
    outcome: { status: 'succeeded' as const, output: 1 },
  }
  t.equal(h.take(stale).events.length, 0, 'an older attempt')
  h.succeed('a', 'ok')
  t.equal(h.take({ ...stale, attempt: 2 }).events.length, 0, 'twice')
  sameWhenFolded(t, h)
})

t.test('only redelivered facts send again what is scheduled, once', async (t) => {
  const h = start({ steps: { a: http(), b: http() } })
  const result = {
    kind: 'result' as const,
    path: 'a',
    generation: 0,
    attempt: 1,
    startedAt: 0,
    outcome: { status: 'succeeded' as const, output: 1 },
  }
  t.equal(h.take(result).calls.length, 0)
  const again = h.take({ ...result, redelivered: true }, { ...result, redelivered: true })
  t.strictSame(
    again.calls.map((call) => [call.path, call.resent]),
    [['b', true]],
  )
})

t.test('a failure ends the run after what is in flight', async (t) => {
  const h = start({ steps: { a: http(), b: http(), w: { wait: { for: '1h' } }, c: http({ needs: ['b'] }) } })
  h.fail('a')
  t.equal(h.state.ending, 'failed')
  t.equal(h.state.steps.get('w')?.status, 'cancelled')
  t.strictSame(
    h.last.timersCleared.map((timer) => timer.timer),
    ['wait'],
  )
  h.succeed('b')
  t.equal(h.state.status, 'failed')
  t.equal(h.state.error?.step, 'a')
  t.equal(h.state.steps.get('c')?.status, 'pending')
  sameWhenFolded(t, h)
})

t.test('onError tolerates a failure: continue gives null, output gives a value, the status stays failed', async (t) => {
  const h = start(
    {
      steps: {
        a: http({ onError: 'continue' }),
        b: http({ onError: { output: { code: '${{ input.fallback }}' } } }),
        c: { set: { a: '${{ steps.a.output }}', s: '${{ steps.a.status }}', b: '${{ steps.b.output.code }}' } },
        d: http({ needs: [{ step: 'a', require: 'succeeded' }] }),
      },
      output: '${{ steps.c.output }}',
    },
    { fallback: 'BTN_HTTP_STATUS' },
  )
  h.fail('a')
  h.fail('b')
  t.equal(h.state.status, 'succeeded')
  t.strictSame(h.state.output, { a: null, s: 'failed', b: 'BTN_HTTP_STATUS' })
  t.equal(h.state.steps.get('d')?.status, 'skipped')
  sameWhenFolded(t, h)
})

t.test('a false condition skips, and what needs it goes on with null', async (t) => {
  const h = start(
    { steps: { a: { if: 'input.x > 1', set: { y: 1 } }, b: { set: { z: '${{ steps.a.output }}' } } }, output: '${{ steps.b.output.z }}' },
    { x: 1 },
  )
  t.equal(h.state.status, 'succeeded')
  t.equal(h.state.output, null)
  t.match(h.log, ['run.started', 'step.skipped a'])
})

t.test('join: any starts at the first success and is skipped when none succeeds', async (t) => {
  const steps = { a: http({ onError: 'continue' }), b: http({ onError: 'continue' }), j: http({ needs: ['a', 'b'], join: 'any' }) }
  const first = start({ steps })
  first.fail('a')
  t.equal(first.last.calls.length, 0)
  first.succeed('b')
  t.equal(first.last.calls[0]?.path, 'j')
  const none = start({ steps })
  none.fail('a')
  none.fail('b')
  t.equal(none.state.steps.get('j')?.status, 'skipped')
  t.equal(none.state.status, 'succeeded')
})

t.test('an approval waits; approve goes on, reject fails the run, the deadline does what onTimeout says', async (t) => {
  const definition = {
    steps: [
      { id: 'ok', approval: { title: 'Go?', timeout: '1h' } },
      { id: 'after', set: { d: '${{ steps.ok.output.decision }}' } },
    ],
    output: '${{ steps.after.output.d }}',
  }
  const waits = start(definition)
  t.equal(waits.state.status, 'waiting')
  t.equal(waits.last.approvalsOpened[0]?.assignees[0], 'role:operator')
  t.match(whyOf(waits.state, []).items[0], { step: 'ok', movableBy: ['role:operator'] })
  waits.decide('ok', 'approve')
  t.equal(waits.state.output, 'approve')
  t.strictSame(waits.last.timersCleared, [{ path: 'ok', timer: 'approval' }])
  sameWhenFolded(t, waits)
  const rejected = start(definition)
  rejected.decide('ok', 'reject', true)
  t.match(rejected.state.error, { code: 'BTN_APPROVAL_REJECTED', step: 'ok' })
  const late = start(definition)
  late.timer('ok', 'approval')
  t.match(late.last.approvalsClosed, [{ status: 'expired', decision: 'reject' }])
  t.equal(late.state.status, 'failed')
  sameWhenFolded(t, late)
})

t.test('a switch runs one branch and gathers its outputs', async (t) => {
  const definition = {
    steps: {
      r: {
        switch: {
          cases: [
            { if: 'input.n == 1', steps: { one: http() } },
            { if: 'input.n == 2', steps: { two: { set: { v: 2 } } } },
          ],
          default: { steps: { other: { set: { v: 0 } } } },
        },
      },
      after: { set: { r: '${{ steps.r.output }}' } },
    },
    output: '${{ steps.after.output.r }}',
  }
  const one = start(definition, { n: 1 })
  t.equal(one.last.calls[0]?.path, 'r.one')
  one.succeed('r.one', 'x')
  t.strictSame(one.state.output, { case: 0, outputs: { one: 'x' } })
  sameWhenFolded(t, one)
  t.strictSame(start(definition, { n: 2 }).state.output, { case: 1, outputs: { two: { v: 2 } } })
  t.strictSame(start(definition, { n: 3 }).state.output, { case: 'default', outputs: { other: { v: 0 } } })
})

t.test('a failure inside a switch fails it; onError of the switch tolerates it', async (t) => {
  const inside = { switch: { cases: [{ if: 'true', steps: { x: http(), y: http(), z: { wait: { for: '1h' } } } }] } }
  const fails = start({ steps: { r: inside } })
  fails.fail('r.x')
  fails.succeed('r.y')
  t.equal(fails.state.status, 'failed')
  t.match(fails.state.error, { step: 'r.x' })
  t.equal(fails.state.steps.get('r')?.status, 'failed')
  sameWhenFolded(t, fails)
  const tolerated = start({ steps: { r: { ...inside, onError: 'continue' }, after: http({ needs: ['r'] }) } })
  tolerated.fail('r.x')
  t.equal(tolerated.state.steps.get('r.z')?.status, 'cancelled')
  t.equal(tolerated.state.steps.get('r')?.status, 'running', 'waits for what is in flight')
  tolerated.succeed('r.y')
  t.equal(tolerated.state.steps.get('r')?.status, 'failed')
  t.equal(tolerated.last.calls[0]?.path, 'after')
  tolerated.succeed('after')
  t.equal(tolerated.state.status, 'succeeded')
  sameWhenFolded(t, tolerated)
})

t.test('the timeout of the run ends it; an error in its output fails it', async (t) => {
  const h = start({ timeout: '1m', steps: { a: http() } })
  h.timer('', 'run')
  t.equal(h.state.ending, 'timed_out')
  h.succeed('a')
  t.equal(h.state.status, 'timed_out')
  t.equal(h.state.error?.code, 'BTN_RUN_TIMEOUT')
  const bad = start({ steps: { a: { set: { x: 1 } } }, output: '${{ steps.a.output.y }}' })
  t.equal(bad.state.status, 'failed')
  t.equal(bad.state.error?.code, 'BTN_EXPRESSION')
})

t.test('a broken expression fails its step and obeys onError', async (t) => {
  const h = start(
    { steps: { a: { set: { x: '${{ input.nope }}' }, onError: { output: { x: 0 } } } }, output: '${{ steps.a.output.x }}' },
    {},
  )
  t.equal(h.state.status, 'succeeded')
  t.equal(h.state.output, 0)
})

t.test('a lost call is sent again, or is over when the run is ending', async (t) => {
  const h = start({ steps: { a: http(), b: http() } })
  const id = `${h.state.header.runId}/b/0/1`
  t.strictSame(
    h.take({ kind: 'resend', calls: [id] }).calls.map((call) => call.path),
    ['b'],
  )
  h.take({ kind: 'cancel', by: 'me' })
  t.equal(h.state.status, 'running')
  h.take({ kind: 'resend', calls: [id] })
  t.equal(h.state.steps.get('b')?.status, 'cancelled')
  h.succeed('a')
  t.equal(h.state.status, 'cancelled')
})

t.test('an abort ends the run at once, also what is in flight', async (t) => {
  const h = start({ steps: { a: http(), b: http({ needs: ['a'] }) } })
  h.take({ kind: 'abort', error: { code: 'BTN_EVENT_REFUSED', message: 'no' } })
  t.equal(h.state.status, 'failed')
  sameWhenFolded(t, h)
})

t.test('an aborted run fails and says why, whatever it was ending as: nothing of it is undone', async (t) => {
  const steps = { a: { set: { n: 1 }, compensate: http() }, b: http({ needs: ['a'] }) }
  for (const begin of ['cancel', 'fail'] as const) {
    const h = start({ steps: { ...steps, c: http({ needs: ['a'] }) } })
    if (begin === 'cancel') h.take({ kind: 'cancel', by: 'ann' })
    else h.fail('c')
    h.take({ kind: 'abort', error: { code: 'BTN_EVENT_REFUSED', message: 'no' } })
    t.match(h.state, { status: 'failed', error: { code: 'BTN_EVENT_REFUSED' } }, begin)
    t.equal(h.state.error?.cause?.step, begin === 'fail' ? 'c' : undefined)
    t.equal(h.state.steps.has('a.compensate'), false)
    sameWhenFolded(t, h)
  }
})

t.test('an approval that is opened and withdrawn by the same decision never existed for the people', async (t) => {
  const h = start({ steps: { a: { approval: { title: '?' } }, b: { fail: { message: 'no' } } } })
  t.equal(h.state.status, 'failed')
  t.strictSame([h.last.approvalsOpened.length, h.last.approvalsClosed.length], [0, 0])
  sameWhenFolded(t, h)
})

t.test('now and vars are recorded when a step is scheduled', async (t) => {
  const h = start({ steps: { a: { set: { at: '${{ now }}', v: '${{ vars.X }}' } } } }, null, { vars: { X: 7, Y: 8 } })
  t.match(h.last.events.find((e) => e.type === 'step.scheduled')?.data, { now: '1970-01-01T00:00:01.000Z', vars: { X: 7 } })
  t.strictSame(h.state.steps.get('a')?.output, { at: '1970-01-01T00:00:01.000Z', v: 7 })
})

t.test('a value that looks like a reference to a payload is a value', async (t) => {
  const fake = { $blob: `sha256:${'a'.repeat(64)}`, bytes: 3 }
  const h = start({ steps: { a: { set: fake }, b: { set: { n: '${{ steps.a.output.bytes }}' } } }, output: '${{ steps.b.output.n }}' })
  t.equal(h.state.status, 'succeeded')
  t.equal(h.state.output, 3)
  t.notSame(h.state.steps.get('a')?.output, fake)
})
