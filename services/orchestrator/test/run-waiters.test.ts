import t from 'tap'
import { createRunWaiters } from '../src/run-waiters.ts'

const ignore = () => {}

t.test('all who wait for a run are told of its end, once', async (t) => {
  const waiters = createRunWaiters({ findEnded: async () => [], waitersMax: 10, checkMs: 60_000, onRefused: ignore, onError: ignore })
  const first = waiters.wait('a', 60_000)
  const second = waiters.wait('a', 60_000)
  const other = waiters.wait('b', 60_000)
  waiters.tell(['a', 'unknown'])
  waiters.tell(['a'])
  t.equal(await first?.done, 'ended')
  t.equal(await second?.done, 'ended')
  t.equal(waiters.size(), 1)
  other?.leave()
  t.equal(await other?.done, 'left')
  t.equal(waiters.size(), 0)
})

t.test('a wait ends as late when its time is up', async (t) => {
  const waiters = createRunWaiters({ findEnded: async () => [], waitersMax: 10, checkMs: 60_000, onRefused: ignore, onError: ignore })
  t.equal(await waiters.wait('a', 1)?.done, 'late')
  t.equal(waiters.size(), 0)
})

t.test('an end that Redis lost is found by one shared query', async (t) => {
  const asked: string[][] = []
  const findEnded = async (ids: string[]) => {
    asked.push(ids)
    return asked.length === 2 ? ['a', 'b'] : []
  }
  const waiters = createRunWaiters({ findEnded, waitersMax: 10, checkMs: 1, onRefused: ignore, onError: ignore })
  const ends = await Promise.all([waiters.wait('a', 60_000)?.done, waiters.wait('b', 60_000)?.done])
  t.same(ends, ['ended', 'ended'])
  t.same(asked, [
    ['a', 'b'],
    ['a', 'b'],
  ])
})

t.test('a failing query is reported and asked again', async (t) => {
  const errors: unknown[] = []
  const findEnded = async () => {
    if (errors.length === 0) throw new Error('away')
    return ['a']
  }
  const waiters = createRunWaiters({ findEnded, waitersMax: 10, checkMs: 1, onRefused: ignore, onError: (error) => errors.push(error) })
  t.equal(await waiters.wait('a', 60_000)?.done, 'ended')
  t.equal(errors.length, 1)
})

t.test('there are no more waiters than the limit, and none after close', async (t) => {
  let refused = 0
  const waiters = createRunWaiters({
    findEnded: async () => [],
    waitersMax: 1,
    checkMs: 60_000,
    onRefused: () => refused++,
    onError: ignore,
  })
  const only = waiters.wait('a', 60_000)
  t.equal(waiters.wait('b', 60_000), undefined)
  waiters.close()
  t.equal(await only?.done, 'late')
  t.equal(waiters.wait('b', 60_000), undefined)
  t.equal(waiters.size(), 0)
  t.equal(refused, 2)
})
