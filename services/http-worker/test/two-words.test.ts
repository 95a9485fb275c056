/** Two workers that both have a call in hand: whose word is written first makes it, and the other leaves it. */
import { GROUPS, type HttpCall, keys } from '@baton/contracts'
import { connectRedis, NotBegun, type Redis } from '@baton/runtime'
import { type Teardown, until } from '@baton/testing'
import t from 'tap'
import type { Outcome } from '../src/call-http.ts'
import { createHeldCalls } from '../src/held-calls.ts'
import { callOf } from './calls.ts'
import { type Harness, startHarness } from './harness.ts'

const OK: Outcome = { status: 'succeeded', output: { status: 200 } }
const call = (more: Partial<HttpCall> = {}) => callOf({ url: 'http://shop.example/' }, more)
const keyOf = ({ runId, path, generation, attempt }: HttpCall) => keys.inflight(`${runId}/${path}/${generation}/${attempt}`)

const ownerOf = async (h: Harness, id: string) =>
  ((await h.redis.xpending(keys.calls(0), GROUPS.calls, id, id, 1)) as [id: string, consumer: string][])[0]?.[1]

/** A connection on which a worker can be kept from saying what it holds. */
function connect(t: Teardown, h: Harness): { redis: Redis; silence(isSilent: boolean): void } {
  const redis = connectRedis(h.server.url, { name: 'test-silent' })
  t.teardown(() => redis.disconnect())
  const pipeline = redis.pipeline.bind(redis)
  let isSilent = false
  redis.pipeline = () => (isSilent ? Object.assign(pipeline(), { exec: () => Promise.reject(new Error('cut off')) }) : pipeline())
  return {
    redis,
    silence(silent) {
      isSilent = silent
    },
  }
}

t.test(
  'a worker that comes back makes those calls that have not been begun elsewhere, and whoever took them over leaves them',
  async (t) => {
    const h = await startHarness(t)
    const begun: string[] = []
    const [back, end, endOther] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const inHand = new Set<string>()
    const { redis, silence } = connect(t, h)
    h.worker({
      redis,
      consumer: 'first',
      makeCall: async ({ path }, mayBegin) => {
        inHand.add(path)
        await back.promise
        if (!mayBegin()) throw new NotBegun()
        begun.push(`first ${path}`)
        await end.promise
        return OK
      },
    })
    const calls = ['a', 'b', 'c'].map((path) => call({ path, resent: true }))
    const id = await h.send(calls)
    await until(async () => inHand.size === 3 && (await h.redis.exists(calls.map(keyOf))) === 3, { what: 'the calls to be claimed' })
    silence(true)
    const second = h.worker({
      consumer: 'second',
      concurrency: 1,
      makeCall: async ({ path }) => {
        begun.push(`second ${path}`)
        await endOther.promise
        return OK
      },
    })
    await until(() => begun.length === 1, { timeoutMs: 15_000, what: 'the takeover' })
    t.strictSame([begun, await ownerOf(h, id), second.waiting()], [['second a'], 'second', 2])
    silence(false)
    back.resolve()
    await until(() => begun.length === 3, { timeoutMs: 5_000, what: 'the others to be begun' })
    endOther.resolve()
    await until(() => second.running() + second.waiting() === 0, { what: 'the second to be done' })
    end.resolve()
    await h.resultsOf(3)
    t.strictSame(begun.sort(), ['first b', 'first c', 'second a'])
    await until(async () => (await h.redis.exists(calls.map(keyOf))) === 0, { what: 'the words to be taken back' })
  },
)

t.test('an entry that was taken over is not taken back', async (t) => {
  const h = await startHarness(t)
  const end = Promise.withResolvers<void>()
  h.worker({ makeCall: () => end.promise.then(() => OK) })
  const one = call()
  const id = await h.send([one])
  const isAnnounced = async () => (await h.redis.exists(keyOf(one))) === 1
  await until(isAnnounced, { what: 'the call to be announced' })
  await h.redis.xclaim(keys.calls(0), GROUPS.calls, 'another', 0, id)
  await h.redis.del(keyOf(one))
  await until(isAnnounced, { what: 'the call to be announced again' })
  t.equal(await ownerOf(h, id), 'another')
  end.resolve()
  await h.resultsOf(1)
})

t.test('a worker whose words Redis refuses is silent: it asks again before it begins', async (t) => {
  const h = await startHarness(t)
  let tries = 0
  const may: boolean[] = []
  h.worker({
    makeCall: async (_call, mayBegin) => {
      // By the third try it is not for its age that a call is asked about again.
      if (++tries < 3) throw new NotBegun()
      if (tries === 3) {
        // Each command of a pipeline fails by itself, as while data is loaded or on a replica.
        await h.redis.config('SET', 'min-replicas-to-write', 1)
        const refusedUntil = performance.now() + 4_000
        await until(() => performance.now() > refusedUntil)
        may.push(mayBegin())
        await h.redis.config('SET', 'min-replicas-to-write', 0)
        throw new NotBegun()
      }
      may.push(mayBegin())
      if (!may.at(-1)) throw new NotBegun()
      return OK
    },
  })
  await h.send([call()])
  await h.resultsOf(1)
  t.strictSame([may[0], may.at(-1)], [false, true])
})

t.test('a call that is in hand knows that a copy of it was taken from a silent worker', (t) => {
  const held = createHeldCalls(() => {})
  const one = call()
  const [inHand] = held.take({ stream: 'calls:{1}', id: '1-0', value: [one] }, { from: undefined, ask: true, doubtful: false })
  t.strictSame(held.take({ stream: 'calls:{1}', id: '2-0', value: [one] }, { from: 'silent', ask: true, doubtful: false }), [])
  t.strictSame(inHand!.from, ['silent'])
  t.end()
})
