/** What `${{ … }}` gives: types, texts, missing fields, numbers, times, and what it may cost. */
import type { Test } from 'tap'
import { type Contract, expectProblem, freshName, type Loose } from './contract-harness.ts'

const INPUT = {
  s: 'text',
  i: 250,
  d: 1.5,
  whole: 3.0,
  t: true,
  n: null,
  list: [1, 'b', { c: [] }],
  map: { k: 'v', deep: { x: 1 } },
  umlaut: 'Zürich 🚲',
}

/** Expressions. */
export async function judgeExpressions(t: Test, contract: Contract): Promise<void> {
  await t.test('keep their type alone, and join as text', (t) => gives(t, contract))
  await t.test('that cannot be evaluated fail their step', (t) => fails(t, contract))
  await t.test('know the run, the workflow and the time', (t) => variables(t, contract))
  await t.test('are conditions with and without ${{ }}', (t) => conditions(t, contract))
  await t.test('in the output of a run fail the run', (t) => outputs(t, contract))
}

/** Each text with what it must give, in one run. */
const TABLE: [string, unknown][] = [
  ['${{ input.i }}', 250],
  ['${{input.i}}', 250],
  ['${{ input.d }}', 1.5],
  ['${{ input.t }}', true],
  ['${{ input.n }}', null],
  ['${{ input.list }}', INPUT.list],
  ['${{ input.map }}', INPUT.map],
  ['${{ input }}', INPUT],
  ['${{ input.s }}', 'text'],
  ['plain', 'plain'],
  ['', ''],
  ['a ${{ input.s }} b', 'a text b'],
  ['${{ input.i }}${{ input.i }}', '250250'],
  ['${{ input.i }} EUR', '250 EUR'],
  [' ${{ input.i }}', ' 250'],
  ['${{ input.whole }}|${{ input.d }}|${{ input.t }}|${{ input.n }}|', '3|1.5|true||'],
  ['l=${{ input.list }} m=${{ input.map }}', 'l=[1,"b",{"c":[]}] m={"k":"v","deep":{"x":1}}'],
  ['${{ input.i * 1.0 }} x', '250 x'],
  ['${{ 10.0 / 4.0 }} x', '2.5 x'],
  ['${{ 1e21 }} x', '1e+21 x'],
  ['t ${{ timestamp("2026-01-02T03:04:05Z") }}', /^t 2026-01-02T03:04:05(\.000)?Z$/],
  ['${{ timestamp("2026-01-02T03:04:05Z") }}', /^2026-01-02T03:04:05(\.000)?Z$/],
  ['$${{ input.s }}', '${{ input.s }}'],
  ['a $${{ b }} ${{ input.s }}', 'a ${{ b }} text'],
  ['$5 and ${ x } and }}', '$5 and ${ x } and }}'],
  ['${{ "a }} b" }}', 'a }} b'],
  ["${{ 'a }} b' + input.s }}", 'a }} btext'],
  ['${{ {"a": {"b": {"c": 1}}} }}', { a: { b: { c: 1 } } }],
  ['${{ {"a": {"b": 1}}.a.b }}-x', '1-x'],
  ['${{ [[1, 2], [3]] }}', [[1, 2], [3]]],
  // Numbers of JSON compare and compute across int and double.
  ['${{ input.i + 1 }}', 251],
  ['${{ input.i + 0.5 }}', 250.5],
  ['${{ 1 + 1.5 }}', 2.5],
  ['${{ 2 * input.d }}', 3],
  ['${{ input.i > 249.5 && input.i < 251 && input.i == 250 && input.i == 250.0 }}', true],
  ['${{ input.whole == 3 }}', true],
  ['${{ 3 in [1.0, 3.0] }}', true],
  ['${{ input.i in [250] }}', true],
  ['${{ input.list[0] + 1 }}', 2],
  ['${{ input.list[input.list[0]] }}', 'b'],
  ['${{ size(input.list) * 1.5 }}', 4.5],
  ['${{ -input.i }}', -250],
  ['${{ 7 % 4 }}', 3],
  ['${{ int(input.d) + int("4") }}', 5],
  ['${{ string(input.i) + "x" }}', '250x'],
  ['${{ double("1.25") }}', 1.25],
  // Guards.
  ['${{ has(input.map.k) }}', true],
  ['${{ has(input.map.nope) }}', false],
  ['${{ has(input.n.x) }}', false],
  ['${{ has(input.s) && !has(input.nope) }}', true],
  ['${{ input.?nope.orValue("d") }}', 'd'],
  ['${{ input.?s.orValue("d") }}', 'text'],
  ['${{ input.map.?deep.?x.orValue(9) }}', 1],
  ['${{ input.map.?nope.?x.orValue(9) }}', 9],
  ['${{ input.?n.?x.orValue("from null") }}', 'from null'],
  ['${{ input.list[?7].orValue("none") }}', 'none'],
  ['${{ has(input.nope) ? input.nope : "else" }}', 'else'],
  // The language.
  ['${{ input.list.size() == 3 ? "three" : "other" }}', 'three'],
  ['${{ input.list.filter(x, type(x) == string) }}', ['b']],
  ['${{ [1, 2, 3].map(x, x * 2) }}', [2, 4, 6]],
  ['${{ [1, 2, 3].exists(x, x > 2) && [1, 2].all(x, x > 0) }}', true],
  ['${{ input.map.map(k, k) }}', ['k', 'deep']],
  ['${{ "k" in input.map }}', true],
  ['${{ input.umlaut.startsWith("Zü") && input.umlaut.contains("🚲") && input.umlaut.endsWith("🚲") }}', true],
  ['${{ size(input.umlaut) }}', 8],
  ['${{ "order-17".matches("^order-[0-9]+$") }}', true],
  ['${{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!".matches("^(a+)+$") }}', false],
  ['${{ input.map["k"] }}', 'v'],
  ['${{ null == input.n }}', true],
  ['${{ duration("90s") > duration("1m") }}', true],
  ['${{ timestamp("2026-01-02T03:04:05Z") + duration("1h") == timestamp("2026-01-02T04:04:05Z") }}', true],
  ['${{ timestamp("2026-01-02T03:04:05Z").getFullYear() }}', 2026],
  ['${{\n  input.i\n  + 1\n}}', 251],
]

