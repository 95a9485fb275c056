import type { Json } from '@baton/contracts'
import { checksumOf, compile, graphOf, type HttpPlan, type Plan, parseDefinition, type Template } from '@baton/engine'
import t from 'tap'

function planOf(text: string): Plan {
  const { value, locate } = parseDefinition(text, 'yaml')
  const { plan, errors } = compile(value, { locate, unsupported: [] })
  if (!plan) throw new Error(JSON.stringify(errors))
  return plan
}

/** `id: needs` of each step of the root, `!` when it must have succeeded. */
function needsOf(plan: Plan): Record<string, string> {
  const { steps } = plan.root
  return Object.fromEntries(
    steps.map((step) => [
      step.id,
      step.needs.map((need) => `${steps[need.index]!.id}${need.require === 'succeeded' ? '!' : ''}`).join(' '),
    ]),
  )
}

const REFUND = `
name: refund
input: { type: object, required: [orderId], properties: { orderId: { type: string } } }
timeout: 48h
steps:
  order:
    http: { url: "https://shop.example/orders/\${{ input.orderId }}" }
  review:
    if: steps.order.output.body.total > 100
    approval: { title: "Refund \${{ steps.order.output.body.total }} EUR?", assignees: [role:operator], timeout: 24h }
  refund:
    needs: [review]
    http: { method: post, url: https://shop.example/refunds, body: { orderId: "\${{ input.orderId }}" } }
    retry: { attempts: 5, backoff: exponential, initial: 500ms, max: 30s }
output: { refundId: "\${{ steps.refund.output.body.id }}" }
`

t.test('the refund of the contract compiles', async (t) => {
  const plan = planOf(REFUND)
  t.equal(plan.name, 'refund')
  t.equal(plan.timeoutMs, 48 * 3_600_000)
  t.strictSame(needsOf(plan), { order: '', review: 'order', refund: 'review' })
  t.strictSame(
    plan.root.steps.map((step) => step.dependents),
    [[1], [2], []],
  )
  t.strictSame(plan.root.steps[2]!.retry, { attempts: 5, backoff: 'exponential', initialMs: 500, maxMs: 30_000, jitter: true })
  t.strictSame(plan.root.steps[0]!.retry, { attempts: 1, backoff: 'exponential', initialMs: 1_000, maxMs: 60_000, jitter: true })
  t.match(plan.root.steps[2]!.body, { kind: 'http', response: 'auto', callback: false })
  t.strictSame(
    [...plan.root.byId],
    [
      ['order', 0],
      ['review', 1],
      ['refund', 2],
    ],
  )
  t.equal(plan.stepCount, 3)
})

t.test('dependencies come from every expression of a step, and each counts once', async (t) => {
  const plan = planOf(`
steps:
  a: { set: {} }
  b: { set: {} }
  c: { set: {} }
  d: { set: {} }
  e: { set: {} }
  f: { set: {} }
  all:
    if: steps.a.output == null
    needs: [f, { step: a, require: succeeded }]
    retry: { attempts: 2, on: error.status == steps.b.output.status }
    onError: { output: { x: "\${{ steps.c.output }}" } }
    http: { url: "https://x/\${{ steps.d.output }}", headers: { h: "\${{ steps['e'].output }} \${{ steps.a.output }}" } }
`)
  t.equal(needsOf(plan).all, 'a! b c d e f')
})

t.test('a list is a sequence, a map is a graph', async (t) => {
  t.strictSame(needsOf(planOf('steps: [{ id: a, set: {} }, { id: b, set: {} }, { id: c, set: { x: "${{ steps.a.output }}" } }]')), {
    a: '',
    b: 'a',
    c: 'a b',
  })
  t.strictSame(needsOf(planOf('steps: { a: { set: {} }, b: { set: {} } }')), { a: '', b: '' })
})

