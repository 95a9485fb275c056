import type { AgentTurn, HttpCall } from '@baton/contracts'
import type { Redis } from '@baton/runtime'
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
