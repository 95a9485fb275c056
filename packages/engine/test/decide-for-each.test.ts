/** What the contract says of `forEach`: items, their names, how many at once, and what comes out. */
import type { Json } from '@baton/contracts'
import t from 'tap'
import { type Harness, sameWhenFolded, start } from './decide-harness.ts'

const http = (more: object = {}) => ({ http: { url: 'http://x.example/' }, ...more })
const each = (body: object, more: object = {}) => ({
  steps: { each: { forEach: { in: [1, 2, 3], steps: { a: http() }, ...body }, ...more } },
})
const calls = (h: Harness) => h.last.calls.map(({ path }) => path)
const outputOf = (h: Harness) => h.state.steps.get('each')?.output as { results: { status: string; output: Json; error: Json }[] }

t.test('results stand in the order of the items, in whichever order they end', async (t) => {
  const h = start(each({}))
  t.strictSame(calls(h), ['each[0].a', 'each[1].a', 'each[2].a'])
  for (const index of [2, 0, 1]) h.succeed(`each[${index}].a`, index)
  t.strictSame(
    outputOf(h).results,
    [0, 1, 2].map((a) => ({ status: 'succeeded', output: { a }, error: null })),
  )
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})

t.test('an empty list succeeds at once', async (t) => {
  const h = start(each({ in: [] }))
  t.strictSame([h.state.status, outputOf(h)], ['succeeded', { results: [] }])
  sameWhenFolded(t, h)
})

t.test('not more items than `concurrency` are open; the next begins when one has ended whole', async (t) => {
  const steps = [
    { id: 'a', ...http() },
    { id: 'b', ...http() },
  ]
  const h = start(each({ steps, concurrency: 2 }))
  t.strictSame(calls(h), ['each[0].a', 'each[1].a'])
  t.strictSame(calls({ ...h, last: h.succeed('each[1].a') }), ['each[1].b'])
  t.strictSame(calls({ ...h, last: h.succeed('each[1].b') }), ['each[2].a'])
  sameWhenFolded(t, h)
  const byDefault = start(each({ in: Array.from({ length: 12 }, (_, n) => n) }))
  t.equal(byDefault.last.calls.length, 10)
})

t.test('`as` names the item and its index; without it they are `item` and `index`', async (t) => {
  const named = start(each({ as: 'order', steps: { a: { set: { v: '${{ order }}', i: '${{ orderIndex }}' } } } }))
  t.strictSame(outputOf(named).results[2]?.output, { a: { v: 3, i: 2 } })
  const plain = start(each({ steps: { a: { set: { v: '${{ item }}', i: '${{ index }}' } } } }))
  t.strictSame(outputOf(plain).results[1]?.output, { a: { v: 2, i: 1 } })
})

t.test('steps inside see the items of every `forEach` around them; the inner name hides the outer one', async (t) => {
  const cell = {
    set: { row: '${{ row }}', rowIndex: '${{ rowIndex }}', item: '${{ item }}', index: '${{ index }}', of: '${{ steps.base.output.n }}' },
  }
  const inner = { forEach: { in: '${{ row }}', steps: { cell } } }
  const h = start({
    steps: { base: { set: { n: 9 } }, each: { forEach: { in: [['a'], ['b', 'c']], as: 'row', steps: { inner } } } },
  })
  t.strictSame(h.state.steps.get('each[1].inner[1].cell')?.output, { row: ['b', 'c'], rowIndex: 1, item: 'c', index: 1, of: 9 })
  sameWhenFolded(t, h)
  const hidden = start(
    each({ in: [[7]], steps: { inner: { forEach: { in: '${{ item }}', steps: { a: { set: { v: '${{ item }}' } } } } } } }),
  )
  t.strictSame(hidden.state.steps.get('each[0].inner[0].a')?.output, { v: 7 })
})

t.test('a list over the limit fails the step and names the setting; one at the limit does not', async (t) => {
  const over = start(each({ in: [1, 2, 3] }), null, { forEachItemsMax: 2 })
  t.match(over.state.error, { code: 'BTN_TOO_LARGE', message: /BATON_FOR_EACH_ITEMS_MAX/, step: 'each' })
  t.notOk(over.state.steps.has('each[0].a'))
  t.equal(start(each({ in: [1, 2] }), null, { forEachItemsMax: 2 }).last.calls.length, 2)
})

t.test('what is no list fails the step', async (t) => {
  const h = start(each({ in: '${{ input }}' }, { onError: 'continue' }), { a: 1 })
  t.strictSame([h.state.status, h.state.steps.get('each')?.error?.code], ['succeeded', 'BTN_EXPRESSION'])
})

t.test('a large list is kept apart once, and its items are read from there', async (t) => {
  const list = Array.from({ length: 300 }, (_, n) => `${n}`.padStart(400, '.'))
  const h = start(each({ in: '${{ input }}', concurrency: 1, steps: { a: http(), b: { needs: ['a'], set: { v: '${{ item }}' } } } }), list)
  t.match(h.state.steps.get('each')?.input, { $blob: /^sha256:/, bytes: 300 * 403 + 1 })
  t.equal(h.last.blobs.size, 1)
  h.succeed('each[0].a')
  t.strictSame(h.state.steps.get('each[0].b')?.output, { v: list[0] })
  sameWhenFolded(t, h)
})

