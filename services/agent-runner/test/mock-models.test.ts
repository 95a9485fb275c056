import type { Json } from '@baton/contracts'
import { test } from 'tap'
import { allowanceOf, overspendOf, usageOf } from '../src/budget.ts'
import { createModels } from '../src/models.ts'
import { sampleValue } from '../src/sample-value.ts'

const turn = {
  runId: 'r',
  namespace: 'default',
  path: 'a',
  generation: 0,
  attempt: 1,
  at: 0,
  timeoutMs: 1_000,
  model: 'x/y',
  prompt: 'p'.repeat(40),
}
const price = { input: 1, output: 10 }
const model = { ...createModels({}, {}).resolve('mock/echo')!, name: 'x/y', price }

test('a sample fits its schema and is always the same', (t) => {
  const schema: Json = {
    type: 'object',
    required: ['title', 'extra'],
    properties: {
      title: { type: 'string', minLength: 12, maxLength: 14 },
      score: { type: 'number', minimum: 0.5, maximum: 1 },
      count: { type: 'integer', exclusiveMinimum: 3 },
      kind: { enum: ['b', 'a'] },
      tags: { type: 'array', minItems: 2, items: { $ref: '#/$defs/tag' } },
      when: { type: 'string', format: 'date-time' },
      maybe: { type: ['null', 'boolean'] },
      either: { anyOf: [{ type: 'object', properties: { x: { const: 1 } } }, { type: 'string' }] },
    },
    $defs: { tag: { type: 'string', maxLength: 6 } },
  }
  const value = sampleValue(schema)
  t.same(value, sampleValue(schema))
  t.same(value, {
    title: 'mock title..',
    score: 1,
    count: 4,
    kind: 'b',
    tags: ['mock t', 'mock t'],
    when: '2026-01-01T00:00:00.000Z',
    maybe: true,
    either: { x: 1 },
    extra: 'mock extra',
  })
  t.end()
})

test('a schema that refers to itself ends', (t) => {
  t.ok(sampleValue({ type: 'object', properties: { next: { $ref: '#' } } }))
  t.end()
})

test('only providers that are set up resolve, and model names may hold slashes', (t) => {
  const models = createModels({ groq: { baseUrl: 'http://127.0.0.1:1/v1' } }, { 'groq/openai/oss': price })
  t.match(models.resolve('groq/openai/oss'), { name: 'groq/openai/oss', price })
  t.equal(models.resolve('openai/gpt'), undefined)
  t.equal(models.resolve('groq'), undefined)
  t.equal(models.resolve('groq/'), undefined)
  t.same(models.providers, ['mock', 'groq'])
  t.end()
})

test('a budget bounds the answer before the model is asked', (t) => {
  t.same(allowanceOf(turn, model), { outputTokensMax: undefined })
  t.same(allowanceOf({ ...turn, budget: { tokens: 100 } }, model), { outputTokensMax: 90 })
  t.same(allowanceOf({ ...turn, budget: { usd: 0.00011 } }, model), { outputTokensMax: 10 })
  t.same(allowanceOf({ ...turn, budget: { usd: 0.00011, tokens: 15 } }, model), { outputTokensMax: 5 })
  t.match(allowanceOf({ ...turn, budget: { tokens: 10 } }, model), { refusal: /uses up the budget/ })
  t.match(allowanceOf({ ...turn, budget: { usd: 1 } }, { ...model, price: undefined }), { refusal: /AGENT_PRICES/ })
  t.end()
})

test('what was spent is held against the budget', (t) => {
  const usage = usageOf(model, 1_000, 100)
  t.same(usage, { inputTokens: 1_000, outputTokens: 100, usd: 0.002 })
  t.equal(overspendOf({ ...turn, budget: { tokens: 1_100, usd: 0.002 } }, usage), undefined)
  t.match(overspendOf({ ...turn, budget: { tokens: 1_099 } }, usage), '1100 tokens')
  t.match(overspendOf({ ...turn, budget: { usd: 0.001 } }, usage), 'USD')
  t.end()
})
