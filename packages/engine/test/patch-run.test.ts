import type { Json } from '@baton/contracts'
import { compile, patchConflicts, pointerOfStep, refoldUnder } from '@baton/engine'
import t from 'tap'
import { type Harness, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'https://a.example' }, ...more })

/** Places that a run does not let be changed so; what may be is folded under the new plan too. */
function conflicts(t: { ok(value: unknown, message: string): unknown }, h: Harness, before: object, after: object): string[] {
  const { plan } = compile(after as Json, { name: 'test' })
  const found = patchConflicts(h.state, before as Json, after as Json, plan ?? undefined)
  if (plan && found.length === 0) t.ok(refoldUnder(plan, h.state, h.events), 'its past is the same under the new plan')
  return found.map(({ pointer }) => pointer)
}

t.test('a step that has started is not changed, one that has not is', async (t) => {
  const before = { steps: { a: http(), b: http({ needs: 'a' }), c: http({ needs: 'b' }) } }
  const h = start(before)
  h.succeed('a')
  const { a, b, c } = before.steps
  const other = http({ name: 'other' })
  t.same(conflicts(t, h, before, { steps: { a, b, c: { ...other, needs: 'b' } } }), [])
  t.same(conflicts(t, h, before, { steps: { a, b, new: http({ needs: 'b' }), c: http({ needs: 'new' }) } }), [])
  t.same(conflicts(t, h, before, { steps: { a, b } }), [])
  t.same(conflicts(t, h, before, { steps: { c, b, a }, output: 1 }), [], 'order in a map is none')
  t.same(
    conflicts(t, h, before, {
      steps: [
        { id: 'a', ...a },
        { id: 'b', ...b },
        { id: 'c', ...c },
      ],
    }),
    [],
  )
  t.same(conflicts(t, h, before, { steps: { a: other, b, c } }), ['/steps/a'])
  t.same(conflicts(t, h, before, { steps: { a, b: other, c } }), ['/steps/b'])
  t.same(conflicts(t, h, before, { steps: { b: http(), c } }), ['/steps/a', '/steps/b'])
  t.same(conflicts(t, h, before, { steps: { a, b: http({ needs: ['a', 'x'] }), c, x: http() } }), ['/steps/b'])
  t.same(conflicts(t, h, before, { ...before, concurrency: { key: 'x' } }), ['/concurrency'])
})

t.test('a dependency that is only inferred counts', async (t) => {
  const before = {
    steps: [
      { id: 'x', ...http() },
      { id: 'y', ...http() },
    ],
  }
  const h = start(before)
  h.succeed('x')
  const after = {
    steps: [
      { id: 'y', ...http() },
      { id: 'x', ...http() },
    ],
  }
  t.ok(conflicts(t, h, before, after).length > 0, 'the sequence is another one')
})

t.test('of a container that has started, what has not begun may change', async (t) => {
  const each = (steps: object, more: object = {}) => ({ steps: { each: { forEach: { in: [1, 2], concurrency: 1, steps, ...more } } } })
  const before = each({ one: http(), two: http({ needs: 'one' }) })
  const h = start(before)
  t.same(conflicts(t, h, before, each({ one: http(), two: http({ needs: 'one', name: 'x' }) })), [])
  t.same(conflicts(t, h, before, each({ one: http({ name: 'x' }), two: http({ needs: 'one' }) })), ['/steps/each/forEach/steps/one'])
  t.same(conflicts(t, h, before, each({ one: http() })), ['/steps/each/forEach/steps/two'])
  t.same(conflicts(t, h, before, each({ one: http(), two: http({ needs: 'one' }), three: http() })), ['/steps/each/forEach/steps/three'])
  t.same(conflicts(t, h, before, each({ one: http(), two: http({ needs: 'one' }) }, { concurrency: 2 })), ['/steps/each'])
})

t.test('the case of a switch that was taken may grow while it is under way', async (t) => {
  const route = (taken: object, other: object, first = 'true') => ({
    steps: { route: { switch: { cases: [{ if: first, steps: taken }], default: { steps: other } } } },
  })
  const before = route({ in: http(), after: http({ needs: 'in' }) }, { else: http() })
  const renamed = JSON.parse(JSON.stringify(before).replaceAll('"in"', '"inner"')) as typeof before
  const h = start(renamed)
  const inner = { inner: http(), after: http({ needs: 'inner' }) }
  t.same(conflicts(t, h, renamed, route({ ...inner, more: http() }, { else: http() })), [])
  t.same(conflicts(t, h, renamed, route({ inner: http() }, { another: http() })), [])
  t.same(conflicts(t, h, renamed, route({ ...inner, inner: http({ name: 'x' }) }, { else: http() })), [
    '/steps/route/switch/cases/0/steps/inner',
  ])
  t.same(conflicts(t, h, renamed, route(inner, { else: http() }, 'false')), ['/steps/route'])
  h.succeed('route.inner')
  h.succeed('route.after')
  t.same(conflicts(t, h, renamed, route({ ...inner, more: http() }, { else: http() })), ['/steps/route/switch/cases/0/steps/more'])
})

t.test('a past that names what is no longer there does not fold', async (t) => {
  const before = { steps: { a: http(), b: http({ needs: 'a' }) } }
  const h = start(before)
  h.succeed('a')
  const { plan } = compile({ steps: { a: http() } } as Json, { name: 'test' })
  t.equal(refoldUnder(plan!, h.state, h.events), undefined)
  const forEach = compile({ steps: { a: http(), b: { needs: 'a', forEach: { in: [1], steps: { x: http() } } } } } as Json, { name: 'test' })
  t.equal(refoldUnder(forEach.plan!, h.state, h.events), undefined, 'b would not be in flight')
})

t.test('a run goes on by another plan', async (t) => {
  const before = { steps: { a: http(), b: http({ needs: 'a' }) }, timeout: '1h' }
  const h = start(before)
  const after = { steps: { a: http(), b: http({ needs: 'a' }), now: http(), later: http({ needs: 'now' }) }, timeout: '2h' }
  const { plan } = compile(after as Json, { name: 'test' })
  const state = refoldUnder(plan!, h.state, h.events)!
  const g = h.goOn(state)
  g.take({ kind: 'patched', by: 'key_1' })
  t.same(g.log, ['step.scheduled now'], 'what has become ready starts')
  t.match(g.last.timersSet, [{ timer: 'run', dueAt: 1_000 + 7_200_000 }])
  g.take({ kind: 'patched', by: 'key_1' })
  t.same(g.log, ['step.scheduled now'], 'and once')
})

t.test('a run whose last step was taken away ends', async (t) => {
  const h = start({ steps: { a: { set: { x: 1 } }, later: http({ needs: 'gate' }), gate: { wait: { for: '1h' } } } })
  const { plan } = compile({ steps: { a: { set: { x: 1 } }, gate: { wait: { for: '1h' } } } } as Json, { name: 'test' })
  const g = h.goOn(refoldUnder(plan!, h.state, h.events)!)
  g.take({ kind: 'patched', by: 'key_1' })
  g.timer('gate', 'wait')
  t.equal(g.state.status, 'succeeded')
})

t.test('a step of a run has a place in its definition', async (t) => {
  const definition = {
    steps: [
      {
        id: 'each',
        forEach: {
          in: [1],
          steps: { route: { switch: { cases: [{ if: 'false', steps: { no: http() } }], default: { steps: [{ id: 'x', ...http() }] } } } },
        },
      },
    ],
  }
  const h = start(definition)
  t.equal(pointerOfStep(definition as Json, h.state.steps.get('each[0].route.x')!), '/steps/0/forEach/steps/route/switch/default/steps/0')
})
