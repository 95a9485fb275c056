import type { Json } from '@baton/contracts'
import { checkSchema, validateAgainst } from '@baton/engine'
import t from 'tap'

const ORDER: Json = {
  type: 'object',
  required: ['id'],
  additionalProperties: false,
  properties: {
    id: { type: 'string', pattern: '^o[0-9]+$' },
    'a/b': { type: 'integer' },
    when: { type: 'string', format: 'date-time' },
    tags: { uniqueItems: true },
  },
}

t.test('problems are told at their own place', async (t) => {
  const table: [Json, string, RegExp][] = [
    [{}, '/input/id', /is required/],
    [{ id: 'o1', x: 1 }, '/input/x', /not a known property/],
    [{ id: 'x' }, '/input/id', /pattern/],
    [{ id: 'o1', 'a/b': 1.5 }, '/input/a~1b', /integer/],
    [{ id: 'o1', when: 'soon' }, '/input/when', /date-time/],
    [
      {
        id: 'o1',
        tags: [
          { a: 1, b: 2 },
          { b: 2, a: 1 },
        ],
      },
      '/input/tags',
      /equal/,
    ],
    [[], '/input', /object/],
  ]
  t.strictSame(validateAgainst(ORDER, { id: 'o1', tags: [1, '1'] }, '/input'), [])
  for (const [value, pointer, message] of table) {
    const [problem] = validateAgainst(ORDER, value, '/input')
    t.equal(problem?.pointer, pointer)
    t.match(problem?.message, message)
  }
  t.equal(validateAgainst(ORDER, { id: 1, 'a/b': 'x', when: 1 }, '').length, 3, 'all at once')
})

t.test('each pattern is its own', async (t) => {
  const schema: Json = { properties: { a: { pattern: '^a$' }, b: { pattern: '^b$' } } }
  t.strictSame(validateAgainst(schema, { a: 'a', b: 'b' }, ''), [])
  t.strictSame(
    validateAgainst(schema, { a: 'b', b: 'a' }, '').map((problem) => problem.pointer),
    ['/a', '/b'],
  )
})

t.test('boolean schemas say yes or no', async (t) => {
  t.strictSame(validateAgainst(true, 1, ''), [])
  t.equal(validateAgainst(false, 1, '').length, 1)
})

t.test('a schema that cannot be used is refused when it is saved', async (t) => {
  const table: [Json, string, RegExp][] = [
    [{ type: 'strin' }, '/type', /must be one of/],
    [{ properties: { a: { minimum: 'x' } } }, '/properties/a/minimum', /number/],
    [{ $ref: 'https://example.com/schema' }, '', /reference/],
    [{ $ref: '#/$defs/nope' }, '', /reference/],
    [{ properties: { pattern: true, a: { pattern: '(?=x)' } } }, '/properties/a/pattern', /RE2/],
    [{ patternProperties: { '(a)\\1': true } }, '/patternProperties/(a)\\1', /RE2/],
    [{ $async: true }, '/$async', /unknown/],
  ]
  for (const [schema, pointer, message] of table) {
    const [problem] = checkSchema(schema)
    t.equal(problem?.pointer, pointer, JSON.stringify(schema))
    t.match(problem?.message, message, JSON.stringify(schema))
  }
  t.strictSame(checkSchema({ $defs: { a: { type: 'string' } }, $ref: '#/$defs/a', 'x-own': 1, examples: [{ pattern: '(?=x)' }] }), [])
})

t.test('two schemas may have the same $id', async (t) => {
  const one: Json = { $id: 'https://example.com/order', type: 'string' }
  const two: Json = { $id: 'https://example.com/order', type: 'number' }
  t.strictSame([validateAgainst(one, 'x', ''), validateAgainst(two, 1, ''), validateAgainst(one, 'y', '')], [[], [], []])
})

t.test('neither patterns nor shapes can hang a validation', async (t) => {
  const before = performance.now()
  const text = `${'a'.repeat(50_000)}!`
  t.equal(validateAgainst({ pattern: '^(a+)+$' }, text, '').length, 1)
  const items = Array.from({ length: 20_000 }, (_, i) => ({ i }))
  t.strictSame(validateAgainst({ uniqueItems: true }, items, ''), [])
  t.equal(validateAgainst({ $ref: '#' }, 1, '')[0]?.message.startsWith('the schema cannot be used'), true, 'endless recursion')
  const doubling = Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [`d${i}`, { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }]),
  )
  const bomb: Json = { $defs: { ...doubling, d60: { type: 'string' } }, $ref: '#/$defs/d0' } as Json
  t.match(validateAgainst(bomb, 'x', '/input')[0]?.message, /more checks/)
  t.ok(performance.now() - before < 20_000)
})
