/** A run with a concurrency key while it waits for its slot: at its start, reopened, and when it has to end meanwhile. */
import { whyOf } from '@baton/engine'
import t, { type Test } from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const calls = (h: Harness) => h.last.calls.map(({ path, generation }) => `${path}/${generation}`)
const replay = (h: Harness, path: string) => h.take({ kind: 'replay', by: 'ann', path, reason: 'wrong figure' })

/** No call is ever told the same key twice, and the state is what the events say. */
function sound(t: Test, h: Harness): void {
  t.equal(new Set(h.keys).size, h.keys.length, `keys: ${h.keys.join(' ')}`)
  sameWhenFolded(t, h)
}

t.test('a run that is reopened waits for its slot, also where a new one would be refused', async (t) => {
  const concurrency = { key: 'k', limit: 1, onConflict: 'reject' }
  const h = start({ concurrency, steps: { a: { set: { n: 1 }, compensate: http() } } })
  t.match(h.last.slot, { act: 'ask', onConflict: 'reject' })
  t.strictSame(new Set(whyOf(h.state, []).items.flatMap(({ movableBy }) => movableBy)), new Set(['run:others with the same key']))
  h.take({ kind: 'slot', outcome: 'admitted', key: 'k' })
  t.strictSame([h.state.status, h.last.slot], ['succeeded', { act: 'leave' }])
  replay(h, 'a')
  t.match(h.last.slot, { act: 'ask', onConflict: 'queue' })
  h.take({ kind: 'slot', outcome: 'admitted', key: 'k' })
  t.equal(h.state.status, 'succeeded')
  sound(t, h)
})

t.test('a run that waits for its slot again is moved by no timer; it comes back with the slot', async (t) => {
  const concurrency = { key: 'k', limit: 1, onConflict: 'queue' }
  const h = start({ concurrency, steps: { s: { forEach: { in: [1, 2], steps: { a: http() } }, timeout: '1s' } } })
  const admit = () => h.take({ kind: 'slot', outcome: 'admitted', key: 'k' })
  admit()
  h.succeed('s[0].a')
  h.succeed('s[1].a')
  replay(h, 's[0].a')
  h.now += 5_000
  h.timer('s', 'timeout')
  t.strictSame([h.last.events, h.state.status], [[], 'running'])
  admit()
  t.match([...h.timers.keys()], ['timeout s'])
  t.strictSame(calls(h), ['s[0].a/1'])
  sound(t, h)
})

t.test('what a run was told of its slot in an earlier life does not admit it in the next', async (t) => {
  const h = start({ concurrency: { key: 'k', limit: 1 }, steps: { a: http() } })
  t.match(h.last.slot, { act: 'ask', key: 'k' })
  h.take({ kind: 'cancel', by: 'key_1' })
  t.match(h.last.slot, { act: 'leave' })
  const admitted = { kind: 'slot', outcome: 'admitted', key: 'k' } as const
  h.take({ kind: 'retry', by: 'key_1' }, admitted)
  t.match(h.last.slot, { act: 'ask' })
  t.notOk(h.state.steps.get('a')!.scheduledAt, 'it waits for its turn')
  h.take(admitted)
  h.succeed('a')
  t.equal(h.state.status, 'succeeded')
})

t.test('a run that has to end while it waits for its slot again undoes its steps all the same, and leaves the queue', async (t) => {
  const undo = { http: { url: 'http://x.example/undo' }, retry: { attempts: 3, backoff: 'fixed', initial: '1s', jitter: false } }
  const concurrency = { key: 'k', limit: 1, onConflict: 'queue' }
  const h = start({ concurrency, steps: { a: http({ compensate: undo }), b: http({ needs: ['a'] }) } })
  h.take({ kind: 'slot', outcome: 'admitted', key: 'k' })
  h.succeed('a')
  h.succeed('b')
  replay(h, 'b')
  t.match(h.last.slot, { act: 'ask' })
  h.take({ kind: 'cancel', by: 'ann' })
  t.strictSame(calls(h), ['a.compensate/0'])
  h.fail('a.compensate', {}, true)
  t.match([...h.timers.keys()], ['retry a.compensate'])
  h.now += 1_000
  h.timer('a.compensate', 'retry')
  t.strictSame(calls(h), ['a.compensate/0'], 'it is tried again')
  h.take({ kind: 'slot', outcome: 'admitted', key: 'k' })
  t.strictSame(h.last.events, [], 'a slot that comes now is of no use')
  h.succeed('a.compensate')
  t.strictSame([h.state.status, h.last.slot], ['cancelled', { act: 'leave' }])
  sound(t, h)
})
