import type { Json } from '@baton/contracts'
import { type Env, parseExpression, renderTemplate, renderWithSecrets, type Template } from '@baton/engine'
import t from 'tap'
import { conditionSource, parseText, splitText } from '../src/templates.ts'

const VARIABLES: Record<string, Json> = {
  input: { n: 250, half: 2.5, s: 'hi', l: [1, 'a'], o: { a: 1 }, z: null, b: true },
  now: '2026-01-01T00:00:00.000Z',
}
const ENV: Env = { step: () => ({ output: null, status: 'succeeded', error: null }), variable: (name) => VARIABLES[name] }
const template = (text: string, asText = false): Template =>
  parseText(text, { parse: (source) => parseExpression(source), secrets: true, asText })
const render = (text: string) => renderTemplate(template(text), ENV)

const RENDERED: [string, Json][] = [
  ['plain', 'plain'],
  ['', ''],
  ['${{ input.n }}', 250],
  ['${{input.n}}', 250],
  ['${{ input.o }}', { a: 1 }],
  ['${{ input.z }}', null],
  ['${{ now }}', '2026-01-01T00:00:00.000Z'],
  [' ${{ input.n }}', ' 250'],
  ['n=${{ input.n }}', 'n=250'],
  ['${{ 250.0 }} EUR', '250 EUR'],
  ['${{ input.half }}!', '2.5!'],
  ['${{ input.s }}-${{ input.s }}', 'hi-hi'],
  ['${{ input.s }}${{ input.n }}', 'hi250'],
  ['<${{ input.z }}>', '<>'],
  ['<${{ input.b }}>', '<true>'],
  ['<${{ input.l }}>', '<[1,"a"]>'],
  ['<${{ input.o }}>', '<{"a":1}>'],
  ['at ${{ now }}', 'at 2026-01-01T00:00:00.000Z'],
  ['in ${{ duration("90s") }}', 'in 90s'],
  ['$${{ input.n }}', '${{ input.n }}'],
  ['a $${{ b }} ${{ input.n }}', 'a ${{ b }} 250'],
  ['$$ ${{ input.n }}', '$$ 250'],
  ['{{ x }} ${ y } }}', '{{ x }} ${ y } }}'],
  ['${{ {"a": {"b": 1}} }}', { a: { b: 1 } }],
  ['${{ {"a": {"b": 1}}}}', { a: { b: 1 } }],
  ['${{ "}}" }}', '}}'],
  ['${{ \'}}\' + "}}" }}', '}}}}'],
  ['${{ "\\"}}" }}', '"}}'],
  ['${{ r"\\d}}" }}', '\\d}}'],
  ['${{ """a"}}b""" }}', 'a"}}b'],
  ['${{ [1, 2].map(x, {"v": x}) }}', [{ v: 1 }, { v: 2 }]],
  ['x ${{ input.s }} } }}', 'x hi } }}'],
  ['${{ input.n\n}}', 250],
]

t.test('one expression keeps its type, otherwise the parts are joined as text', async (t) => {
  for (const [text, wanted] of RENDERED) t.strictSame(render(text), wanted, text)
  t.strictSame(renderTemplate(template('${{ input.n }}', true), ENV), '250', 'where text is asked for')
})

t.test('an expression without an end is refused', async (t) => {
  for (const text of ['${{ a', 'x ${{ "}}', '${{ (a }}', '${{ }']) t.throws(() => splitText(text), /has no }}/, text)
})

t.test('the place of an expression is known', async (t) => {
  t.strictSame(splitText('ab ${{ x }}c'), ['ab ', { source: ' x ', offset: 6 }, 'c'])
})

t.test('a condition is one expression, bare or braced', async (t) => {
  t.equal(conditionSource(' input.a == "}}" ').source, 'input.a == "}}"')
  t.equal(conditionSource('${{ input.a }}').source, 'input.a')
  t.throws(() => conditionSource('${{ a }} && ${{ b }}'), /write one expression/)
})

t.test('secrets are never in the value; slots say where they belong', async (t) => {
  const request: Template = {
    type: 'object',
    entries: [
      ['url', template('https://x/${{ input.s }}?k=${{ secrets.KEY }}')],
      ['headers', { type: 'object', entries: [['x/~y', template('${{ secrets["TOKEN"] }}')]] }],
      [
        'body',
        { type: 'list', items: [template('${{ input.n }}'), template('${{ input.n }}${{ input.s }}-${{ secrets.A }}${{ secrets.B }}')] },
      ],
    ],
  }
  const { value, secrets } = renderWithSecrets(request, ENV)
  t.strictSame(value, {
    url: 'https://x/hi?k=${{ secrets.KEY }}',
    headers: { 'x/~y': '${{ secrets.TOKEN }}' },
    body: [250, '250hi-${{ secrets.A }}${{ secrets.B }}'],
  })
  t.strictSame(secrets, [
    { pointer: '/url', parts: ['https://x/hi?k=', { secret: 'KEY' }] },
    { pointer: '/headers/x~1~0y', parts: [{ secret: 'TOKEN' }] },
    { pointer: '/body/1', parts: ['250hi-', { secret: 'A' }, { secret: 'B' }] },
  ])
  t.throws(() => renderTemplate(request, ENV), { code: 'BTN_EXPRESSION' }, 'without slots there are no secrets')
})

t.test('a secret stands alone in its part, and only where secrets may', async (t) => {
  for (const text of ['${{ "a" + secrets.K }}', '${{ secrets.K == "x" }}', '${{ [secrets.K] }}', '${{ secrets.A + secrets.B }}']) {
    t.throws(() => template(text), /a secret stands alone/, text)
  }
  const closed = { parse: (source: string) => parseExpression(source), secrets: false }
  t.throws(() => parseText('${{ secrets.K }}', closed), /secrets may stand only in/)
})

t.test('what a rendering makes is bounded', async (t) => {
  const env: Env = { ...ENV, variable: () => 'x'.repeat(1_000_000) }
  const many: Template = { type: 'list', items: Array.from({ length: 200 }, () => template('${{ input }}')) }
  t.throws(() => renderTemplate(many, env), { code: 'BTN_EXPRESSION_LIMIT' })
  t.throws(() => renderTemplate(template('-${{ input }}'.repeat(200)), env), { code: 'BTN_EXPRESSION_LIMIT' })
})
