/** Every mistake in a definition is refused with its code and its place. */
import type { Test } from 'tap'
import { type CallOptions, type Contract, expectProblem, freshName, must, type Wrong } from './contract-harness.ts'

/** Definitions that are wrong. */
export async function judgeDefinitions(t: Test, contract: Contract): Promise<void> {
  await t.test('are refused with the place', (t) => definitions(t, contract))
  await t.test('are refused when they cannot be read or are too large', (t) => texts(t, contract))
}

const set = { set: { x: 1 } }

async function definitions(t: Test, { call }: Contract) {
  const expression = (text: string) => ({ steps: { a: { set: { x: `\${{ ${text} }}` } } } })
  const wrong: [string, unknown, Partial<Wrong>][] = [
    ['a cycle', { steps: { a: { ...set, needs: ['b'] }, b: { ...set, needs: ['a'] } } }, { pointer: '/steps', message: /a[\s\S]*b/ }],
    ['a step that needs itself', { steps: { a: { ...set, needs: ['a'] } } }, { pointer: '/steps', message: /a/ }],
    ['an unknown step in an expression', expression('steps.nope.output'), { pointer: '/steps/a/set/x', message: /nope/ }],
    ['an unknown need', { steps: { a: { ...set, needs: ['nope'] } } }, { pointer: '/steps/a/needs/0', message: /nope/ }],
    [
      'an unknown need with require',
      { steps: { a: { ...set, needs: [{ step: 'nope', require: 'succeeded' }] } } },
      { pointer: '/steps/a/needs/0' },
    ],
    ['two kinds', { steps: { a: { ...set, wait: { for: '1s' } } } }, { pointer: '/steps/a', message: /set[\s\S]*wait|wait[\s\S]*set/ }],
    ['no kind', { steps: { a: { name: 'x' } } }, { pointer: '/steps/a' }],
    ['broken CEL', expression('1 +'), { pointer: '/steps/a/set/x' }],
    ['an unclosed expression', { steps: { a: { set: { x: 'a ${{ 1 + 1' } } } }, { pointer: '/steps/a/set/x' }],
    ['an unknown variable', expression('nope'), { pointer: '/steps/a/set/x', message: /nope/ }],
    ['an unknown key', { steps: { a: { ...set, colour: 'red' } } }, { pointer: '/steps/a/colour' }],
    ['an unknown key at the top', { steps: { a: set }, colour: 'red' }, { pointer: '/colour' }],
    ['an unknown key in a body', { steps: { a: { http: { url: 'http://x', verb: 'GET' } } } }, { pointer: '/steps/a/http/verb' }],
    ['a bad duration', { steps: { a: { wait: { for: '5 minutes' } } } }, { pointer: '/steps/a/wait/for' }],
    ['a bad timeout', { timeout: 'soon', steps: { a: set } }, { pointer: '/timeout' }],
    ['a bad retry', { steps: { a: { ...set, retry: { attempts: 0 } } } }, { pointer: '/steps/a/retry/attempts' }],
    ['an empty map of steps', { steps: {} }, { pointer: '/steps' }],
    ['an empty list of steps', { steps: [] }, { pointer: '/steps' }],
    ['steps left out', {}, { pointer: '/steps' }],
    ['a name that differs', { name: 'other', steps: { a: set } }, { pointer: '/name' }],
    ['a bad step id', { steps: { 'a-b': set } }, { pointer: '/steps/a-b' }],
    ['a reserved step id', { steps: { in: set } }, { pointer: '/steps/in' }],
    [
      'an id used twice',
      {
        steps: [
          { id: 'a', ...set },
          { id: 'a', ...set },
        ],
      },
      { pointer: '/steps/1/id' },
    ],
    ['an item without id', { steps: [set] }, { pointer: '/steps/0/id' }],
    ['a bad input schema', { input: { type: 'objekt' }, steps: { a: set } }, { pointer: '/input/type' }],
    ['an unknown step in the output', { steps: { a: set }, output: { r: '${{ steps.b.output }}' } }, { pointer: '/output/r' }],
    ['an unknown step in if', { steps: { a: { ...set, if: 'steps.b.output > 1' } } }, { pointer: '/steps/a/if' }],
    [
      'an inner step mentioned from outside',
      { steps: { s: { switch: { cases: [{ if: 'true', steps: { inner: set } }] } }, a: { set: { x: '${{ steps.inner.output }}' } } } },
      { pointer: '/steps/a/set/x' },
    ],
    [
      'an inner id that repeats an outer one',
      { steps: { a: { switch: { cases: [{ if: 'true', steps: { a: set } }] } } } },
      { pointer: '/steps/a/switch/cases/0/steps/a' },
    ],
    ['a secret where none may stand', expression('secrets.X'), { pointer: '/steps/a/set/x' }],
    [
      'a secret inside a larger expression',
      { steps: { a: { http: { url: 'http://x', headers: { h: '${{ secrets.X + "a" }}' } } } } },
      { pointer: '/steps/a/http/headers/h' },
    ],
    ['not an object', [1], { pointer: '' }],
  ]
  for (const [what, body, expected] of wrong) {
    const name = freshName()
    const answer = await call('PUT', `/api/v1/workflows/${name}`, { body })
    expectProblem(t, answer, { status: 422, code: 'BTN_INVALID_DEFINITION', ...expected }, what)
    t.equal((await call('GET', `/api/v1/workflows/${name}`)).status, 404, `${what}: nothing saved`)
    const checked = must(await call('POST', '/api/v1/workflows/validate', { body: { name: 'x', ...(body as object) } }), 200)
    if (what !== 'a name that differs' && what !== 'not an object') t.equal(checked.valid, false, `${what}: not valid`)
  }
}

