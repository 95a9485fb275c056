/** Starting, waiting for and finding runs. */
import { type Test, test } from 'tap'
import { judgeExpressions } from './contract-expressions.ts'
import { type Contract, expectProblem, type Loose, must, openContract } from './contract-harness.ts'
import { judgeHttp } from './contract-http.ts'
import { judgeRunViews } from './contract-run-views.ts'
import { judgeSteps } from './contract-steps.ts'

const RUN_ID = /^run_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const set = (x: unknown = 1) => ({ set: { x } })
const GATE = { approval: { title: 'Go on?', assignees: ['role:admin'], allowSelf: true } }

test('runs', { timeout: 110_000 }, async (t) => {
  const contract = await openContract(t)
  await t.test('start once for an idempotency key', (t) => idempotency(t, contract))
  await t.test('start in batches', (t) => batches(t, contract))
  await t.test('can be waited for', (t) => waiting(t, contract))
  await t.test('are found by their filters', (t) => filters(t, contract))
  await t.test('a run', (t) => judgeRunViews(t, contract))
  await t.test('expressions', (t) => judgeExpressions(t, contract))
  await t.test('steps', (t) => judgeSteps(t, contract))
  await t.test('the http kind', (t) => judgeHttp(t, contract))
})

async function idempotency(t: Test, { call, saveSteps, makeKey }: Contract) {
  const name = await saveSteps({ a: set() })
  const other = await saveSteps({ a: set(2) })
  const start = (body: unknown, key: string, workflow = name) =>
    call('POST', `/api/v1/workflows/${workflow}/runs`, { body, headers: { 'idempotency-key': key } })
  const first = await start({ input: { n: 1 } }, 'k1')
  t.match(first, { status: 202, body: { id: RUN_ID } })
  t.match(await start({ input: { n: 1 } }, 'k1'), { status: 200, body: { id: first.body.id } })
  const mismatch = await start({ input: { n: 2 } }, 'k1')
  expectProblem(t, mismatch, { status: 422, code: 'BTN_IDEMPOTENCY_MISMATCH' }, 'another body')
  expectProblem(
    t,
    await start({ input: { n: 1 }, labels: { a: 'b' } }, 'k1'),
    { status: 422, code: 'BTN_IDEMPOTENCY_MISMATCH' },
    'other labels',
  )
  const elsewhere = await start({ input: { n: 1 } }, 'k1', other)
  t.match(elsewhere.status, 202, 'the key is one of the workflow')
  t.not(elsewhere.body.id, first.body.id)
  const raced = await Promise.all(Array.from({ length: 20 }, () => start({ input: {} }, 'race')))
  t.equal(new Set(raced.map((answer) => answer.body.id)).size, 1, 'twenty at once start one')
  t.equal(raced.filter((answer) => answer.status === 202).length, 1)
  t.equal(raced.filter((answer) => answer.status === 200).length, 19)
  t.equal((await start({}, 'k'.repeat(255))).status, 202)
  const again = await call('POST', `/api/v1/workflows/${name}/runs?wait=10s`, {
    body: { input: { n: 1 } },
    headers: { 'idempotency-key': 'k1' },
  })
  t.match(again, { status: 200, body: { id: first.body.id, status: 'succeeded' } })
  const operator = await makeKey('operator')
  t.match(
    await call('POST', `/api/v1/workflows/${name}/runs`, {
      body: { input: { n: 1 } },
      headers: { 'idempotency-key': 'k1' },
      key: operator.key,
    }),
    { status: 200, body: { id: first.body.id } },
  )
}

