import type { AgentTurn } from '@baton/contracts'
import { type StubAnswer, type StubRequest, stubServer } from '@baton/testing'
import { test } from 'tap'
import { askModel } from '../src/ask-model.ts'
import { createModels, type Provider } from '../src/models.ts'

const never = new AbortController().signal
const schema = { type: 'object', required: ['total'], properties: { total: { type: 'number' } }, additionalProperties: false }

function turnOf(fields: Partial<AgentTurn>): AgentTurn {
  return {
    runId: '0192f000-0000-7000-8000-000000000001',
    namespace: 'default',
    path: 'draft',
    generation: 0,
    attempt: 1,
    at: 0,
    timeoutMs: 5_000,
    model: 'stub/small',
    prompt: 'How much is it?',
    ...fields,
  }
}

function completion(content: string, more: { finish?: string; usage?: object } = {}): StubAnswer {
  const usage = more.usage ?? { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 }
  const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: more.finish ?? 'stop' }]
  return { body: { id: 'c1', object: 'chat.completion', created: 0, model: 'small', choices, usage } }
}

/** An OpenAI-compatible endpoint that answers as told. */
async function stubModels(
  t: Parameters<typeof stubServer>[0],
  answer: (request: StubRequest) => StubAnswer | Promise<StubAnswer>,
  more: Partial<Provider> = {},
) {
  const stub = await stubServer(t, answer)
  const models = createModels(
    { stub: { baseUrl: `${stub.url}/v1`, apiKey: 'sk-secret', ...more } },
    { 'stub/small': { input: 1, output: 10 } },
  )
  return { stub, models }
}

test('mock models answer offline and always the same', async (t) => {
  const models = createModels({}, {})
  const echo = await askModel(turnOf({ model: 'mock/echo', prompt: 'hello' }), models, never)
  t.same(echo, { status: 'succeeded', output: { text: 'hello', data: null, usage: { inputTokens: 2, outputTokens: 2, usd: 0 }, turns: 1 } })
  const json = await askModel(turnOf({ model: 'mock/json', output: schema }), models, never)
  t.match(json, { status: 'succeeded', output: { text: '{"total":1}', data: { total: 1 }, turns: 1 } })
  t.same(json, await askModel(turnOf({ model: 'mock/json', output: schema }), models, never))
  t.match(await askModel(turnOf({ model: 'mock/fail' }), models, never), {
    status: 'failed',
    error: { code: 'BTN_AGENT' },
    retryable: false,
  })
  t.match(await askModel(turnOf({ model: 'mock/fail-503' }), models, never), { error: { code: 'BTN_AGENT', status: 503 }, retryable: true })
})

test('an endpoint is asked with its key, and its answer comes with its price', async (t) => {
  const { stub, models } = await stubModels(t, () => completion('250 EUR'))
  const outcome = await askModel(turnOf({ instructions: 'Be short.' }), models, never)
  t.same(outcome, {
    status: 'succeeded',
    output: { text: '250 EUR', data: null, usage: { inputTokens: 12, outputTokens: 5, usd: 0.000062 }, turns: 1 },
  })
  t.equal(stub.requests[0]!.path, '/v1/chat/completions')
  t.equal(stub.requests[0]!.headers.authorization, 'Bearer sk-secret')
  t.match(stub.requests[0]!.body, {
    model: 'small',
    messages: [
      { role: 'system', content: 'Be short.' },
      { role: 'user', content: 'How much is it?' },
    ],
  })
})

test('structured output is asked for, parsed and validated', async (t) => {
  const answers = ['{"total": 250}', '```json\n{"total": 1}\n```', '{"total": "much"}', 'about 250', '{"to']
  const { stub, models } = await stubModels(t, () => completion(answers.shift()!, answers.length === 0 ? { finish: 'length' } : {}))
  const ask = () => askModel(turnOf({ output: schema }), models, never)
  t.match(await ask(), { status: 'succeeded', output: { data: { total: 250 } } })
  t.match((stub.requests[0]!.body as { response_format: unknown }).response_format, {
    type: 'json_schema',
    json_schema: { strict: false, schema },
  })
  t.match(await ask(), { status: 'succeeded', output: { data: { total: 1 } } }, 'a code fence is taken off')
  t.match(await ask(), { status: 'failed', error: { code: 'BTN_AGENT', message: /\/total/ }, retryable: false })
  t.match(await ask(), { status: 'failed', error: { code: 'BTN_AGENT', message: /did not answer with JSON/ }, retryable: false })
  t.match(await ask(), { status: 'failed', error: { code: 'BTN_AGENT_BUDGET', message: /cut off/ }, retryable: false })
})

