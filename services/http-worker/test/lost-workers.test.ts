/** Workers that are killed, stopped and continued: their calls are taken over, and held calls are made once. */
import { keys } from '@baton/contracts'
import { REPEATED_AFTER_MS } from '@baton/runtime'
import { endProcess, stubServer, until } from '@baton/testing'
import t from 'tap'
import { callOf } from './calls.ts'
import { startHarness } from './harness.ts'

const SILENCE_MS = 3_000

t.test('a worker that is killed in the middle of calls is replaced within seconds', async (t) => {
  const h = await startHarness(t)
  const answers: (() => void)[] = []
  let open = false
  const stub = await stubServer(t, async () => {
    if (!open) await new Promise<void>((resolve) => answers.push(resolve))
    return { body: 'ok' }
  })
  const first = await h.workerProcess()
  const calls = [1, 2, 3].map(() => callOf({ url: stub.url }, { timeoutMs: 60_000 }))
  await h.send(calls.slice(0, 2))
  await h.send(calls.slice(2), 9)
  await until(() => stub.requests.length === 3)
  await h.workerProcess()
  // Held for longer than a takeover takes: kept alive, and not made twice.
  await until(() => Date.now() - stub.requests[0]!.at > SILENCE_MS + 2_500, { timeoutMs: 10_000 })
  t.equal(stub.requests.length, 3, 'long calls that are held are not made twice')
  t.equal((await h.results()).length, 0)

  open = true
  const killedAt = Date.now()
  await endProcess(first, 'SIGKILL')
  const results = await h.resultsOf(3)
  const tookMs = Date.now() - killedAt
  t.ok(tookMs >= 1_500 && tookMs < 6_000, `taken over after ${tookMs} ms`)
  t.same(new Set(results.map(({ runId }) => runId)), new Set(calls.map(({ runId }) => runId)))
  for (const { runId } of calls) {
    const keysSent = stub.requests
      .filter(({ headers }) => String(headers['idempotency-key']).includes(runId))
      .map(({ headers }) => headers['idempotency-key'])
    t.equal(keysSent.length, 2)
    t.equal(keysSent[0], keysSent[1], 'under the same Idempotency-Key')
  }
  await until(async () => (await h.pending()) === 0)
  for (const { runId } of calls) t.equal(await h.redis.exists(keys.inflight(`${runId}/charge/0/1`)), 0)
})

t.test('who comes in the place of a worker takes over what that held at once, and nothing of others', async (t) => {
  const h = await startHarness(t)
  let open = false
  const stub = await stubServer(t, async () => {
    await until(() => open, { timeoutMs: 60_000 })
    return { body: 'ok' }
  })
  const silence = { TAKEOVER_MS: '60000' }
  const first = await h.workerProcess({ PLACE: 'here', ...silence }, 4)
  // More than has room at once: what is left is looked for again.
  const calls = Array.from({ length: 12 }, () => callOf({ url: stub.url }, { timeoutMs: 60_000 }))
  for (const [lane, call] of calls.slice(0, 4).entries()) await h.send([call], lane)
  await until(() => stub.requests.length === 4)
  await h.send(calls.slice(4, 8), 5)
  const other = await h.workerProcess({ PLACE: 'elsewhere', ...silence })
  for (const [lane, call] of calls.slice(8).entries()) await h.send([call], lane)
  await until(() => stub.requests.length >= 8)
  await endProcess(first, 'SIGKILL')
  const made = stub.requests.length
  await h.workerProcess({ PLACE: 'here', ...silence }, 4)
  await until(() => stub.requests.length >= made + 4, { timeoutMs: 10_000 })
  open = true
  t.equal((await h.resultsOf(12)).length, 12)
  await until(async () => (await h.pending()) === 0)
  const repeated = calls.filter(
    ({ runId }) => stub.requests.filter(({ headers }) => String(headers['idempotency-key']).includes(runId)).length > 1,
  )
  t.ok(
    repeated.every((call) => calls.indexOf(call) < 4),
    'only calls that the first was making are made twice',
  )
  t.equal(other.exitCode, null)
})

