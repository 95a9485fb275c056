/** A host that fails makes its calls wait: none of them is lost, failed or made twice for it, and no other host's calls wait with them. */
import { randomUUIDv7 } from 'node:crypto'
import { type HttpCall, keys } from '@baton/contracts'
import { endProcess, stubServer, until } from '@baton/testing'
import t from 'tap'
import { caller, callOf } from './calls.ts'
import { openGate } from './gates.ts'
import { startHarness } from './harness.ts'

const calls = (count: number, url: string, more: Partial<HttpCall> = {}) => Array.from({ length: count }, () => callOf({ url }, more))

t.test('after so many failures in a row calls wait without a slot, and go on with the first success', async (t) => {
  const h = await startHarness(t)
  let works = false
  const failing = await stubServer(t, () => (works ? { body: 'ok' } : { status: 503 }))
  const other = await stubServer(t)
  const { make } = caller(t)
  const worker = h.worker({ makeCall: make, concurrency: 4, gate: await openGate(t, h.server.url) })
  for (const call of calls(3, failing.url)) await h.send([call])
  await h.resultsOf(3)
  // Shorter than the wait: it does not run meanwhile.
  const waiting = calls(20, failing.url, { timeoutMs: 300 })
  await h.send(waiting)
  await h.send(calls(4, other.url))
  const seven = await h.resultsOf(7)
  t.equal(seven.filter(({ outcome }) => outcome.status === 'succeeded').length, 4, 'the other host is not held up')
  t.equal(worker.running() + worker.waiting(), 0, 'those that wait take no slot')
  t.equal(failing.requests.length, 3)
  await until(() => failing.requests.length === 4, { what: 'a probe' })
  t.equal(await h.pending(), 1, 'their entry is kept')
  works = true
  const results = await h.resultsOf(27)
  t.equal(results.filter(({ outcome }) => outcome.status === 'failed').length, 4, 'the three that opened it and one probe')
  t.equal(failing.requests.length, 3 + 20)
  await until(async () => (await h.pending()) === 0)
})

t.test('answers that are no failure of the host leave the breaker closed, and a success begins the count anew', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t, ({ path }) => ({ status: Number(path.slice(1)) }))
  const { make } = caller(t)
  h.worker({ makeCall: make, concurrency: 1, gate: await openGate(t, h.server.url) })
  const statuses = [500, 500, 404, 500, 500, 200, 500, 500, 429, 500, 500]
  await h.send(statuses.map((status) => callOf({ url: `${stub.url}/${status}` })))
  await h.resultsOf(statuses.length)
  await h.send(calls(1, `${stub.url}/500`, { namespace: 'other' }))
  await h.resultsOf(statuses.length + 1)
  await h.send(calls(1, `${stub.url}/500`))
  await h.resultsOf(statuses.length + 2)
})

t.test('a call that has waited long enough is made, whatever comes of it, and only some of these at once', async (t) => {
  const h = await startHarness(t)
  let open = 0
  let most = 0
  const stub = await stubServer(t, async (_, index) => {
    if (index < 3) return { status: 500 }
    most = Math.max(most, ++open)
    await new Promise((resolve) => setTimeout(resolve, 50))
    open--
    return { status: 500 }
  })
  const { make } = caller(t)
  h.worker({ makeCall: make, gate: await openGate(t, h.server.url, { waitMs: 400, overdueMax: 2 }) })
  for (const call of calls(3, stub.url)) await h.send([call])
  await h.resultsOf(3)
  const startedAt = Date.now()
  await h.send(calls(8, stub.url))
  const results = await h.resultsOf(11)
  t.ok(Date.now() - startedAt >= 400)
  t.ok(most <= 3, `${most} at once: two that are overdue, and a probe`)
  t.equal(
    results.filter(({ outcome }) => outcome.status === 'failed' && outcome.error.status === 500).length,
    11,
    'each has an answer of its host',
  )
})

