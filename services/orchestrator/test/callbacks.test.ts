/** POST /callbacks/{token} on a real Postgres: signed, durable before it is answered, and once. */
import type { Json } from '@baton/contracts'
import type { EngineFact } from '@baton/engine'
import { createCallbackTokens } from '@baton/runtime'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, type Orchestrator, settingsOf, startOrchestrator } from './start-orchestrator.ts'

const FLOW = {
  steps: { a: { http: { url: 'https://x.example', callback: true, body: '${{ callback.url }}' }, timeout: '1h' } },
} satisfies Json
const tokens = createCallbackTokens('0'.repeat(64))
const answered = (generation = 0): EngineFact => {
  const outcome = { status: 'succeeded', output: { status: 202, headers: {}, body: null, durationMs: 1 } } as const
  return { kind: 'result', path: 'a', generation, attempt: 1, startedAt: Date.now(), outcome }
}

/** A run whose step has sent its call, and what posts to its address. */
async function begin(bench: Orchestrator) {
  await bench.save(FLOW, 'w')
  const { id } = (await bench.post('/api/v1/workflows/w/runs')).body
  const runId = bare(id)
  await takeUp(bench.sql, runId)
  const url = (generation = 0, path = 'a') => `/callbacks/${tokens.sign({ runId, path, generation })}`
  const call = (body: Json, generation = 0) => bench.post(url(generation), body, { key: null })
  const outputOf = async () => (await bench.get(`/api/v1/runs/${id}/steps/a`)).body.output
  return { id, runId, url, call, outputOf, advance: (facts: EngineFact[] = []) => advanceRun(bench.sql, runId, facts) }
}

t.test('a callback ends a step that waits for it, and a second one is told so', async (t) => {
  const bench = await startOrchestrator(t)
  const { id, call, advance, outputOf } = await begin(bench)
  await advance([answered()])
  t.match((await bench.get(`/api/v1/runs/${id}`)).body, { status: 'waiting' })
  t.match((await bench.get(`/api/v1/runs/${id}/steps/a`)).body, { status: 'waiting', waitingFor: { kind: 'callback', until: String } })
  t.match((await bench.get(`/api/v1/runs/${id}/why`)).body.items[0], { step: 'a', reason: /POST to its callback.url/ })
  t.match(await call({ done: true }), { status: 202, body: { run: id, step: 'a' } })
  t.match(
    await call({ done: true }),
    { status: 409, body: { code: 'BTN_CALLBACK_STATE', detail: /was received at/ } },
    'also before it is applied',
  )
  await advance()
  t.match(await outputOf(), { status: 202, body: { done: true }, call: { status: 202 } })
  t.match(await call({}), { status: 409, body: { detail: /was received at/ } })
})

t.test('one that comes before its call was answered is kept', async (t) => {
  const bench = await startOrchestrator(t)
  const { id, call, advance, outputOf } = await begin(bench)
  t.equal((await call('early')).status, 202)
  t.equal((await advance()).status, 'running')
  t.equal((await call('again')).status, 409)
  t.equal((await advance([answered()])).status, 'succeeded')
  t.match(await outputOf(), { body: 'early' })
  const types = (await bench.get(`/api/v1/runs/${id}/events`)).body.items.map((event: { type: string }) => event.type)
  t.ok(types.includes('dev.baton.callback.received'))
})

t.test('a forged address is 401 before anything is looked at', async (t) => {
  const bench = await startOrchestrator(t)
  const { url, runId, outputOf } = await begin(bench)
  const forged = createCallbackTokens('1'.repeat(64)).sign({ runId, path: 'a', generation: 0 })
  const asked = { key: null, text: '{' }
  for (const token of [forged, 'x', `${url().slice(11)}A`, url().slice(11, -1)]) {
    t.match(await bench.ask('POST', `/callbacks/${token}`, asked), { status: 401, body: { code: 'BTN_CALLBACK_TOKEN' } }, token)
  }
  t.equal((await bench.ask('GET', url(), { key: null })).status, 405)
  t.equal(await outputOf(), null)
  t.same(await bench.sql`select from inbox`, [])
})