t.test('a call that costs one worker after the other fails after the third, and others do not', async (t) => {
  const h = await startHarness(t)
  const stub = await stubServer(t, () => new Promise(() => {}))
  await h.send([callOf({ url: stub.url }, { timeoutMs: 60_000 })])
  for (let death = 1; death <= 3; death++) {
    const worker = await h.workerProcess()
    await until(() => stub.requests.length === death, { timeoutMs: 10_000 })
    await endProcess(worker, 'SIGKILL')
  }
  await h.workerProcess()
  const [result] = await h.resultsOf(1)
  t.match(result, { outcome: { status: 'failed', error: { code: 'BTN_WORKER_LOST' }, retryable: true } })
  t.equal(stub.requests.length, 3)
})

t.test('a worker that stood still begins nothing that another has done meanwhile', async (t) => {
  const h = await startHarness(t)
  const answers: (() => void)[] = []
  const stub = await stubServer(t, async () => {
    await new Promise<void>((resolve) => answers.push(resolve))
    return { body: 'ok' }
  })
  const first = await h.workerProcess({}, 1)
  const calls = [callOf({ url: stub.url }, { timeoutMs: 60_000 }), callOf({ url: stub.url }, { timeoutMs: 60_000 })]
  await h.send(calls)
  await until(() => stub.requests.length === 1)
  first.kill('SIGSTOP')
  await h.workerProcess()
  // One is made again (it was in flight), the other for the first time, by the second worker.
  await until(() => stub.requests.length === 3, { timeoutMs: 10_000 })
  first.kill('SIGCONT')
  for (const answer of answers) answer()
  const results = await h.resultsOf(3)
  t.equal(new Set(results.map(({ runId }) => runId)).size, 2)
  await until(async () => (await h.pending()) === 0)
  await endProcess(first, 'SIGTERM')
  t.equal(stub.requests.length, 3, 'the call that waited in the stopped worker is not made by it')
})

t.test('SIGTERM: what runs ends, the rest is handed back and nothing is left to take over, exit 0', async (t) => {
  const h = await startHarness(t)
  let slow = true
  const stub = await stubServer(t, async ({ path }) => {
    if (path === '/slow' && slow) await new Promise(() => {})
    return { body: 'ok' }
  })
  const first = await h.workerProcess({ GRACE_MS: '300' }, 1)
  const calls = [callOf({ url: `${stub.url}/slow` }, { timeoutMs: 60_000 }), callOf({ url: stub.url }), callOf({ url: stub.url })]
  await h.send(calls)
  await until(() => stub.requests.length === 1)
  // Or what was begun would first be given the time that it has after a restart of Redis.
  await until(async () => Number(/uptime_in_seconds:(\d+)/.exec(await h.redis.info('server'))?.[1]) * 1_000 > REPEATED_AFTER_MS)
  const exited = new Promise((resolve) => first.once('exit', (code, signal) => resolve([code, signal])))
  first.kill('SIGTERM')
  t.same(await exited, [0, null])
  t.equal(await h.pending(), 0, 'nobody has to wait for the silence of the worker that left')
  slow = false
  await h.workerProcess()
  t.equal((await h.resultsOf(3)).length, 3)
})

for (const what of ['hangs', 'forgets who holds a call'] as const) {
  t.test(`a Redis that ${what} does not have it made twice`, async (t) => {
    const h = await startHarness(t)
    let open = false
    const stub = await stubServer(t, async () => {
      await until(() => open, { timeoutMs: 60_000 })
      return { body: 'ok' }
    })
    for (let n = 0; n < 4; n++) await h.workerProcess()
    const calls = Array.from({ length: 8 }, () => callOf({ url: stub.url }, { timeoutMs: 60_000 }))
    for (const [lane, call] of calls.entries()) await h.send([call], lane)
    await until(() => stub.requests.length === 8)
    if (what === 'hangs') {
      // For longer than a takeover takes: whoever is answered first finds all others silent.
      await h.redis.call('CLIENT', 'PAUSE', '4000', 'ALL')
      await h.redis.ping()
    } else {
      await h.redis.flushall()
      for (const [lane, call] of calls.entries()) await h.send([{ ...call, resent: true }], lane)
    }
    await new Promise((resolve) => setTimeout(resolve, SILENCE_MS + 1_500))
    t.equal(stub.requests.length, 8, 'all are held, all the time')
    open = true
    t.equal((await h.resultsOf(8)).length, 8)
  })
}