t.test('a full room slows the reading, and loses nothing', async (t) => {
  const h = await startHarness(t)
  let works = false
  const stub = await stubServer(t, () => ({ status: works ? 200 : 500 }))
  const { make } = caller(t)
  const worker = h.worker({ makeCall: make, concurrency: 4, gate: await openGate(t, h.server.url, { calls: 5 }) })
  for (const call of calls(3, stub.url)) await h.send([call])
  await h.resultsOf(3)
  for (const call of calls(30, stub.url)) await h.send([call])
  await until(() => worker.running() === 4)
  works = true
  const results = await h.resultsOf(33)
  t.equal(new Set(results.map(({ runId }) => runId)).size, 33)
  await until(async () => (await h.pending()) === 0)
})

t.test('a call that waits is withdrawn soon after its run begins to end', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t, () => ({ status: 500 }))
  const { make } = caller(t)
  const ending = new Set<string>()
  const gate = await openGate(t, h.server.url)
  h.worker({
    makeCall: make,
    gate,
    isEnding: (runId) => ending.has(runId),
    isWanted: async ({ call }) => !ending.has(call.runId),
  })
  for (const call of calls(3, stub.url)) await h.send([call])
  await h.resultsOf(3)
  const [first, second] = [randomUUIDv7(), randomUUIDv7()]
  await h.send([callOf({ url: stub.url }, { runId: first }), callOf({ url: stub.url }, { runId: second })])
  ending.add(second)
  const found = await until(async () => (await h.results()).find(({ runId }) => runId === second))
  t.match(found.outcome, { error: { code: 'BTN_WITHDRAWN' } })
  t.notOk(
    stub.requests.some(({ headers }) => String(headers['idempotency-key']).includes(second)),
    'it was not made',
  )
})

t.test('stopping hands back at once what waits', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t, (_, index) => ({ status: index < 3 ? 500 : 200 }))
  const { make } = caller(t)
  const worker = h.worker({ makeCall: make, concurrency: 2, gate: await openGate(t, h.server.url, { calls: 4 }) })
  for (const call of calls(3, stub.url)) await h.send([call])
  await h.resultsOf(3)
  const waiting = calls(6, stub.url)
  for (const call of waiting) await h.send([call])
  await until(() => worker.running() === 2)
  const startedAt = Date.now()
  await worker.stop(20_000)
  t.ok(Date.now() - startedAt < 3_000, 'those that wait are not waited for')
  t.equal(await h.pending(), 0)
  h.worker({ makeCall: make })
  const results = await h.resultsOf(9)
  const answered = new Set(results.map(({ runId }) => runId))
  t.ok(waiting.every(({ runId }) => answered.has(runId)))
})

t.test('a worker that is killed while calls wait in it loses none, and none of them is made twice', async (t) => {
  const h = await startHarness(t)
  let works = false
  const stub = await stubServer(t, () => ({ status: works ? 200 : 503 }))
  const first = await h.workerProcess({ BREAKER_FAILURES: '3' })
  for (const call of calls(3, stub.url)) await h.send([call])
  await h.resultsOf(3)
  const waiting = calls(40, stub.url)
  for (let at = 0; at < 40; at += 8) await h.send(waiting.slice(at, at + 8), at / 8)
  // Others see that they are held, for longer than a takeover takes; some probe meanwhile, and are answered.
  const isAnnounced = ({ runId }: HttpCall) => h.redis.exists(keys.inflight(`${runId}/charge/0/1`))
  await until(async () => (await Promise.all(waiting.map(isAnnounced))).filter(Boolean).length > 30, { timeoutMs: 10_000 })
  await h.workerProcess({ BREAKER_FAILURES: '3' })
  const madeBefore = stub.requests.length
  await until(() => stub.requests.length > madeBefore + 1, { timeoutMs: 20_000, what: 'two more probes' })
  await endProcess(first, 'SIGKILL')
  works = true
  const results = await h.resultsOf(43)
  const answered = new Set(results.map(({ runId }) => runId))
  t.ok(waiting.every(({ runId }) => answered.has(runId)))
  const timesMade = waiting.map(
    ({ runId }) => stub.requests.filter(({ headers }) => String(headers['idempotency-key']).includes(runId)).length,
  )
  t.ok(timesMade.every((times) => times >= 1))
  t.ok(timesMade.filter((times) => times > 1).length <= 1, `${timesMade}: but for a probe that was under way`)
  await until(async () => (await h.pending()) === 0)
})
