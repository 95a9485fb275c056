/** Order, joins, skips and errors of steps, and the kinds set, switch, wait, fail and agent. */
import { stubServer } from '@baton/testing'
import type { Test } from 'tap'
import { type Contract, expectProblem, freshName, type Loose, must } from './contract-harness.ts'

const set = (x: unknown = 1) => ({ set: { x } })
const FAIL = { fail: { code: 'OUT_OF_STOCK', message: 'none left' } }

/** Steps. */
export async function judgeSteps(t: Test, contract: Contract): Promise<void> {
  await t.test('run in the order that they need', (t) => ordering(t, contract))
  await t.test('are skipped, joined and tolerated', (t) => satisfying(t, contract))
  await t.test('that fail end the run', (t) => failing(t, contract))
  await t.test('of kind switch take one branch', (t) => switching(t, contract))
  await t.test('of kind wait and their timeouts', (t) => waiting(t, contract))
  await t.test('of kind agent ask a model', (t) => asking(t, contract))
  await t.test('that do not run yet are refused when saved', (t) => later(t, contract))
}

/** The steps of a run by path. */
async function stepsOf({ list }: Contract, run: Loose): Promise<Record<string, Loose>> {
  return Object.fromEntries((await list(`/api/v1/runs/${run.id}/steps`)).map((step) => [step.path, step]))
}

/** The step paths in the order in which they ended. */
async function endedOrder({ events }: Contract, run: Loose): Promise<string[]> {
  const ended = (await events(run.id)).filter((event) => /step\.(succeeded|failed|skipped|cancelled)$/.test(event.type))
  return ended.map((event) => event.subject)
}

async function ordering(t: Test, contract: Contract) {
  const { runSteps } = contract
  const list = await runSteps([
    { id: 'c', ...set() },
    { id: 'b', ...set() },
    { id: 'a', ...set() },
  ])
  t.strictSame(await endedOrder(contract, list), ['c', 'b', 'a'], 'a list is a sequence')
  const map = await runSteps(
    { c: { ...set(), needs: ['b'] }, b: set('${{ steps.a.output.x }}'), a: set(7) },
    { output: '${{ steps.b.output.x }}' },
  )
  t.strictSame(await endedOrder(contract, map), ['a', 'b', 'c'], 'a map is a graph')
  t.equal(map.output, 7)
  const needs = await runSteps({ b: { ...set(), needs: 'a' }, a: { wait: { for: '50ms' } } })
  t.strictSame(await endedOrder(contract, needs), ['a', 'b'])
  const began = Date.now()
  const wide = await runSteps(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`w${i}`, { wait: { for: '300ms' } }])))
  t.equal(wide.status, 'succeeded')
  t.ok(Date.now() - began < 4_000, 'steps that need nothing run side by side')
  const mentions = [
    { if: 'steps.a.output.x == 7', ...set() },
    { http: { url: 'http://127.0.0.1:9/${{ steps.a.output.x }}' }, onError: 'continue' },
    { switch: { cases: [{ if: 'true', steps: { i: set('${{ steps.a.output.x }}') } }] } },
  ]
  for (const body of mentions) {
    t.strictSame((await endedOrder(contract, await runSteps({ z: body, a: { ...set(7) } })))[0], 'a', 'what a step mentions it needs')
  }
}

async function satisfying(t: Test, contract: Contract) {
  const { runSteps } = contract
  const skipped = await runSteps({
    a: { if: 'false', ...set() },
    b: { needs: ['a'], ...set('${{ steps.a.output }}') },
    c: { needs: [{ step: 'a', require: 'succeeded' }], ...set() },
    d: { needs: ['c'], ...set('${{ steps.a.?output.?x.orValue(5) }}') },
  })
  t.match(await stepsOf(contract, skipped), {
    a: { status: 'skipped', output: null },
    b: { status: 'succeeded', output: { x: null } },
    c: { status: 'skipped' },
    d: { status: 'succeeded', output: { x: 5 } },
  })
  t.equal(skipped.status, 'succeeded')

  const tolerated = await runSteps(
    {
      a: { ...FAIL, onError: 'continue' },
      b: { ...FAIL, onError: { output: { x: 2 } } },
      c: { needs: ['a'], ...set('${{ steps.b.output.x }}') },
      d: { needs: [{ step: 'b', require: 'succeeded' }], ...set() },
    },
    { output: '${{ [steps.a.status, steps.a.error.code, steps.a.output, steps.c.output.x] }}' },
  )
  t.match(tolerated, { status: 'succeeded', output: ['failed', 'OUT_OF_STOCK', null, 2], error: null })
  t.match(await stepsOf(contract, tolerated), {
    a: { status: 'failed' },
    b: { status: 'failed', output: { x: 2 } },
    d: { status: 'skipped' },
  })

  const any = await runSteps(
    {
      fast: set('fast'),
      slow: { wait: { for: '400ms' } },
      first: { join: 'any', needs: ['fast', 'slow'], ...set('${{ steps.slow.status }}') },
      after: { needs: ['first'], ...set() },
    },
    { output: '${{ [steps.first.output.x, steps.slow.status] }}' },
  )
  t.equal(any.status, 'succeeded')
  t.match(any.output[0], /^(waiting|running|ready|pending)$/, 'the unfinished one reads as it was')
  t.equal(any.output[1], 'succeeded', 'and it went on')
  t.strictSame((await endedOrder(contract, any)).slice(-1), ['slow'])
  const none = await runSteps({
    a: { if: 'false', ...set() },
    b: { ...FAIL, onError: 'continue' },
    c: { join: 'any', needs: ['a', 'b'], ...set() },
  })
  t.match(await stepsOf(contract, none), { c: { status: 'skipped' } }, 'skipped when none succeeded')
  const one = await runSteps({
    a: { if: 'false', ...set() },
    b: { ...FAIL, onError: 'continue' },
    d: set(),
    c: { join: 'any', needs: ['a', 'b', 'd'], ...set() },
  })
  t.match(await stepsOf(contract, one), { c: { status: 'succeeded' } })
}