t.test('a container waits for what its inner steps mention, however deep', async (t) => {
  const plan = planOf(`
steps:
  x: { set: {} }
  y: { set: {} }
  route:
    switch:
      cases:
        - if: steps.x.output.ok == true
          steps:
            one: { set: {} }
            two:
              switch:
                cases: [{ if: true, steps: { deep: { set: { a: "\${{ steps.y.output }}", b: "\${{ steps.one.output }}" } } } }]
      default: { steps: [{ id: one, set: {} }] }
`)
  t.equal(needsOf(plan).route, 'x y')
  const { body } = plan.root.steps[2]!
  if (body.kind !== 'switch') throw new Error('not a switch')
  t.strictSame(body.cases[0]!.scope.steps[1]!.needs, [{ index: 0, require: 'satisfied' }])
  t.equal(body.default?.steps.length, 1)
  t.equal(plan.stepCount, 7)
})

t.test('headers and query are text, a body keeps types, secrets stand apart', async (t) => {
  const plan = planOf(`
steps:
  a:
    http:
      url: https://x
      headers: { n: "\${{ input.n }}", two: 2, auth: "Bearer \${{ secrets.T }}" }
      query: { q: "\${{ input.q }}", l: [1, "\${{ input.l }}"], b: true }
      body: { n: "\${{ input.n }}", plain: [1, "x"] }
      auth: { basic: { username: me, password: "\${{ secrets.P }}" } }
      expect: { status: [200, "3xx"] }
      maxBytes: 10
      redirect: false
`)
  const body = plan.root.steps[0]!.body as HttpPlan
  const entries = (template: Template | undefined) => Object.fromEntries(template?.type === 'object' ? template.entries : [])
  const request = entries(body.request)
  t.strictSame(request.method, { type: 'literal', value: 'GET' })
  const headers = entries(request.headers)
  t.strictSame([headers.n!.type, headers.two, headers.auth!.type], ['text', { type: 'literal', value: '2' }, 'secret'])
  const query = entries(request.query)
  t.strictSame([query.q!.type, query.l!.type, query.b], ['text', 'list', { type: 'literal', value: 'true' }])
  t.strictSame([entries(request.body).n!.type, entries(request.body).plain], ['expression', { type: 'literal', value: [1, 'x'] }])
  t.match(entries(request.auth), {
    type: { value: 'basic' },
    username: { value: 'me' },
    password: { type: 'secret', parts: [{ secret: 'P' }] },
  })
  t.strictSame([body.expect, body.bytesMax, body.redirect], [{ status: ['200', '3xx'] }, 10, 'manual'])
})

t.test('options of approvals are normalised', async (t) => {
  const optionsOf = (text: string) =>
    (planOf(`steps: { a: { approval: { title: x, ${text} } } }`).root.steps[0]!.body as { options: Json }).options
  t.strictSame(optionsOf('quorum: 1'), [
    { id: 'approve', approves: true },
    { id: 'reject', rejects: true },
  ])
  t.strictSame(optionsOf('options: [reject, later, approve]'), [
    { id: 'reject', rejects: true },
    { id: 'later' },
    { id: 'approve', approves: true },
  ])
  t.strictSame(optionsOf('options: [{ id: pay, approves: true }, { id: deny, rejects: true, title: No }]'), [
    { id: 'pay', approves: true },
    { id: 'deny', rejects: true, title: 'No' },
  ])
  t.strictSame(optionsOf('options: [approve, { id: go, approves: true }]'), [{ id: 'approve' }, { id: 'go', approves: true }])
})

t.test('a literal may hold ${{ when it is escaped', async (t) => {
  const plan = planOf('steps: { a: { set: { x: ["$${{ a }}", 1] } } }')
  t.strictSame(plan.root.steps[0]!.body, { kind: 'set', value: { type: 'literal', value: { x: ['${{ a }}', 1] } } })
})

t.test('what a step needs of the world is known beforehand', async (t) => {
  const plan = planOf(`
steps:
  a: { if: vars.ON == true, set: { x: "\${{ now }}", y: "\${{ vars.Y }}" } }
  b: { set: {} }
  c: { switch: { cases: [{ if: true, steps: { d: { set: { x: "\${{ vars.Z }}" } } } }] } }
`)
  t.strictSame(
    plan.root.steps.map((step) => [step.vars, step.usesNow]),
    [
      [['ON', 'Y'], true],
      [[], false],
      [[], false],
    ],
  )
  t.equal(plan.usesVars, true)
  t.equal(planOf('steps: { b: { set: {} } }').usesVars, false)
})

