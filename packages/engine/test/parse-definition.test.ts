import { DefinitionSyntaxError, parseDefinition } from '@baton/engine'
import t from 'tap'

const ALIASES = `a: &a [1,1,1,1,1,1,1,1,1,1]\n${[...'bcdefghij']
  .map(
    (c, i, all) =>
      `${c}: &${c} [${Array(10)
        .fill(`*${all[i - 1] ?? 'a'}`)
        .join(',')}]`,
  )
  .join('\n')}`

/** Format, text, what is said, and where. */
const BROKEN: ['json' | 'yaml', string, RegExp, number, number][] = [
  ['json', '', /ends too soon/, 1, 1],
  ['json', '{"a": 1,}', /unexpected "}"/, 1, 9],
  ['json', '{\n  "a": tru\n}', /unexpected "t"/, 2, 8],
  ['json', '{"a": 1 "b": 2}', /unexpected "\\""/, 1, 9],
  ['json', '{"a": [1, 2}', /unexpected "}"/, 1, 12],
  ['json', '{"a": 1', /ends too soon/, 1, 8],
  ['json', '{"a": "x\ny"}', /line break/, 1, 9],
  ['json', '"abc', /has no end/, 1, 1],
  ['json', '"a\\x"', /bad escape/, 1, 3],
  ['json', '{} x', /unexpected "x"/, 1, 4],
  ['json', '[01]', /unexpected "1"/, 1, 3],
  ['json', '[1e400]', /too large/, 1, 2],
  ['json', '{\n "a": 1,\n "a": 2\n}', /"a" stands twice/, 3, 2],
  ['json', '{"a": 1, "\\u0061": 2}', /"a" stands twice/, 1, 10],
  ['json', '['.repeat(100_000), /nested deeper than 200/, 1, 202],
  ['yaml', 'a: 1\na: 2', /"a" stands twice/, 2, 1],
  ['yaml', 'a:\n  b: [1,', /Flow sequence/, 2, 9],
  ['yaml', 'a:\n\tb: 1', /Tabs/, 2, 1],
  ['yaml', 'a: b: c', /Nested mappings/, 1, 4],
  ['yaml', 'a: "\\q"', /escape/, 1, 5],
  ['yaml', 'a: *x', /no anchor/, 1, 4],
  ['yaml', 'a: &a { b: *a }', /no anchor/, 1, 12],
  ['yaml', ALIASES, /more than 500000 values/, 6, 17],
  ['yaml', 'a: 1\n---\nb: 1', /only one document/, 2, 1],
  ['yaml', 'a: .nan', /no form in JSON/, 1, 4],
  ['yaml', 'a: !!binary aGk=', /tag/, 1, 4],
  ['yaml', 'a: !x {}', /tag/, 1, 4],
  ['yaml', '? [a, b]\n: 1', /keys must be strings/, 1, 3],
  ['yaml', '['.repeat(100_000), /nested/, 1, 0],
]

t.test('text that cannot be read is refused with line and column', async (t) => {
  for (const [format, text, message, line, column] of BROKEN) {
    const name = `${format} ${JSON.stringify(text.slice(0, 30))}`
    let error: unknown
    try {
      parseDefinition(text, format)
    } catch (caught) {
      error = caught
    }
    t.ok(error instanceof DefinitionSyntaxError, name)
    t.match((error as DefinitionSyntaxError).message, message, name)
    t.equal((error as DefinitionSyntaxError).line, line, name)
    // Where the reader of YAML runs out of depth is not fixed.
    if (column > 0) t.equal((error as DefinitionSyntaxError).column, column, name)
  }
})

t.test('YAML is 1.2: no surprises from older ones', async (t) => {
  const { value } = parseDefinition(
    'on: yes\nno: off\ndate: 2026-01-01\nold: 010\n1: one\nnull: n\nm: &m [1]\nsame: *m\n<<: { a: 1 }\ne:\n',
    'yaml',
  )
  const wanted = { on: 'yes', no: 'off', date: '2026-01-01', old: 10, '1': 'one', null: 'n', m: [1], same: [1], '<<': { a: 1 }, e: null }
  t.strictSame(value, wanted)
  t.equal(parseDefinition('', 'yaml').value, null)
  t.strictSame(parseDefinition('\uFEFFa: 1', 'yaml').value, { a: 1 })
  t.strictSame(parseDefinition('\uFEFF{"a": 1}', 'json').value, { a: 1 })
})

t.test('keys of JavaScript are keys like others', async (t) => {
  for (const format of ['json', 'yaml'] as const) {
    const { value } = parseDefinition('{"__proto__": {"x": 1}, "constructor": 2}', format)
    t.strictSame(Object.keys(value as object), ['__proto__', 'constructor'], format)
    t.equal(({} as { x?: number }).x, undefined)
  }
})

const YAML = `name: x
steps:
  a:
    set:
      x: \${{ 1 + }}
      l: [1, 2]
    foo: 1
  b: &b
    wait: { for: 1s }
  c: *b
`
const JSON_TEXT = `{
  "name": "x",
  "steps": { "a": { "set": { "x~/y": 1, "l": [1, 2] } } }
}`

t.test('every JSON Pointer has a line and column, of the value or of the key', async (t) => {
  const yaml = parseDefinition(YAML, 'yaml')
  t.strictSame(yaml.locate('/steps/a/set/x'), { line: 5, column: 10 }, 'a single value where it begins')
  t.strictSame(yaml.locate('/steps/a/set/x', 'key'), { line: 5, column: 7 })
  t.strictSame(yaml.locate('/steps'), { line: 2, column: 1 }, 'an object at its key')
  t.strictSame(yaml.locate('/steps/a/set/l/1'), { line: 6, column: 14 })
  t.strictSame(yaml.locate('/steps/a/nope/deeper'), { line: 3, column: 3 }, 'what is missing at what is around it')
  t.strictSame(yaml.locate('/steps/c/wait/for'), { line: 9, column: 18 }, 'through an alias')
  const json = parseDefinition(JSON_TEXT, 'json')
  t.strictSame(json.locate('/steps/a/set/x~0~1y'), { line: 3, column: 38 })
  t.strictSame(json.locate('/steps/a/set/x~0~1y', 'key'), { line: 3, column: 30 })
  t.strictSame(json.locate('/steps/a/set/l/1'), { line: 3, column: 50 })
  t.strictSame(json.locate('/steps/b'), { line: 3, column: 3 })
  t.strictSame(json.locate(''), { line: 1, column: 1 })
})

t.test('a long map of keys is read in one pass', async (t) => {
  const keys = Array.from({ length: 50_000 }, (_, i) => `k${i}: 1`)
  const before = performance.now()
  t.equal(Object.keys(parseDefinition(keys.join('\n'), 'yaml').value as object).length, keys.length)
  // Comparing all pairs would take minutes.
  t.ok(performance.now() - before < 20_000)
})
