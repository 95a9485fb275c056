/** Calls that may be late, doubled or unwanted are asked about before they are made. */
import { ENTRY_FIELD, type HttpCall, keys, partitionOf } from '@baton/contracts'
import { connectRedis, NotBegun } from '@baton/runtime'
import { until } from '@baton/testing'
import t from 'tap'
import type { Outcome } from '../src/call-http.ts'
import { hearEndings } from '../src/hear-endings.ts'
import { callOf } from './calls.ts'
import { startHarness } from './harness.ts'

const OK: Outcome = { status: 'succeeded', output: { status: 200 } }
const call = (more: Partial<HttpCall> = {}) => callOf({ url: 'http://shop.example/' }, more)
const idOf = ({ runId, path, generation, attempt }: { runId: string; path: string; generation: number; attempt: number }) =>
  `${runId}/${path}/${generation}/${attempt}`

t.test('a call that is in hand is not begun again when it is sent again', async (t) => {
  const h = await startHarness(t)
  let made = 0
  let end = () => {}
  h.worker({
    makeCall: async () => {
      made++
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return OK
    },
  })
  const one = call()
  await h.send([one])
  await until(() => made === 1)
  await h.send([{ ...one, resent: true }], 1)
  await until(async () => (await h.redis.xlen(keys.calls(1))) === 0)
  end()
  await h.resultsOf(1)
  await until(async () => (await h.pending()) === 0)
  t.equal(made, 1)
})

t.test('late and resent calls are made only if they are wanted and nobody holds them', async (t) => {
  const h = await startHarness(t)
  const made: string[] = []
  const asked: string[] = []
  const [fresh, late, resent, unwanted, elsewhere] = [
    call(),
    call({ at: Date.now() - 11_000 }),
    call({ resent: true }),
    call({ resent: true, path: 'unwanted' }),
    call({ resent: true, path: 'elsewhere' }),
  ]
  await h.redis.set(keys.inflight(idOf(elsewhere)), 'another-worker', 'PX', 60_000)
  h.worker({
    isWanted: async (held) => {
      asked.push(held.id)
      return held.call.path !== 'unwanted'
    },
    makeCall: async (one) => {
      made.push(idOf(one))
      return OK
    },
  })
  await h.send([fresh, late, resent, unwanted, elsewhere])
  const results = await h.resultsOf(4)
  await until(async () => (await h.pending()) === 0)
  t.match(
    results.find(({ path }) => path === 'unwanted')?.outcome,
    { error: { code: 'BTN_WITHDRAWN' }, retryable: false },
    'a run that is ending must not wait for it',
  )
  t.notOk(
    results.some(({ path }) => path === 'elsewhere'),
    'whoever holds it answers',
  )
  t.same(made.sort(), [fresh, late, resent].map(idOf).sort())
  // Each at least once: an answer that took longer than 50 ms is asked for again.
  t.same(new Set(asked), new Set([late, resent, unwanted].map(idOf)), 'neither a fresh call nor one that is made elsewhere costs a query')
  t.equal(await h.redis.get(keys.inflight(idOf(elsewhere))), 'another-worker', 'the key of the other stays')
  t.equal(await h.redis.exists(keys.inflight(idOf(resent))), 0, 'our own is gone')
})

t.test('a call of a run that is ending is withdrawn, unless another worker is making it', async (t) => {
  const h = await startHarness(t)
  const [queued, made] = [call({ resent: true, path: 'queued' }), call({ resent: true, path: 'made' })]
  await h.redis.set(keys.inflight(idOf(made)), 'another-worker', 'PX', 60_000)
  h.worker({ isWanted: async () => false, makeCall: () => Promise.reject(new Error('made')) })
  await h.send([queued, made])
  const [result] = await h.resultsOf(1)
  await until(async () => (await h.pending()) === 0)
  t.match(result, { path: 'queued', outcome: { error: { code: 'BTN_WITHDRAWN' } } })
  t.equal((await h.results()).length, 1)
})

t.test('young calls that wait in the queue of a run that begins to end are asked about, and not made', async (t) => {
  const h = await startHarness(t)
  const endings = hearEndings(connectRedis(h.server.url, { name: 'test-endings', blocking: true }), 10_000)
  t.teardown(endings.stop)
  await until(async () => ((await h.redis.pubsub('NUMSUB', keys.ending)) as unknown[])[1] === 1)
  const made: string[] = []
  let end = () => {}
  h.worker({
    concurrency: 1,
    isWanted: async () => false,
    isEnding: endings.isEnding,
    makeCall: async ({ runId }) => {
      made.push(runId)
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return OK
    },
  })
  const first = call()
  const other = call()
  await h.send([first, call({ runId: first.runId, path: 'second' }), other])
  await until(() => made.length === 1)
  await h.redis.publish(keys.ending, `x,${first.runId}`)
  await until(() => endings.isEnding(first.runId))
  end()
  await until(() => made.length === 2)
  end()
  const results = await h.resultsOf(3)
  t.same(made, [first.runId, other.runId])
  t.match(
    results.find(({ path }) => path === 'second'),
    { outcome: { status: 'failed', error: { code: 'BTN_WITHDRAWN' } } },
  )
})