t.test('of many at once, to two replicas, exactly one counts', async (t) => {
  const bench = await startOrchestrator(t)
  const { app: other } = await buildApp(settingsOf(bench))
  t.teardown(() => other.close())
  const { url, advance, outputOf } = await begin(bench)
  const post = (app: typeof other, n: number) => app.inject({ method: 'POST', url: url(), payload: { n } })
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => post(n % 2 === 0 ? bench.app : other, n)))
  const taken = answers.flatMap(({ statusCode }, n) => (statusCode === 202 ? [n] : []))
  t.equal(taken.length, 1)
  t.equal(answers.filter(({ statusCode }) => statusCode === 409).length, 19)
  await advance([answered()])
  t.match(await outputOf(), { body: { n: taken[0] } }, 'the one that was told so')
})

t.test('what has ended takes no callback, and what is done again takes one of its own', async (t) => {
  const bench = await startOrchestrator(t)
  const { id, call, advance, outputOf } = await begin(bench)
  await advance([answered()])
  await bench.post(`/api/v1/runs/${id}/cancel`)
  await advance()
  t.match(await call(1), { status: 409, body: { detail: /ended without a callback/ } })
  await bench.post(`/api/v1/runs/${id}/retry`)
  await advance()
  t.match(await call(1), { status: 409, body: { detail: /ended without a callback/ } }, 'that of the generation before')
  t.equal((await call(2, 1)).status, 202, 'and the new one before its call was answered')
  await advance([answered(1)])
  t.match(await outputOf(), { body: 2 })
  await bench.sql`delete from runs`
  t.match(await call(3, 2), { status: 404, body: { code: 'BTN_RUN_NOT_FOUND' } })
})

t.test('a callback that was accepted is not lost to a timeout that falls due at the same time', async (t) => {
  const bench = await startOrchestrator(t)
  const { call, runId, advance, outputOf } = await begin(bench)
  await advance([answered()])
  const timedOut: EngineFact = { kind: 'timer', path: 'a', timer: 'timeout', generation: 0, attempt: 1 }
  t.equal((await call('in time')).status, 202)
  const inbox = await bench.sql`delete from inbox returning namespace, fact::text`
  await t.rejects(advance([timedOut]), /the run moved meanwhile/, 'who has not seen the inbox cannot end the step')
  await bench.sql`insert into inbox (namespace, run_id, fact) values (${inbox[0]!.namespace}, ${runId}, ${inbox[0]!.fact}::text::json)`
  t.equal((await advance([timedOut])).status, 'succeeded')
  t.match(await outputOf(), { body: 'in time' })
})

t.test('bodies are read by their type, and bounded', async (t) => {
  const bench = await startOrchestrator(t, { BATON_CALLBACK_BYTES_MAX: '2000', BATON_JSON_DEPTH_MAX: '5' })
  const read = async (text: string | undefined, type: string | undefined, query = '') => {
    const { url, advance, outputOf } = await begin(bench)
    const headers = { authorization: 'Bearer x', cookie: 'a=b', 'x-mine': 'yes', ...(type ? { 'content-type': type } : {}) }
    const answer = await bench.app.inject({ method: 'POST', url: url() + query, headers, ...(text === undefined ? {} : { payload: text }) })
    if (answer.statusCode !== 202) return answer.statusCode
    await advance([answered()])
    return outputOf()
  }
  t.match(await read('{"a":[1]}', 'application/vnd.x+json', '?state=done&n=1&n=2'), {
    body: { a: [1] },
    query: { state: 'done', n: ['1', '2'] },
  })
  t.match(await read('plain \u0000', 'text/plain; charset=utf-8'), { body: 'plain \ufffd' })
  t.match(await read('a=1&b=2', 'application/x-www-form-urlencoded'), { body: { a: '1', b: '2' } })
  t.match(await read('bytes', 'application/octet-stream'), { body: Buffer.from('bytes').toString('base64') })
  t.match(await read('[1]', undefined), { body: [1] })
  t.match(await read('words', undefined), { body: 'words' })
  const empty = (await read(undefined, undefined)) as { headers: Record<string, string>; body: Json }
  t.equal(empty.body, null)
  t.match(empty.headers, { 'x-mine': 'yes' })
  for (const hidden of ['authorization', 'cookie']) t.notOk(hidden in empty.headers, hidden)
  t.equal(await read('{', 'application/json'), 400)
  t.equal(await read('[[[[[[1]]]]]]', 'application/json'), 422)
  t.equal(await read(JSON.stringify('x'.repeat(2_000)), 'application/json'), 413)
})