async function gives(t: Test, { runSteps }: Contract) {
  const set = Object.fromEntries(TABLE.map(([text], i) => [`e${i}`, text]))
  const nested = { list: ['${{ input.i }}', { x: 'a${{ input.i }}' }], n: 1, b: false, nil: null }
  const run = await runSteps({ a: { set: { ...set, nested } } }, { input: INPUT, output: '${{ steps.a.output }}' })
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  for (const [i, [text, expected]] of TABLE.entries()) {
    const actual = run.output?.[`e${i}`]
    if (expected instanceof RegExp) t.match(actual, expected, text)
    else t.strictSame(actual, expected, text)
  }
  t.strictSame(run.output?.nested, { list: [250, { x: 'a250' }], n: 1, b: false, nil: null }, 'inside lists and objects')
}

async function fails(t: Test, { runSteps, step }: Contract) {
  const cases: [string, RegExp][] = [
    ['input.nope', /^BTN_EXPRESSION$/],
    ['input.map.nope.x', /^BTN_EXPRESSION$/],
    ['input.n.x', /^BTN_EXPRESSION$/],
    ['input.list[7]', /^BTN_EXPRESSION$/],
    ['input.s + 1', /^BTN_EXPRESSION$/],
    ['input.s.nope', /^BTN_EXPRESSION$/],
    ['1 / 0', /^BTN_EXPRESSION$/],
    ['int(input.s)', /^BTN_EXPRESSION$/],
    ['"a".matches(input.s + "(")', /^BTN_EXPRESSION$/],
    ['vars.NOPE', /^BTN_EXPRESSION$/],
    ['input.r.map(a, input.r.map(b, input.r.map(c, input.r.map(d, 1)))).size()', /^BTN_EXPRESSION(_LIMIT)?$/],
  ]
  const input = { ...INPUT, r: Array.from({ length: 100 }, (_, i) => i) }
  const runs = await Promise.all(
    cases.map(([text]) => runSteps({ a: { set: { x: `\${{ ${text} }}` }, retry: { attempts: 3, initial: '1ms' } } }, { input })),
  )
  for (const [i, run] of runs.entries()) {
    const [text, code] = cases[i]!
    t.match(run, { status: 'failed', error: { code, step: 'a', message: /./ } }, text)
    t.match(await step(run.id, 'a'), { status: 'failed', attempt: 1, error: { code } }, `${text}: not retried`)
  }
  const went = await runSteps(
    [
      { id: 'a', set: { x: '${{ input.nope }}' }, onError: { output: { x: 'instead' } } },
      { id: 'b', set: { x: '${{ input.nope }}' }, onError: 'continue' },
      {
        id: 'c',
        set: {
          a: '${{ steps.a.output.x }}',
          status: '${{ steps.b.status }}',
          code: '${{ steps.b.error.code }}',
          b: '${{ steps.b.output }}',
        },
      },
    ],
    { input, output: '${{ steps.c.output }}' },
  )
  t.match(went, { status: 'succeeded', output: { a: 'instead', status: 'failed', code: 'BTN_EXPRESSION', b: null } }, 'obeys onError')
}