async function failing(t: Test, contract: Contract) {
  const { runSteps, saveSteps, start, events } = contract
  const run = await runSteps(
    [
      { id: 'a', ...set() },
      { id: 'b', fail: { code: 'OUT_OF_STOCK', message: 'no ${{ steps.a.output.x }} left' } },
      { id: 'c', ...set() },
    ],
    { output: '${{ steps.c.output }}' },
  )
  t.match(run, { status: 'failed', output: null, error: { code: 'OUT_OF_STOCK', message: 'no 1 left', step: 'b' }, endedAt: String })
  const steps = await stepsOf(contract, run)
  t.match(steps, { a: { status: 'succeeded' }, b: { status: 'failed', error: { code: 'OUT_OF_STOCK', message: 'no 1 left' } } })
  t.notMatch(steps['c']?.status, /succeeded|skipped/, 'nothing new starts')
  t.notOk((await events(run.id)).some((event) => event.subject === 'c' && /scheduled|started/.test(event.type)))

  const stub = await stubServer(t, async () => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    return { body: { late: true } }
  })
  const flight = await runSteps({
    call: { http: { url: stub.url } },
    sleep: { wait: { for: '1h' } },
    soon: { wait: { for: '100ms' } },
    bad: { needs: ['soon'], ...FAIL },
    never: { needs: ['call'], ...set() },
  })
  t.match(flight, { status: 'failed', error: { code: 'OUT_OF_STOCK' } })
  const after = await stepsOf(contract, flight)
  t.match(after['call'], { status: 'succeeded', output: { body: { late: true } } }, 'calls in flight finish and are recorded')
  t.equal(after['sleep'].status, 'cancelled', 'waiting steps are cancelled')
  t.notMatch(after['never']?.status, /succeeded/)
  const types = (await events(flight.id)).map((event) => event.type)
  t.equal(types.at(-1), 'dev.baton.run.failed')

  const timed = await start(await saveSteps({ a: { wait: { for: '1h' } } }, { timeout: '300ms' }), {}, { wait: '20s' })
  t.match(timed, { status: 'timed_out', error: { code: 'BTN_RUN_TIMEOUT' } })
  t.match(await stepsOf(contract, timed), { a: { status: 'cancelled' } })
  t.equal((await events(timed.id)).at(-1).type, 'dev.baton.run.timed_out')
}

async function switching(t: Test, contract: Contract) {
  const { saveSteps, start } = contract
  const name = await saveSteps(
    {
      route: {
        switch: {
          cases: [
            {
              if: 'input.n > 10',
              steps: { big: set('big ${{ input.n }}'), more: { needs: ['big'], ...set('${{ steps.big.output.x }}!') } },
            },
            { if: '${{ input.n > 5 }}', steps: [{ id: 'mid', ...set('mid') }] },
            { if: 'input.n < 0', steps: { bad: FAIL } },
          ],
          ...{ default: { steps: { small: set('${{ steps.before.output.x }}') } } },
        },
      },
      before: set('small'),
      after: { ...set('${{ steps.route.output.case }}') },
    },
    { output: '${{ steps.route.output }}' },
  )
  const outputOf = async (n: number) => start(name, { input: { n } }, { wait: '20s' })
  const big = await outputOf(11)
  t.strictSame(big.output, { case: 0, outputs: { big: { x: 'big 11' }, more: { x: 'big 11!' } } })
  t.match(await stepsOf(contract, big), {
    'route.big': { status: 'succeeded', kind: 'set' },
    'route.more': { status: 'succeeded' },
    route: { kind: 'switch', status: 'succeeded' },
  })
  t.notOk((await stepsOf(contract, big))['route.small'])
  t.match((await outputOf(6)).output, { case: 1, outputs: { mid: { x: 'mid' } } })
  t.strictSame((await outputOf(1)).output, { case: 'default', outputs: { small: { x: 'small' } } })
  t.match(await outputOf(-1), { status: 'failed', error: { code: 'OUT_OF_STOCK', step: 'route.bad' } })
  const none = await contract.runSteps(
    { r: { switch: { cases: [{ if: 'false', steps: { a: set() } }] } } },
    { output: '${{ steps.r.output }}' },
  )
  t.match(none, { status: 'succeeded', output: { case: null } })
  const deep = await contract.runSteps(
    { r: { switch: { cases: [{ if: 'true', steps: { q: { switch: { cases: [{ if: 'true', steps: { z: set('deep') } }] } } } }] } } },
    { output: '${{ steps.r.output.outputs.q.outputs.z.x }}' },
  )
  t.equal(deep.output, 'deep')
  t.match(must(await contract.call('GET', `/api/v1/runs/${deep.id}/steps/r.q.z`), 200), { path: 'r.q.z', output: { x: 'deep' } })
}