async function texts(t: Test, { call }: Contract) {
  const yaml = (body: string): CallOptions => ({ body, type: 'application/yaml' })
  const broken = await call('PUT', `/api/v1/workflows/${freshName()}`, yaml('steps:\n  a:\n    set: {x: 1\n  b: [\n'))
  expectProblem(t, broken, { status: 400, code: 'BTN_MALFORMED_BODY' }, 'broken YAML')
  t.match(broken.body.errors?.[0], { line: Number, column: Number }, 'broken YAML: line and column')
  const twice = await call('PUT', `/api/v1/workflows/${freshName()}`, yaml('steps:\n  a: {set: {x: 1}}\n  a: {set: {x: 2}}\n'))
  t.match(twice.status, /400|422/, 'a key that stands twice')
  t.match(twice.body.errors?.[0], { line: 3, column: 3 })
  const place = await call('PUT', `/api/v1/workflows/${freshName()}`, yaml('steps:\n  a:\n    set:\n      x: ${{ steps.nope.output }}\n'))
  expectProblem(t, place, { status: 422, pointer: '/steps/a/set/x', line: 4 }, 'YAML places')
  t.ok(place.body.errors[0].column >= 7)
  const json = await call('PUT', `/api/v1/workflows/${freshName()}`, { body: '{"steps": {\n "a": }' })
  expectProblem(t, json, { status: 400, code: 'BTN_MALFORMED_BODY' }, 'broken JSON')
  t.match(json.body.errors?.[0], { line: 2, column: Number }, 'broken JSON: line and column')
  const large = `{"steps":{"a":{"set":{"x":"${'x'.repeat(1.1 * 1024 * 1024)}"}}}}`
  expectProblem(
    t,
    await call('PUT', `/api/v1/workflows/${freshName()}`, { body: large }),
    { status: 413, code: 'BTN_TOO_LARGE' },
    '1.1 MiB',
  )
  expectProblem(
    t,
    await call('PUT', `/api/v1/workflows/${freshName()}`, yaml(`#${'x'.repeat(1.1 * 1024 * 1024)}\nsteps: {a: {set: {x: 1}}}`)),
    { status: 413 },
    '1.1 MiB of YAML',
  )
  const many = { steps: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`s${i}`, set])) }
  expectProblem(t, await call('PUT', `/api/v1/workflows/${freshName()}`, { body: many }), { status: 422, pointer: '/steps' }, '1 001 steps')
  expectProblem(t, await call('PUT', '/api/v1/workflows/Bad_Name', { body: { steps: { a: set } } }), { status: 422 }, 'a bad name')
  expectProblem(
    t,
    await call('PUT', `/api/v1/workflows/${freshName()}`, { body: 'x', type: 'text/csv' }),
    { status: 415, code: 'BTN_MEDIA_TYPE' },
    'media type',
  )
}
