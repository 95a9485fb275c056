import { Graph, Step, Why } from '@baton/contracts'
import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, startOrchestrator } from './start-orchestrator.ts'

const DEFINITION = {
  name: 'shop',
  steps: {
    first: { set: { a: '${{ input.n }}' } },
    route: { switch: { cases: [{ if: 'steps.first.output.a > 1', steps: { notify: { set: { b: 1 } } } }] } },
    ask: { needs: ['route'], approval: { title: 'Go?', assignees: ['role:operator', 'user:ann'] } },
    last: { needs: ['ask'], set: { c: 1 } },
  },
}

async function startWaiting(t: Parameters<typeof startOrchestrator>[0], definition: object = DEFINITION) {
  const orchestrator = await startOrchestrator(t)
  await orchestrator.save(definition as never, 'shop')
  const { id } = (await orchestrator.post('/api/v1/workflows/shop/runs', { input: { n: 2 } })).body
  await takeUp(orchestrator.sql, bare(id))
  return { ...orchestrator, id: id as string, at: `/api/v1/runs/${id}` }
}

t.test('steps, graph and why are views of the events, and follow them', async (t) => {
  const { get, post, sql, id, at } = await startWaiting(t)
  const steps = (await get(`${at}/steps`)).body.items
  t.ok(steps.every((step: Step) => Step.safeParse(step).success))
  t.same(
    steps.map((step: Step) => [step.path, step.status]),
    [
      ['first', 'succeeded'],
      ['route', 'succeeded'],
      ['ask', 'waiting'],
      ['last', 'pending'],
      ['route.notify', 'succeeded'],
    ],
  )
  t.match((await get(`${at}/steps/route.notify`)).body, { path: 'route.notify', output: { b: 1 } })
  t.match(await get(`${at}/steps/nope`), { status: 404, body: { code: 'BTN_STEP_NOT_FOUND' } })
  t.same((await get(`${at}/steps/first/output`)).body, { a: 2 })
  t.same((await get(`${at}/steps/last/output`)).text, 'null')

  const graph = (await get(`${at}/graph`)).body
  t.ok(Graph.safeParse(graph).success)
  t.equal(graph.nodes.find((node: { id: string }) => node.id === 'ask').status, 'waiting')

  const why = (await get(`${at}/why`)).body
  t.ok(Why.safeParse(why).success)
  const [asked] = why.items.filter((item: { step: string }) => item.step === 'ask')
  t.match(asked, { status: 'waiting', movableBy: ['role:operator', 'user:ann'] })
  t.match(asked.reason, /role:operator/)

  await post(`${at}/cancel`)
  await advanceRun(sql, bare(id))
  t.equal((await get(`${at}/steps/ask`)).body.status, 'cancelled')
  t.same((await get(`${at}/why`)).body, { items: [] })
  t.match((await get(`${at}/definition`)).body, { definitionVersion: 1, checksum: /^sha256:/, definition: DEFINITION })
})

t.test('events have no gap over any pages', async (t) => {
  const { get, at } = await startWaiting(t)
  const { lastSeq } = (await get(at)).body
  const all = (await get(`${at}/events`)).body
  t.same(
    all.items.map((event: { seq: number }) => event.seq),
    Array.from({ length: lastSeq }, (_, n) => n + 1),
  )
  t.equal(all.nextCursor, null)
  t.match(all.items[1], { specversion: '1.0', source: `/runs/${at.split('/').at(-1)}`, type: 'dev.baton.run.started' })
  const pages: number[] = []
  for (let cursor = '?limit=3'; ; ) {
    const { body } = await get(`${at}/events${cursor}`)
    pages.push(...body.items.map((event: { seq: number }) => event.seq))
    if (body.nextCursor === null) break
    cursor = `?limit=3&cursor=${body.nextCursor}`
  }
  t.same(
    pages,
    all.items.map((event: { seq: number }) => event.seq),
  )
  t.same((await get(`${at}/events?after=3&limit=1`)).body.items[0].seq, 4)
  t.same((await get(`${at}/events?after=${lastSeq}`)).body, { items: [], nextCursor: null })
  t.match(await get(`${at}/events?cursor=zz`), { status: 422, body: { errors: [{ pointer: '/query/cursor' }] } })
  t.match(await get(`${at}/events?limit=1001`), { status: 422, body: { errors: [{ pointer: '/query/limit' }] } })
})

t.test('steps come in pages', async (t) => {
  const { get, at } = await startWaiting(t)
  const paths: string[] = []
  for (let cursor = '?limit=2'; ; ) {
    const { body } = await get(`${at}/steps${cursor}`)
    paths.push(...body.items.map((step: Step) => step.path))
    if (body.nextCursor === null) break
    cursor = `?limit=2&cursor=${body.nextCursor}`
  }
  t.same(paths, ['first', 'route', 'ask', 'last', 'route.notify'])
  t.match(await get(`${at}/steps?cursor=${Buffer.from('nope').toString('base64url')}`), { status: 422 })
})

t.test('an output over 64 KiB shows as a reference and is fetched whole', async (t) => {
  const big = 'x'.repeat(70_000)
  const definition = {
    name: 'shop',
    steps: { big: { set: { text: big } }, route: { switch: { cases: [{ if: true, steps: { inner: { set: { text: big } } } }] } } },
    output: '${{ steps.big.output }}',
  }
  const { get, at } = await startWaiting(t, definition)
  t.match((await get(`${at}/steps/big`)).body.output, { $blob: /^sha256:/, bytes: Number })
  t.same((await get(`${at}/steps/big/output`)).body, { text: big })
  t.same((await get(`${at}/steps/route/output`)).body, { case: 0, outputs: { inner: { text: big } } })
  t.match((await get('/api/v1/runs')).body.items[0].output, { $blob: /^sha256:/ })
  t.same((await get(at)).body.output, { text: big })
})

t.test('a run with too many events to fold is refused, its events are not', async (t) => {
  const { get, post, save, sql } = await startOrchestrator(t, { BATON_FOLD_EVENTS_MAX: '3' })
  await save(DEFINITION, 'shop')
  const { id } = (await post('/api/v1/workflows/shop/runs', { input: { n: 2 } })).body
  await takeUp(sql, bare(id))
  t.match(await get(`/api/v1/runs/${id}/steps`), { status: 413, body: { code: 'BTN_TOO_LARGE', detail: /BATON_FOLD_EVENTS_MAX/ } })
  t.equal((await get(`/api/v1/runs/${id}/events`)).status, 200)
})

t.test('readers that come at once share what is folded', async (t) => {
  const { get, at } = await startWaiting(t)
  const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => get(`${at}/${n % 2 ? 'steps' : 'graph'}`)))
  t.ok(answers.every((answer) => answer.status === 200))
})