t.test('a call whose result is not written down yet is not made again, though Postgres still wants it', async (t) => {
  const h = await startHarness(t)
  const [answered, open] = [call({ resent: true }), call({ resent: true })]
  const { runId, path, generation, attempt } = answered
  const fact = { kind: 'result', runId, path, generation, attempt, startedAt: 1, outcome: OK }
  await h.redis.xadd(keys.facts(partitionOf(runId)), '*', ENTRY_FIELD, JSON.stringify([fact]))
  const made: string[] = []
  h.worker({
    makeCall: async (one) => {
      made.push(idOf(one))
      return OK
    },
  })
  await h.send([answered, open])
  await until(async () => (await h.pending()) === 0 && made.length > 0)
  t.same(made, [idOf(open)])
  t.equal((await h.results()).length, 2, 'nothing is said of it')
  await until(async () => (await h.redis.exists(keys.inflight(idOf(answered)))) === 0)
})

t.test('a copy that waits for a slot does not take the call from the worker that makes it', async (t) => {
  const h = await startHarness(t)
  const copy = call({ resent: true, path: 'copy' })
  const key = keys.inflight(idOf(copy))
  let end = () => {}
  const made: string[] = []
  h.worker({
    concurrency: 1,
    makeCall: async (one) => {
      made.push(one.path)
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return OK
    },
  })
  const first = call({ path: 'first' })
  await h.redis.set(key, 'another-worker', 'PX', 60_000)
  await h.send([first, copy])
  await until(async () => (await h.redis.exists(keys.inflight(idOf(first)))) === 1, { what: 'what is held to be announced' })
  t.equal(await h.redis.get(key), 'another-worker')
  end()
  await until(async () => (await h.pending()) === 0)
  t.same(made, ['first'])
})

t.test('a call that reached Redis long after its commit is asked about, one that has waited there for as long is not', async (t) => {
  const h = await startHarness(t)
  const asked: string[] = []
  const made: string[] = []
  const isWanted = async (held: { id: string }) => {
    asked.push(held.id)
    return false
  }
  const at = Date.now() - 3_000
  const [late, waited] = [call({ at }), call({ at })]
  await h.redis.xadd(keys.calls(1), `${at + 20}-0`, ENTRY_FIELD, JSON.stringify([waited]))
  await h.send([late])
  h.worker({
    isWanted,
    makeCall: async (one) => {
      made.push(idOf(one))
      return OK
    },
  })
  await h.resultsOf(2)
  t.same([asked, made], [[idOf(late)], [idOf(waited)]])
})

t.test('a call that could not be begun in time is asked about again: another worker may have made it meanwhile', async (t) => {
  const h = await startHarness(t)
  const [kept, taken] = [call({ path: 'kept' }), call({ path: 'taken' })]
  const begun: string[] = []
  const asked: string[] = []
  let stoodStill = false
  h.worker({
    isWanted: async (held) => {
      asked.push(held.call.path)
      return held.call.path !== 'taken'
    },
    makeCall: async (one, mayBegin) => {
      if (!stoodStill) {
        stoodStill = true
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000) // as under SIGSTOP, between the claim and the first byte
      }
      if (!mayBegin()) throw new NotBegun()
      begun.push(one.path)
      return OK
    },
  })
  await h.send([kept, taken])
  await h.resultsOf(2)
  await until(async () => (await h.pending()) === 0)
  t.strictSame(begun, ['kept'])
  t.strictSame([...new Set(asked)].sort(), ['kept', 'taken'])
})

t.test('a worker that Redis did not hear of for a while asks again before it begins, though it never stood still', async (t) => {
  const h = await startHarness(t)
  let tries = 0
  const may: boolean[] = []
  h.worker({
    makeCall: async (_call, mayBegin) => {
      // By the third try it is not for its age that a call is asked about again.
      if (++tries < 3) throw new NotBegun()
      if (tries === 3) {
        await h.redis.call('CLIENT', 'PAUSE', '3000', 'ALL')
        await h.redis.ping()
        const heardAgain = performance.now() + 2_000
        await until(() => performance.now() > heardAgain) // the worker has written its word anew by then
      }
      may.push(mayBegin())
      if (!may.at(-1)) throw new NotBegun()
      return OK
    },
  })
  await h.send([call()])
  await h.resultsOf(1)
  t.strictSame(may, [false, true])
})
