import { type AgentTurn, ENTRY_FIELD, type HttpCall, keys, newUuid, partitionOf } from '@baton/contracts'
import { connectRedis, type Redis } from '@baton/runtime'
import { testRedis } from '@baton/testing'
import t from 'tap'
import { createSender, packsOf } from '../src/send-commands.ts'

t.test('a queue that refuses while the streams are still away fails the batch, not the process', async (t) => {
  const gate = Promise.withResolvers<[null, string][]>()
  const pipeline = { length: 1, xadd() {}, exec: () => gate.promise }
  const send = createSender({
    redis: { pipeline: () => pipeline } as unknown as Redis,
    lane: 0,
    workers: () => 1,
    agentTurns: { addMany: () => Promise.reject(new Error('away')) },
    notifications: { addMany: async () => {} },
    eventsMax: 10,
  })
  let unhandled = 0
  const count = () => unhandled++
  process.on('unhandledRejection', count)
  t.teardown(() => process.removeListener('unhandledRejection', count))
  const sending = t.rejects(send({ calls: [], turns: [{} as AgentTurn], notifications: [], events: [], ended: [] }), { message: 'away' })
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  gate.resolve([[null, '1-1']])
  await sending
  t.equal(unhandled, 0)
})

t.test('packs grow with what is ready and shrink with the workers that live', async (t) => {
  const calls = Array.from({ length: 400 }, () => ({}) as HttpCall)
  t.equal(packsOf(calls.slice(0, 4), 1).length, 4)
  t.equal(packsOf(calls, 1)[0]!.length, 32)
  t.equal(packsOf(calls, 10)[0]!.length, 10)
})

t.test('what is sent again goes out only if neither it nor its result stands in a stream', async (t) => {
  const { url } = await testRedis(t)
  const redis = connectRedis(url, { name: 'test' })
  t.teardown(() => redis.disconnect())
  const nothing = { turns: [], notifications: [], events: [], ended: [] }
  const queue = { addMany: async () => {} }
  const send = createSender({ redis, lane: 3, workers: () => 1, agentTurns: queue, notifications: queue, eventsMax: 10 })
  const call = (path: string, resent = false) =>
    ({ runId: newUuid(), path, generation: 0, attempt: 1, at: Date.now() + 0.25, ...(resent ? { resent } : {}) }) as HttpCall
  const [standing, answered, lost] = [call('standing'), call('answered', true), call('lost', true)]
  await send({ calls: [standing], ...nothing })
  const fact = { kind: 'result', runId: answered.runId, path: 'answered', generation: 0, attempt: 1 }
  await redis.xadd(keys.facts(partitionOf(answered.runId)), '*', ENTRY_FIELD, JSON.stringify([fact]))
  await send({ calls: [{ ...standing, resent: true }, answered, lost, call('fresh')], ...nothing })
  const entries = await redis.xrange(keys.calls(3), '-', '+')
  const sent = entries.flatMap(([, fields]) => (JSON.parse(fields[1]!) as HttpCall[]).map(({ path }) => path))
  t.same(sent.sort(), ['fresh', 'lost', 'standing'])
})