async function variables(t: Test, { saveSteps, start, events }: Contract) {
  const name = await saveSteps(
    [
      {
        id: 'a',
        set: {
          id: '${{ run.id }}',
          at: '${{ run.startedAt }}',
          name: '${{ workflow.name }}',
          version: '${{ workflow.version }}',
          now: '${{ now }}',
          again: '${{ now }}',
        },
      },
      {
        id: 'b',
        set: {
          later: '${{ now >= timestamp(steps.a.output.now) }}',
          after: '${{ now >= run.startedAt }}',
          text: 'v${{ workflow.version }}',
          status: '${{ steps.a.status }}',
        },
      },
    ],
    { output: '${{ [steps.a.output, steps.b.output] }}' },
  )
  const run = await start(name, {}, { wait: '20s' })
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const [a, b] = run.output
  t.match(a, { id: run.id, name, version: 1 })
  t.equal(a.now, a.again, 'now is read once a step')
  t.equal(new Date(a.at).getTime(), new Date(run.startedAt).getTime())
  t.match(a.now, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/)
  t.strictSame(b, { later: true, after: true, text: 'v1', status: 'succeeded' })
  t.ok((await events(run.id)).length > 0)
}

async function conditions(t: Test, { runSteps, step, call }: Contract) {
  const x = { set: { x: 1 } }
  const run = await runSteps(
    {
      a: { if: 'input.i > 1', ...x },
      b: { if: '${{ input.i > 1 }}', ...x },
      c: { if: 'input.i < 1', ...x },
      d: { if: false, ...x },
      e: { if: '!has(input.nope)', ...x },
    },
    { input: INPUT, output: '${{ [steps.a.status, steps.b.status, steps.c.status, steps.d.status, steps.e.status] }}' },
  )
  t.strictSame(run.output, ['succeeded', 'succeeded', 'skipped', 'skipped', 'succeeded'])
  t.match(await step(run.id, 'c'), { status: 'skipped', output: null })
  for (const text of ['input.i', 'input.s', 'input.nope', 'input.n']) {
    const odd = await runSteps({ a: { if: text, ...x } }, { input: INPUT })
    t.match(odd, { status: 'failed', error: { code: 'BTN_EXPRESSION', step: 'a' } }, `if: ${text}`)
  }
  for (const text of ['1 + 1', '"a"']) {
    const answer = await call('PUT', `/api/v1/workflows/${freshName()}`, { body: { steps: { a: { if: text, ...x } } } })
    if (answer.status !== 201) expectProblem(t, answer, { status: 422, pointer: '/steps/a/if' }, `if: ${text}`)
  }
}

async function outputs(t: Test, { runSteps }: Contract) {
  const run: Loose = await runSteps({ a: { set: { x: 1 } } }, { output: { r: '${{ steps.a.output.nope }}' } })
  t.match(run, { status: 'failed', output: null, error: { code: 'BTN_EXPRESSION' } })
  const mixed = await runSteps(
    { a: { set: { x: 1 } } },
    { output: { r: ['${{ steps.a.output.x }}'], text: 'x${{ steps.a.output.x }}', n: 5 } },
  )
  t.strictSame(mixed.output, { r: [1], text: 'x1', n: 5 })
  t.match(await runSteps({ a: { set: { x: 1 } } }), { status: 'succeeded' }, 'no output is fine')
}