async function waiting(t: Test, contract: Contract) {
  const { runSteps } = contract
  const at = new Date(Date.now() + 400).toISOString()
  const run = await runSteps(
    {
      a: { wait: { for: '200ms' } },
      b: { wait: { until: '${{ input.at }}' } },
      c: { wait: { until: '2020-01-01T00:00:00Z' } },
      d: { wait: { for: 'PT0.1S' } },
      e: { wait: { for: '${{ input.d }}' } },
    },
    { input: { at, d: '50ms' } },
  )
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const steps = await stepsOf(contract, run)
  t.ok(steps['a'].output.waitedMs >= 190 && steps['a'].output.waitedMs < 3_000, `waited ${steps['a'].output.waitedMs} ms`)
  t.ok(Date.parse(steps['b'].endedAt) >= Date.parse(at), 'not before its time')
  t.ok(steps['c'].output.waitedMs < 1_000, 'a time that is over')
  const late = await runSteps({ a: { wait: { for: '1h' }, timeout: '100ms' } })
  t.match(late, { status: 'failed', error: { code: 'BTN_TIMEOUT', step: 'a' } }, 'timeout bounds the whole wait')
}

async function asking(t: Test, contract: Contract) {
  const { runSteps } = contract
  const schema = { type: 'object', required: ['answer'], properties: { answer: { type: 'string' }, n: { type: 'integer' } } }
  const run = await runSteps(
    {
      a: { agent: { model: 'mock/echo', instructions: 'Be brief.', prompt: 'Say ${{ input.what }}' } },
      b: { agent: { model: 'mock/echo', prompt: '${{ steps.a.output.text }}', output: schema } },
    },
    { input: { what: 'hello' } },
  )
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const { a, b } = await stepsOf(contract, run)
  t.match(a.output, { text: /hello/, data: null, turns: 1, usage: { inputTokens: Number, outputTokens: Number, usd: Number } })
  t.match(b.output.data, { answer: String }, 'an answer as its schema says')
  const failed = await runSteps({ a: { agent: { model: 'mock/fail', prompt: 'x' }, retry: { attempts: 3, initial: '1ms' } } })
  t.match(failed, { status: 'failed', error: { code: 'BTN_AGENT' } })
  t.match(await runSteps({ a: { agent: { model: 'nobody/knows', prompt: 'x' } } }), {
    status: 'failed',
    error: { code: 'BTN_AGENT_MODEL' },
  })
  const slow = await runSteps({ a: { agent: { model: 'mock/slow-5000', prompt: 'x' }, timeout: '200ms' } })
  t.match(slow, { status: 'failed', error: { code: 'BTN_TIMEOUT' } })
  const again = await runSteps({ a: { agent: { model: 'mock/fail-503', prompt: 'x' }, retry: { attempts: 2, initial: '5ms' } } })
  t.match(await stepsOf(contract, again), { a: { status: 'failed', attempt: 2 } })
}

/** What the plan carries and this version does not run is told when it is saved, not when it is too late. */
async function later(t: Test, { call }: Contract) {
  const bodies: Record<string, unknown> = {
    forEach: { in: '${{ input.list }}', steps: { i: set() } },
    loop: { steps: { i: set() }, until: 'true', max: 2 },
    workflow: { name: 'other' },
    waitFor: { event: 'x' },
    emit: { type: 'x' },
    task: { capabilities: ['x'] },
  }
  for (const [kind, body] of Object.entries(bodies)) {
    const steps = { a: { [kind]: body } }
    const answer = await call('PUT', `/api/v1/workflows/${freshName()}`, { body: { steps } })
    if (answer.status !== 201) expectProblem(t, answer, { status: 422, code: 'BTN_UNSUPPORTED', pointer: `/steps/a/${kind}` }, kind)
  }
}
