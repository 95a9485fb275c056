import type { Json } from '@baton/contracts'
import { type Env, parseExpression } from '@baton/engine'
import t from 'tap'

const BIG = Array.from({ length: 10_000 }, (_, i) => i)
const TEXT = 'a'.repeat(1_000_000)
const VARIABLES: Record<string, Json> = { big: BIG, text: TEXT, object: Object.fromEntries(BIG.map((i) => [`k${i}`, i])) }
const ENV: Env = { step: () => ({ output: null, status: 'succeeded', error: null }), variable: (name) => VARIABLES[name] }

/** An evaluation on a busy machine; one that is not bounded would take minutes. */
const SECONDS_MAX = 20

function timed(source: string): { seconds: number; code: string | undefined; value?: Json } {
  const parsed = parseExpression(source)
  const before = performance.now()
  try {
    const value = parsed.evaluate(ENV)
    return { seconds: (performance.now() - before) / 1_000, code: undefined, value }
  } catch (error) {
    return { seconds: (performance.now() - before) / 1_000, code: (error as { code?: string }).code }
  }
}

const doubling = (what: string, times: number) => {
  const open = Array.from({ length: times }, (_, i) => `cel.bind(v${i + 1}, v${i} + v${i}, `).join('')
  return `cel.bind(v0, ${what}, ${open}v${times}${')'.repeat(times + 1)}`
}
const nesting = (times: number) => {
  const open = Array.from({ length: times }, (_, i) => `cel.bind(v${i + 1}, [v${i}, v${i}], `).join('')
  return `cel.bind(v0, [1, 1], ${open}v${times}${')'.repeat(times + 1)}`
}

const TOO_MUCH: [string, string][] = [
  ['nested map', 'big.map(x, big.map(y, x * y))'],
  ['nested filter', 'big.filter(x, big.exists(y, y == -1)).size()'],
  ['nested all', 'big.all(x, big.all(y, y >= 0))'],
  ['three exists', 'big.exists(x, big.exists(y, big.exists(z, z < 0)))'],
  ['swallowed errors', 'big.exists(x, big.exists(y, y.z))'],
  ['searching a list in a list', 'big.filter(x, !(-1 in big)).size()'],
  ['comparing lists in a list', 'big.filter(x, big != big.map(y, y + 1)).size() + big.filter(x, big == big + [1]).size()'],
  ['keys of an object in a list', 'big.map(x, size(object)).size()'],
  ['text that doubles', doubling('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"', 40)],
  ['lists that double', doubling('[1, 2, 3, 4, 5, 6, 7, 8]', 40)],
  ['a small graph that is a huge tree', nesting(40)],
  ['comparing huge trees', `${nesting(20)} == ${nesting(20).replaceAll('v', 'w')}`],
  ['copies of a long text', 'big.map(x, text)'],
  ['joining long texts', 'big.map(x, text).join("").size()'],
  ['replacing by long texts', 'text.replace("a", text).size()'],
  ['a slow search', 'text.contains("b" + text.substring(500000))'],
  ['patterns on long texts', 'big.exists(x, text.matches("(a|aa)+$b"))'],
  ['time zones in a list', 'big.all(x, big.all(y, timestamp(x).getHours("Europe/Berlin") >= 0))'],
  ['a long range', 'lists.range(1000000000)'],
  ['sorting in a list', 'big.map(x, big.sort()).size()'],
  ['distinct of many', 'big.distinct().size()'],
]

t.test('work is bounded: BTN_EXPRESSION_LIMIT, soon', async (t) => {
  for (const [name, source] of TOO_MUCH) {
    const { seconds, code } = timed(source)
    t.equal(code, 'BTN_EXPRESSION_LIMIT', name)
    t.ok(seconds < SECONDS_MAX, `${name}: ${seconds} s`)
  }
})

t.test('a list of 10 000 may be mapped, filtered and searched', async (t) => {
  t.equal(timed('big.map(x, x * 2).filter(x, x > 100).size()').value, 9_949)
  t.equal(timed('big.filter(x, x % 2 == 0 && x > 10 && x < 9000).map(x, {"id": x, "name": "n" + string(x)}).size()').value, 4_494)
  t.equal(timed('big.exists(x, x == 9999) && 9999 in big').value, true)
})

t.test('no pattern can hang an evaluation', async (t) => {
  for (const pattern of ['^(a+)+$', '(a|aa)+$', '(a*)*b', '([a-zA-Z]+)*!', '(.*)(.*)(.*)(.*)(.*)[b]']) {
    const { seconds, code, value } = timed(`(text.substring(0, 100000) + "!").matches(${JSON.stringify(pattern)})`)
    t.ok(code === undefined ? typeof value === 'boolean' : code === 'BTN_EXPRESSION_LIMIT', pattern)
    t.ok(seconds < SECONDS_MAX, `${pattern}: ${seconds} s`)
  }
  t.match(timed('"a".matches("(x{1000}){1000}")').code, 'BTN_EXPRESSION', 'a pattern that would be huge')
  t.match(timed(`"a".matches(text)`).code, 'BTN_EXPRESSION', 'a pattern that is long')
})

t.test('the bound is a setting', async (t) => {
  const source = '[1, 2, 3].map(x, x * 2)'
  t.throws(() => parseExpression(source, 10).evaluate(ENV), { code: 'BTN_EXPRESSION_LIMIT' })
  t.strictSame(parseExpression(source, 100).evaluate(ENV), [2, 4, 6])
})

t.test('a limit is never weighed against another operand', async (t) => {
  for (const source of ['big.exists(x, big.all(y, y >= 0) && false) || true', '[1].exists(x, big.all(y, big.all(z, z >= 0))) || true']) {
    t.equal(timed(source).code, 'BTN_EXPRESSION_LIMIT', source)
  }
})

t.test('values that are nested very deeply are refused, not a crash', async (t) => {
  let deep: Json = 1
  for (let i = 0; i < 200_000; i++) deep = [deep]
  const env: Env = { ...ENV, variable: () => deep }
  t.throws(() => parseExpression('[input]').evaluate(env), { code: 'BTN_EXPRESSION_LIMIT' })
  t.throws(() => parseExpression('input == [input]').evaluate(env), { code: 'BTN_EXPRESSION_LIMIT' })
})

t.test('a plain reference takes microseconds at most', async (t) => {
  const env: Env = { ...ENV, variable: () => ({ tag: 'x' }) }
  const parsed = parseExpression('input.tag')
  const rounds = Array.from({ length: 5 }, () => {
    const before = performance.now()
    for (let i = 0; i < 20_000; i++) parsed.evaluate(env)
    return ((performance.now() - before) / 20_000) * 1_000
  })
  t.ok(Math.min(...rounds) < 10, `${Math.min(...rounds)} µs`)
})