async function batches(t: Test, { call, saveSteps, ended }: Contract) {
  const name = await saveSteps({ a: set('${{ input.n }}') }, { output: '${{ steps.a.output.x }}' })
  const items = Array.from({ length: 1000 }, (_, n) => ({
    input: { n },
    labels: { part: n % 2 ? 'odd' : 'even' },
    ...(n < 3 ? { idempotencyKey: `b${n}` } : {}),
  }))
  const answer = await call('POST', `/api/v1/workflows/${name}/runs/batch`, { body: { items } })
  t.equal(answer.status, 202, JSON.stringify(answer.body).slice(0, 300))
  t.equal(answer.body.items.length, 1000)
  t.strictSame(
    answer.body.items.map((run: Loose) => run.input.n),
    items.map((item) => item.input.n),
    'in order',
  )
  t.equal(new Set(answer.body.items.map((run: Loose) => run.id)).size, 1000)
  const again = must(
    await call('POST', `/api/v1/workflows/${name}/runs/batch`, { body: { items: [items[1], { input: { n: -1 } }] } }),
    200,
    202,
  )
  t.equal(again.items[0].id, answer.body.items[1].id, 'a known key gives the first run')
  t.not(again.items[1].id, answer.body.items[2].id)
  const wrong = await call('POST', `/api/v1/workflows/${name}/runs/batch`, { body: { items: [{ input: { n: 9 }, idempotencyKey: 'b2' }] } })
  expectProblem(t, wrong, { status: 422, code: /MISMATCH|INVALID/ }, 'a known key with another body')
  const ends = await Promise.all(answer.body.items.slice(-5).map((run: Loose) => ended(run.id)))
  t.strictSame(
    ends.map((run) => run.output),
    [995, 996, 997, 998, 999],
  )
  t.equal(must(await call('GET', `/api/v1/runs/count?workflow=${name}&label=part:odd`), 200).count, 500)
}

async function waiting(t: Test, { call, saveSteps, start, approvalOf }: Contract) {
  const quick = await saveSteps({ a: set() }, { output: '${{ steps.a.output.x }}' })
  t.match(await start(quick, {}, { wait: '30s' }), { status: 'succeeded', output: 1 })
  const gated = await saveSteps({ a: GATE })
  const began = Date.now()
  const open = await start(gated, {}, { wait: '300ms' })
  t.match(open.status, /^(running|waiting)$/, 'when the time is up it answers as it is')
  t.ok(Date.now() - began < 5_000)
  await approvalOf(open.id)
  const waiter = call('GET', `/api/v1/runs/${open.id}?wait=30s`)
  must(await call('POST', `/api/v1/runs/${open.id}/approvals/a/decision`, { body: { decision: 'approve' } }), 200)
  t.match(await waiter, { status: 200, body: { status: 'succeeded' } }, 'the end answers at once')
  t.match(await call('GET', `/api/v1/runs/${open.id}?wait=60s`), { status: 200, body: { status: 'succeeded' } })
}

async function filters(t: Test, { call, saveSteps, start, ended, list, approvalOf }: Contract) {
  const name = await saveSteps({ a: { if: 'input.gate', ...GATE }, b: { if: 'input.bad', fail: { message: 'x' } } })
  const begin = async (input: unknown, labels: Record<string, string>) => (await start(name, { input, labels })).id
  const good = await begin({ gate: false, bad: false }, { team: 'red', 'a.b/c': 'x:y' })
  const bad = await begin({ gate: false, bad: true }, { team: 'red', env: 'prod' })
  const open = await begin({ gate: true, bad: false }, { team: 'blue', env: 'prod' })
  await Promise.all([ended(good), ended(bad), approvalOf(open)])
  const found = async (query: string) => (await list(`/api/v1/runs?workflow=${name}&${query}`)).map((run) => run.id).sort()
  const count = async (query: string) => must(await call('GET', `/api/v1/runs/count?workflow=${name}&${query}`), 200).count
  const table: [string, string[]][] = [
    ['status=succeeded', [good]],
    ['status=failed', [bad]],
    ['status=succeeded,failed', [good, bad]],
    ['status=succeeded&status=failed', [good, bad]],
    ['status=cancelled', []],
    ['label=team:red', [good, bad]],
    ['label=team:red&label=env:prod', [bad]],
    ['label=env:prod&status=waiting', [open]],
    ['label=a.b/c:x:y', [good]],
    ['label=team:re', []],
  ]
  for (const [query, ids] of table) {
    t.strictSame(await found(query), [...ids].sort(), query)
    t.equal(await count(query), ids.length, `count ${query}`)
  }
  t.match(must(await call('GET', `/api/v1/runs/${bad}`), 200), { labels: { team: 'red', env: 'prod' }, priority: 5 })
  t.equal((await start(name, { input: { gate: false, bad: false }, priority: 9 })).priority, 9)
  t.equal((await start(name, { input: { gate: false, bad: false }, priority: 0 })).priority, 0)
  t.strictSame(must(await call('GET', '/api/v1/runs?workflow=nope'), 200), { items: [], nextCursor: null })
}