test('an endpoint without structured output is told the schema in words', async (t) => {
  const { stub, models } = await stubModels(t, () => completion('{"total": 1}'), { structuredOutputs: false })
  t.match(await askModel(turnOf({ output: schema, instructions: 'Be short.' }), models, never), { output: { data: { total: 1 } } })
  const { messages } = stub.requests[0]!.body as { messages: { content: string }[] }
  t.match(messages[0]!.content, /^Be short\.\n\nAnswer with one JSON value/)
})

test('failures say whether trying again may help', async (t) => {
  const cases = [
    { answer: { status: 429, headers: { 'retry-after': '7' } }, code: 'BTN_AGENT', retryable: true, retryAfterMs: 7_000 },
    { answer: { status: 503 }, code: 'BTN_AGENT', retryable: true },
    { answer: { status: 408 }, code: 'BTN_AGENT', retryable: true },
    { answer: { status: 400, body: { error: { message: 'bad schema' } } }, code: 'BTN_AGENT', retryable: false, message: /bad schema/ },
    { answer: { status: 401 }, code: 'BTN_AGENT', retryable: false },
    { answer: { status: 404 }, code: 'BTN_AGENT_MODEL', retryable: false },
    { answer: { status: 200, body: 'not json' }, code: 'BTN_AGENT', retryable: false },
    { answer: { abort: true }, code: 'BTN_AGENT', retryable: true },
  ]
  for (const { answer, code, retryable, retryAfterMs, message } of cases) {
    const { stub, models } = await stubModels(t, () => answer)
    const outcome = await askModel(turnOf({}), models, never)
    t.match(outcome, { status: 'failed', retryable, error: { code, ...(message ? { message } : {}) } }, JSON.stringify(answer))
    t.equal(outcome.status === 'failed' ? outcome.error.retryAfterMs : 0, retryAfterMs)
    t.equal(stub.requests.length, 1, 'the engine retries, not we')
    t.notMatch(JSON.stringify(outcome), 'sk-secret')
  }
})

test('a model that is not set up is named, with those that are', async (t) => {
  const outcome = await askModel(turnOf({ model: 'nowhere/x' }), createModels({}, {}), never)
  t.match(outcome, { status: 'failed', error: { code: 'BTN_AGENT_MODEL', message: /nowhere\/x.*mock/ }, retryable: false })
})

test('a turn over its budget is not asked for, or does not count', async (t) => {
  const { stub, models } = await stubModels(t, () => completion('x', { usage: { prompt_tokens: 50, completion_tokens: 60 } }))
  t.match(await askModel(turnOf({ budget: { tokens: 3 } }), models, never), {
    status: 'failed',
    error: { code: 'BTN_AGENT_BUDGET' },
    retryable: false,
  })
  t.equal(stub.requests.length, 0)
  t.match(await askModel(turnOf({ budget: { tokens: 100 } }), models, never), {
    status: 'failed',
    error: { code: 'BTN_AGENT_BUDGET', message: /110 tokens/ },
  })
  t.equal((stub.requests[0]!.body as { max_tokens: number }).max_tokens, 96)
})

test('a slow model times out; a stopping service hands the turn back', async (t) => {
  const models = createModels({}, {})
  const outcome = await askModel(turnOf({ model: 'mock/slow-60000', timeoutMs: 20 }), models, never)
  t.match(outcome, { status: 'failed', error: { code: 'BTN_TIMEOUT' }, retryable: true })
  const stopping = new AbortController()
  const asking = askModel(turnOf({ model: 'mock/slow-60000' }), models, stopping.signal)
  stopping.abort(new Error('stopping'))
  await t.rejects(asking, { message: 'stopping' })
})
