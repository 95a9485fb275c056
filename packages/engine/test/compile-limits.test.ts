import { UNSUPPORTED } from '@baton/contracts'
import { compile, parseDefinition } from '@baton/engine'
import t from 'tap'

/** A definition of these steps, indented under `steps:`. */
const steps = (text: string) => `steps:\n${text.replace(/^/gm, '  ')}\n`
const OK = steps('a: { set: {} }')

const ANEW: [feature: string, text: string, place: string][] = [
  ['task', steps('a:\n  task: { capabilities: [x] }'), '/steps/a/task 3:5'],
  [
    'forEach',
    steps('a:\n  forEach: { in: "${{ input.l }}", as: order, steps: { x: { set: { v: "${{ order.id + orderIndex }}" } } } }'),
    '/steps/a/forEach 3:5',
  ],
  ['loop', steps('a:\n  loop: { until: iteration > 3 && last == null, steps: { x: { set: { v: "${{ last }}" } } } }'), '/steps/a/loop 3:5'],
  ['workflow', steps('a:\n  workflow: { name: other, input: { x: "${{ input.x }}" } }'), '/steps/a/workflow 3:5'],
  ['waitFor', steps('a:\n  waitFor: { event: x, where: event.data.id == input.id, timeout: 1h }'), '/steps/a/waitFor 3:5'],
  ['emit', steps('a:\n  emit: { type: x, data: { y: "${{ input }}" } }'), '/steps/a/emit 3:5'],
  ['compensate', steps('a:\n  set: {}\n  compensate: { http: { url: "https://x/${{ steps.a.output.id }}" } }'), '/steps/a/compensate 4:5'],
  ['concurrency', `concurrency: { key: "\${{ input.id }}" }\n${OK}`, '/concurrency 1:1'],
  ['http.callback', steps('a:\n  http: { url: "https://x", callback: true, body: "${{ callback.url }}" }'), '/steps/a/http/callback 3:31'],
  ['agent.tools', steps('a:\n  agent: { model: mock/a, prompt: x, tools: [{ key: "${{ secrets.K }}" }] }'), '/steps/a/agent/tools 3:40'],
  ['agent.approve', steps('a:\n  agent: { model: mock/a, prompt: x, approve: [y] }'), '/steps/a/agent/approve 3:40'],
  ['agent.session', steps('a:\n  agent: { model: mock/a, prompt: x, session: "${{ input.id }}" }'), '/steps/a/agent/session 3:40'],
  ['approval.reminders', steps('a:\n  approval: { title: x, reminders: 1h }'), '/steps/a/approval/reminders 3:27'],
  [
    'approval.escalate',
    steps('a:\n  approval: { title: x, escalate: { after: 1h, to: "role:admin" } }'),
    '/steps/a/approval/escalate 3:27',
  ],
]

t.test('what does not run yet compiles, and is refused by one table', async (t) => {
  t.strictSame(
    [...new Set(ANEW.map(([feature]) => feature))].sort(),
    [...new Set([...ANEW.map(([feature]) => feature), ...UNSUPPORTED])].sort(),
    'all of the table is tried',
  )
  for (const [feature, text, place] of ANEW) {
    const { value, locate } = parseDefinition(text, 'yaml')
    const refused = compile(value, { locate, unsupported: [feature as (typeof UNSUPPORTED)[number]] })
    t.strictSame(
      refused.errors.map((error) => `${error.pointer} ${error.line}:${error.column} ${error.code}`),
      [`${place} BTN_UNSUPPORTED`],
      feature,
    )
    t.equal(refused.plan, null, feature)
    t.ok(refused.graph, 'its graph can be shown')
    const run = compile(value, { locate, unsupported: [] })
    t.strictSame(run.errors, [], feature)
    t.ok(run.plan, feature)
  }
})

t.test('a mistake inside what does not run yet is told too', async (t) => {
  const text = steps('a:\n  forEach: { in: "${{ input.l }}", as: input, steps: { x: { set: { v: "${{ index }}" } } } }')
  const { errors } = compile(parseDefinition(text, 'yaml').value, { unsupported: [] })
  t.strictSame(
    errors.map((error) => error.pointer),
    ['/steps/a/forEach/as', '/steps/a/forEach/steps/x/set/v'],
  )
})

t.test('size, steps and nesting have limits', async (t) => {
  const many = { steps: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`s${i}`, { set: {} }])) }
  t.match(compile(many, { limits: { stepsMax: 10 } }).errors, [{ pointer: '/steps', code: 'BTN_TOO_LARGE', message: /more than 10 steps/ }])
  t.strictSame(compile(many, { limits: { stepsMax: 11 } }).errors, [])
  const big = { steps: { a: { set: { x: 'x'.repeat(2_000) } } } }
  t.match(compile(big, { limits: { definitionBytesMax: 1_000 } }).errors, [
    { pointer: '', code: 'BTN_TOO_LARGE', message: /larger than 1000 bytes/ },
  ])
  t.match(compile({ steps: { a: { set: { x: 'x'.repeat(1024 * 1024) } } } }).errors, [{ code: 'BTN_TOO_LARGE' }])
  let nested: object = { s9: { set: {} } }
  for (let i = 8; i >= 0; i--) nested = { [`s${i}`]: { switch: { cases: [{ if: true, steps: nested }] } } }
  t.match(compile({ steps: nested } as never).errors, [{ code: 'BTN_TOO_LARGE', message: /deeper than 8/ }])
  t.strictSame(compile({ steps: nested } as never, { limits: { nestingMax: 9 } }).errors, [])
})

t.test('aliases cannot make a small text compile for long', async (t) => {
  const aliases = [...'bcdefg'].map(
    (c, i, all) =>
      `  ${c}: &${c} [${Array(5)
        .fill(`*${all[i - 1] ?? 'a'}`)
        .join(', ')}]`,
  )
  const text = `steps:\n  s:\n    set:\n      v: &a ["${'x'.repeat(100)}"]\n${aliases.join('\n').replace(/^ {2}/gm, '      ')}\n`
  const { value, locate } = parseDefinition(text, 'yaml')
  t.match(compile(value, { locate }).errors, [{ pointer: '', code: 'BTN_TOO_LARGE' }])
})
