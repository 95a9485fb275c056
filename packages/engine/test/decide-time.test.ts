/** The time of a run never goes back, whatever the process that decides thinks that Postgres' clock says. */
import { DURATION_MS_MAX } from '@baton/contracts'
import { compile } from '@baton/engine'
import t from 'tap'
import { start } from './decide-harness.ts'

t.test('no event is before the one before it', async (t) => {
  const h = start({ steps: { w: { wait: { for: '1s' } }, b: { set: { x: '${{ now }}' }, needs: ['w'] } } })
  h.now = 400
  const early = h.take({ kind: 'pause', by: 'key_1' })
  t.ok(early.events.length > 0)
  t.ok(early.events.every((event) => event.at === 1_000))
})

t.test('a timer that fires is due', async (t) => {
  const h = start({ steps: { w: { wait: { for: '1s' } } } })
  h.now = 1_950
  const fired = h.timer('w', 'wait')
  t.ok(fired.events.every((event) => event.at === 2_000))
  t.match(fired.events[0], { type: 'step.succeeded', data: { output: { waitedMs: 1_000 } } })
})

t.test('a duration that an expression gives and no clock can tell fails the step', (t) => {
  const steps: Record<string, object>[] = [
    { a: { wait: { for: '${{ input }}' } } },
    { a: { waitFor: { event: 'x', timeout: '${{ input }}' } } },
    { a: { approval: { title: 'Go?', timeout: '${{ input }}' } } },
    { a: { loop: { max: 3, while: 'true', delay: '${{ input }}', steps: { b: { set: {} } } } } },
  ]
  for (const each of steps) {
    const { state } = start({ steps: each }, '200000000d')
    t.match(
      state,
      { status: 'failed', error: { code: 'BTN_EXPRESSION', message: /not a duration of at most 100 years/ } },
      JSON.stringify(each),
    )
  }
  t.end()
})

t.test('a step that was saved with a longer timeout than may be saved now is bounded by 100 years', (t) => {
  const overlong = {
    timeout: '300000000d',
    retention: '3000000d',
    steps: { a: { timeout: '200000000d', task: { capabilities: ['ocr'] } } },
  }
  const { plan, errors } = compile(overlong, { stored: true })
  t.strictSame(errors, [])
  t.strictSame([plan!.timeoutMs, plan!.root.steps[0]!.timeoutMs], [DURATION_MS_MAX, DURATION_MS_MAX])
  t.equal(compile({ ...overlong, foo: 1 }, { stored: true }).plan, null, 'what else is wrong stays so')
  t.end()
})