t.test('a step that would run unapproved is warned of', async (t) => {
  const warningsOf = (refund: string, list = false) => {
    const approval = 'if: input.big == true\n    approval: { title: x }'
    const text = list
      ? `steps:\n  - id: review\n    ${approval}\n  - id: refund\n    ${refund}\n`
      : `steps:\n  review:\n    ${approval}\n  refund:\n    ${refund}\n`
    const { value, locate } = parseDefinition(text, 'yaml')
    const { warnings, errors } = compile(value, { locate })
    t.strictSame(errors, [])
    return warnings.map((warning) => `${warning.pointer} ${warning.line}:${warning.column}`)
  }
  t.strictSame(warningsOf('{ needs: [review], set: {} }'), ['/steps/refund/needs/0 6:15'])
  t.strictSame(warningsOf('{ needs: review, set: {} }'), ['/steps/refund/needs 6:14'])
  t.strictSame(warningsOf('{ set: { x: "${{ steps.review.output }}" } }'), ['/steps/refund 5:3'])
  t.strictSame(warningsOf('set: {}', true), ['/steps/1 5:5'])
  t.strictSame(warningsOf('{ needs: [{ step: review, require: succeeded }], set: {} }'), [])
  t.strictSame(warningsOf('{ needs: [review], if: steps.review.output != null, set: {} }'), [])
})

t.test('the graph shows containers, edges and what they require', async (t) => {
  const plan = planOf(`
steps:
  a: { set: {} }
  b:
    name: Route
    needs: [{ step: a, require: succeeded }]
    switch:
      cases:
        - { if: true, steps: [{ id: x, set: {} }, { id: y, set: {} }] }
        - { if: true, steps: [{ id: x, set: {} }] }
`)
  t.strictSame(graphOf(plan), {
    nodes: [
      { id: 'a', kind: 'set', name: 'a', parent: null },
      { id: 'b', kind: 'switch', name: 'Route', parent: null },
      { id: 'b.x', kind: 'set', name: 'x', parent: 'b' },
      { id: 'b.y', kind: 'set', name: 'y', parent: 'b' },
    ],
    edges: [
      { from: 'a', to: 'b', require: 'succeeded' },
      { from: 'b.x', to: 'b.y', require: 'satisfied' },
    ],
  })
})

t.test('equal definitions have equal checksums, in any order and format', async (t) => {
  const yaml = parseDefinition('a: 1\nb: [1.0, { c: x, d: null }]', 'yaml').value
  const json = parseDefinition('{"b": [1, {"d": null, "c": "x"}], "a": 1}', 'json').value
  t.equal(checksumOf(yaml), checksumOf(json))
  t.match(checksumOf(yaml), /^sha256:[0-9a-f]{64}$/)
  t.not(checksumOf([1, 2]), checksumOf([2, 1]))
  t.not(checksumOf({ a: '1' }), checksumOf({ a: 1 }))
  t.equal(planOf(REFUND).checksum, checksumOf(parseDefinition(REFUND, 'yaml').value))
})

function longDefinition(length: number): string {
  const step = (i: number) => `  s${i}:
    http: { method: POST, url: "https://shop.example/orders/\${{ input.orderId }}", body: { n: ${i}${i > 0 ? `, last: "\${{ steps.s${i - 1}.output.body.id }}"` : ''} } }
    retry: { attempts: 5 }
`
  return `name: long\nsteps:\n${Array.from({ length }, (_, i) => step(i)).join('')}`
}

function fastestMs(run: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const before = performance.now()
    run()
    return performance.now() - before
  })
  return Math.min(...times)
}

t.test('1 000 steps compile at once, and time grows with their number alone', async (t) => {
  const [short, long] = [250, 1_000].map((length) => parseDefinition(longDefinition(length), 'yaml').value)
  const shortMs = fastestMs(() => t.ok(compile(short!).plan))
  const longMs = fastestMs(() => t.ok(compile(long!).plan))
  t.comment(`250 steps: ${shortMs.toFixed(1)} ms, 1 000 steps: ${longMs.toFixed(1)} ms`)
  t.ok(longMs < shortMs * 12, `${longMs} ms against ${shortMs} ms for a quarter`)
  t.ok(longMs < 500, `${longMs} ms`)
})