t.test('onItemError continue: a failed item is a result like any other', async (t) => {
  const steps = { a: http(), w: { wait: { for: '1h' } }, b: http({ needs: ['a'] }) }
  const h = start(each({ in: [1, 2], concurrency: 1, onItemError: 'continue', steps }))
  h.fail('each[0].a')
  t.equal(h.state.steps.get('each[0].w')?.status, 'cancelled', 'what waits in the item is cancelled')
  t.strictSame(calls(h), ['each[1].a'], 'the next item begins')
  sameWhenFolded(t, h)
  h.succeed('each[1].a')
  h.succeed('each[1].b')
  h.timer('each[1].w', 'wait')
  t.equal(h.state.status, 'succeeded')
  t.match(outputOf(h).results, [
    { status: 'failed', output: null, error: { code: 'BTN_STEP_FAILED', step: 'each[0].a', cause: { code: 'BTN_HTTP_STATUS' } } },
    { status: 'succeeded', error: null },
  ])
  sameWhenFolded(t, h)
})

t.test('onItemError continue: what is in flight in a failed item ends before the next begins', async (t) => {
  const h = start(each({ in: [1, 2], concurrency: 1, onItemError: 'continue', steps: { a: http(), b: http() } }))
  h.fail('each[0].a')
  t.strictSame(calls(h), [])
  h.succeed('each[0].b')
  t.strictSame(calls(h), ['each[1].a', 'each[1].b'])
})

t.test('onItemError fail: the first failed item fails the step; others end what is in flight and begin nothing', async (t) => {
  const steps = [
    { id: 'a', ...http() },
    { id: 'b', ...http() },
  ]
  const h = start({
    steps: { each: { forEach: { in: [1, 2, 3], concurrency: 2, steps }, onError: 'continue' }, after: http({ needs: ['each'] }) },
  })
  h.fail('each[1].a')
  sameWhenFolded(t, h)
  t.strictSame(calls(h), [])
  t.strictSame(calls({ ...h, last: h.succeed('each[0].a') }), ['after'])
  t.match(h.state.steps.get('each'), { status: 'failed', error: { code: 'BTN_STEP_FAILED', step: 'each[1].a' } })
  t.notOk(h.state.steps.has('each[2].a'))
  sameWhenFolded(t, h)
  const untolerated = start(each({}))
  untolerated.fail('each[1].a')
  t.equal(untolerated.state.ending, 'failed')
  t.equal(untolerated.state.error?.step, 'each[1].a')
})

t.test('onItemError continue: an item that fails while the run is ending does not make a failure of its `forEach`', async (t) => {
  const h = start(each({ onItemError: 'continue' }))
  h.take({ kind: 'cancel', by: 'ann' })
  h.fail('each[0].a')
  h.succeed('each[1].a')
  h.succeed('each[2].a')
  t.strictSame([h.state.status, h.state.steps.get('each')?.status], ['cancelled', 'cancelled'])
  sameWhenFolded(t, h)
})

t.test('the timeout of a `forEach` bounds all items: what waits is cancelled, what is in flight ends', async (t) => {
  const h = start(each({ steps: { a: http(), w: { wait: { for: '1h' } } } }, { timeout: '1m', onError: { output: 'late' } }))
  t.match(
    [...h.timers.values()].find(({ path }) => path === 'each'),
    { timer: 'timeout', dueAt: 61_000 },
  )
  h.timer('each', 'timeout')
  t.strictSame([...h.timers.keys()], [])
  for (const index of [0, 1, 2]) h.succeed(`each[${index}].a`)
  t.match(h.state.steps.get('each'), { status: 'failed', output: 'late', error: { code: 'BTN_TIMEOUT' } })
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})

t.test('while the run is paused no item and no step in one begins; resuming starts what has become ready', async (t) => {
  const steps = [
    { id: 'a', ...http() },
    { id: 'b', ...http() },
  ]
  const h = start(each({ concurrency: 2, steps }))
  h.take({ kind: 'pause', by: 'ann' })
  h.succeed('each[0].a')
  t.strictSame(calls(h), [])
  sameWhenFolded(t, h)
  h.take({ kind: 'resume', by: 'ann' })
  t.ok(calls(h).includes('each[0].b') && !calls(h).includes('each[2].a'))
  h.take({ kind: 'pause', by: 'ann' })
  h.succeed('each[0].b')
  t.notOk(h.state.steps.has('each[2].a'))
  h.take({ kind: 'resume', by: 'ann' })
  t.ok(calls(h).includes('each[2].a'))
  sameWhenFolded(t, h)
})

t.test('ten thousand items that need nobody are done in bounded decisions', async (t) => {
  const list = Array.from({ length: 10_000 }, (_, n) => n)
  const h = start(each({ in: '${{ input }}', steps: { a: { set: { v: '${{ item * 2 }}' } } } }), list)
  let most = h.last.events.length
  while (h.timers.has('more each')) most = Math.max(most, h.timer('each', 'more').events.length)
  t.ok(most < 2_100, `${most} events at most`)
  t.equal(h.state.status, 'succeeded')
  sameWhenFolded(t, h)
})
