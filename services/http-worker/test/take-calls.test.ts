/** Calls of the stream are each made once, answered, and acknowledged last. */
import { ENTRY_FIELD, type HttpCall, keys } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import type { Outcome } from '../src/call-http.ts'
import { callOf } from './calls.ts'
import { startHarness } from './harness.ts'

const OK: Outcome = { status: 'succeeded', output: { status: 200 } }
const call = (more: Partial<HttpCall> = {}) => callOf({ url: 'http://shop.example/' }, more)
const idOf = ({ runId, path, generation, attempt }: { runId: string; path: string; generation: number; attempt: number }) =>
  `${runId}/${path}/${generation}/${attempt}`
t.test('each call of a pack is answered by its own fact, and the entry is gone when all are', async (t) => {
  const h = await startHarness(t)
  const gates = new Map<string, () => void>()
  const calls = [call(), call({ attempt: 2 }), call({ generation: 1 })]
  h.worker({ makeCall: (made) => new Promise((resolve) => gates.set(idOf(made), () => resolve(OK))) })
  await h.send(calls, 3)
  await until(() => gates.size === 3)
  gates.get(idOf(calls[1]!))!()
  const [first] = await h.resultsOf(1)
  t.match(first, { kind: 'result', runId: calls[1]!.runId, attempt: 2, generation: 0, outcome: OK, startedAt: Number })
  t.equal(await h.pending(), 1, 'not acknowledged while calls of the pack are open')
  for (const gate of gates.values()) gate()
  t.same((await h.resultsOf(3)).map(idOf).sort(), calls.map(idOf).sort())
  await until(async () => (await h.pending()) === 0)
  await until(async () => (await h.redis.xlen(keys.calls(3))) === 0)
})

t.test('no more calls run at once than there are slots, and no more are read than fit', async (t) => {
  const h = await startHarness(t)
  let running = 0
  let most = 0
  const ends: (() => void)[] = []
  const worker = h.worker({
    concurrency: 4,
    makeCall: async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => ends.push(resolve))
      running--
      return OK
    },
  })
  for (let i = 0; i < 40; i++) await h.send([call()])
  await until(() => running === 4)
  t.ok(worker.waiting() <= 4, `${worker.waiting()} wait here, the others are free for other workers`)
  const end = setInterval(() => ends.shift()?.(), 1)
  t.teardown(() => clearInterval(end))
  t.equal((await h.resultsOf(40)).length, 40)
  t.equal(most, 4)
})

t.test('while Postgres is away nothing is dropped and nothing is failed', async (t) => {
  const h = await startHarness(t)
  let away = true
  let asks = 0
  h.worker({
    isWanted: async () => {
      asks++
      if (away) throw new Error('connection refused')
      return true
    },
    makeCall: async () => OK,
  })
  await h.send([call({ resent: true })])
  await until(() => asks >= 2)
  t.equal((await h.results()).length, 0)
  away = false
  t.match(await h.resultsOf(1), [{ outcome: OK }])
})

t.test('an entry that cannot be read is dropped, and the next one is made', async (t) => {
  const h = await startHarness(t)
  h.worker({ makeCall: async () => OK })
  await h.redis.xadd(keys.calls(0), '*', ENTRY_FIELD, '{"not":"calls"}')
  await h.redis.xadd(keys.calls(0), '*', ENTRY_FIELD, '[{"runId":1}]')
  await h.redis.xadd(keys.calls(0), '*', 'other', 'field')
  await h.send([call()])
  await h.resultsOf(1)
  await until(async () => (await h.pending()) === 0)
})

t.test('FLUSHALL while calls are read and made loses neither the worker nor the results', async (t) => {
  const h = await startHarness(t)
  let end = () => {}
  let made = 0
  h.worker({
    makeCall: async () => {
      if (++made === 1) {
        await new Promise<void>((resolve) => {
          end = resolve
        })
      }
      return OK
    },
  })
  const held = call()
  await h.send([held])
  await until(() => made === 1)
  await until(() => h.redis.exists(keys.inflight(idOf(held))), { timeoutMs: 5_000, what: 'the call to be announced' })
  await h.server.flushAll()
  await until(() => h.redis.exists(keys.inflight(idOf(held))), { timeoutMs: 5_000, what: 'the call to be announced again' })
  end()
  await h.resultsOf(1)
  await h.send([call()], 5)
  t.equal((await h.resultsOf(2)).length, 2)
})

t.test('Redis restarted without its data: the worker comes back and goes on', async (t) => {
  const h = await startHarness(t)
  h.worker({ makeCall: async () => OK })
  await h.send([call()])
  await h.resultsOf(1)
  await h.server.restart()
  await h.send([call()])
  await h.resultsOf(1)
})

t.test('stopping hands back at once what was not begun, and what does not end in time', async (t) => {
  const h = await startHarness(t)
  let made = 0
  const first = h.worker({
    concurrency: 2,
    makeCall: () => {
      made++
      return new Promise(() => {})
    },
  })
  const calls = [call(), call(), call(), call()]
  await h.send(calls)
  await until(() => made === 2)
  await first.stop(20)
  t.equal(await h.pending(), 0, 'nothing is left to be missed')
  const again: HttpCall[] = []
  h.worker({
    makeCall: async (one) => {
      again.push(one)
      return OK
    },
  })
  t.equal((await h.resultsOf(4)).length, 4)
  t.same(again.map(idOf).sort(), calls.map(idOf).sort())
  t.equal(again.filter(({ resent }) => resent).length, 2, 'those that were begun are asked about')
})

t.test('stopping waits for what ends in time, and acknowledges it', async (t) => {
  const h = await startHarness(t)
  let end = () => {}
  const worker = h.worker({
    makeCall: async () => {
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return OK
    },
  })
  await h.send([call()])
  await until(() => worker.running() === 1)
  const stopped = worker.stop(10_000)
  end()
  await stopped
  t.equal((await h.results()).length, 1)
  t.equal(await h.pending(), 0)
})

t.test('stopping while Redis is away does not hang', async (t) => {
  const h = await startHarness(t)
  const worker = h.worker({ makeCall: async () => OK })
  await h.send([call()])
  await h.resultsOf(1)
  await h.server.kill()
  const startedAt = Date.now()
  await worker.stop(0)
  t.ok(Date.now() - startedAt < 4_000)
})
