import t from 'tap'
import { startOrchestrator, TINY } from './start-orchestrator.ts'

const yaml = (text: string) => ({ text, type: 'application/yaml' })

t.test('saving makes the next version, unless it equals the highest', async (t) => {
  const { ask, put, get } = await startOrchestrator(t)
  const one = { steps: { only: { set: { a: 1 } } } }
  const two = { steps: { only: { set: { a: 2 } } } }
  const first = await put('/api/v1/workflows/w', one)
  t.match(first, { status: 201, body: { name: 'w', version: 1, checksum: /^sha256:[0-9a-f]{64}$/, warnings: [] } })
  t.match(await ask('PUT', '/api/v1/workflows/w', yaml('steps:\n  only:\n    set: { a: 1 }\n')), { status: 200, body: first.body })
  t.match(await put('/api/v1/workflows/w', two), { status: 201, body: { version: 2 } })
  t.match(await put('/api/v1/workflows/w', one), { status: 201, body: { version: 3, checksum: first.body.checksum } })
  t.match((await get('/api/v1/workflows/w')).body, { name: 'w', version: 3, archived: false, tags: {}, definition: one })
  t.same(
    (await get('/api/v1/workflows/w/versions')).body.items.map((item: { version: number }) => item.version),
    [3, 2, 1],
  )
  t.match((await get('/api/v1/workflows/w/versions/2')).body, { version: 2, definition: two, createdBy: 'key_admin' })
  for (const version of ['4', '0', '-1', '1.5', 'x', '99999999999']) {
    t.equal((await get(`/api/v1/workflows/w/versions/${version}`)).status, 404, version)
  }
})

t.test('warnings are told when a definition is saved and when it is checked', async (t) => {
  const { put, post } = await startOrchestrator(t)
  const definition = {
    steps: {
      look: { if: 'input.big == true', approval: { title: 'Go?' } },
      go: { needs: ['look'], set: { a: 1 } },
    },
  }
  const saved = await put('/api/v1/workflows/w', definition)
  t.equal(saved.status, 201)
  t.match(saved.body.warnings, [{ pointer: /^\/steps\/go/, message: String }])
  const checked = await post('/api/v1/workflows/validate', definition)
  t.match(checked, { status: 200, body: { valid: true, errors: [], warnings: saved.body.warnings } })
  t.match(checked.body.graph.edges, [{ from: 'look', to: 'go', require: 'satisfied' }])
})

t.test('validate always answers 200, with what is wrong and where; nothing is saved', async (t) => {
  const { ask, post, get } = await startOrchestrator(t)
  const broken = await ask('POST', '/api/v1/workflows/validate', yaml('steps:\n  a: [1\n'))
  t.match(broken, { status: 200, body: { valid: false, errors: [{ line: Number, column: Number }], graph: null } })
  t.match(await post('/api/v1/workflows/validate', { steps: { a: { nope: 1 } } }), { status: 200, body: { valid: false } })
  t.match(await ask('POST', '/api/v1/workflows/validate'), { status: 200, body: { valid: false } })
  t.match(await post('/api/v1/workflows/validate', 7), { status: 200, body: { valid: false } })
  t.same((await get('/api/v1/workflows')).body, { items: [], nextCursor: null })
})

t.test('an archived workflow cannot be started until it is saved again', async (t) => {
  const { ask, post, put, get, save } = await startOrchestrator(t)
  await save(TINY, 'w')
  t.equal((await ask('DELETE', '/api/v1/workflows/w')).status, 204)
  t.match((await get('/api/v1/workflows/w')).body, { archived: true })
  t.match(await post('/api/v1/workflows/w/runs'), { status: 409, body: { code: 'BTN_WORKFLOW_ARCHIVED' } })
  t.match(await post('/api/v1/workflows/w/runs/batch', { items: [{}] }), { status: 409 })
  t.match(await put('/api/v1/workflows/w', TINY), { status: 200, body: { version: 1 } })
  t.equal((await post('/api/v1/workflows/w/runs')).status, 202)
  t.equal((await ask('DELETE', '/api/v1/workflows/nope')).status, 404)
})

t.test('tags point at versions that exist', async (t) => {
  const { put, get, save } = await startOrchestrator(t)
  await save(TINY, 'w')
  t.match(await put('/api/v1/workflows/w/tags/live', { version: 1 }), { status: 200, body: { name: 'w', tag: 'live', version: 1 } })
  t.same((await get('/api/v1/workflows/w')).body.tags, { live: 1 })
  t.match(await put('/api/v1/workflows/w/tags/live', { version: 2 }), { status: 404 })
  t.match(await put('/api/v1/workflows/nope/tags/live', { version: 1 }), { status: 404 })
  t.match(await put('/api/v1/workflows/w/tags/Bad_Tag', { version: 1 }), { status: 422, body: { errors: [{ pointer: '/path/tag' }] } })
  t.match(await put('/api/v1/workflows/w/tags/live', { version: 'one' }), { status: 422, body: { errors: [{ pointer: '/version' }] } })
})

t.test('lists go on where they stopped, whatever comes in between', async (t) => {
  const { get, post, save } = await startOrchestrator(t)
  const names = ['a', 'b', 'c', 'd', 'e']
  for (const name of names) await save(TINY, name)
  const first = await get('/api/v1/workflows?limit=2')
  await save(TINY, 'late')
  const second = await get(`/api/v1/workflows?limit=2&cursor=${first.body.nextCursor}`)
  const third = await get(`/api/v1/workflows?limit=2&cursor=${second.body.nextCursor}`)
  const seen = [first, second, third].flatMap((page) => page.body.items.map((item: { name: string }) => item.name))
  t.same(seen, ['e', 'd', 'c', 'b', 'a'])
  t.equal(third.body.nextCursor, null)

  for (let n = 0; n < 5; n++) await post('/api/v1/workflows/a/runs', { labels: { n: String(n), odd: String(n % 2) } })
  const runs: string[] = []
  for (let cursor = ''; ; ) {
    const { body } = await get(`/api/v1/runs?limit=2${cursor}`)
    runs.push(...body.items.map((run: { labels: { n: string } }) => run.labels.n))
    if (body.nextCursor === null) break
    cursor = `&cursor=${body.nextCursor}`
    if (runs.length === 2) await post('/api/v1/workflows/a/runs', { labels: { n: 'late' } })
  }
  t.same(runs.toSorted(), ['0', '1', '2', '3', '4'], 'each once, the late one not')
  t.equal((await get('/api/v1/runs?label=odd:1')).body.items.length, 2)
  t.equal((await get('/api/v1/runs?label=odd:1&label=n:3')).body.items.length, 1)
  t.same((await get('/api/v1/runs/count?status=queued,running&workflow=a')).body, { count: 6 })
  t.same((await get('/api/v1/runs/count?status=failed&status=succeeded')).body, { count: 0 })
  t.same((await get('/api/v1/runs/count?until=2020-01-01T00:00:00Z')).body, { count: 0 })
  for (const since of ['2020-01-01T00:00:00.000Z', '1970-01-01T00:00:00Z', '0000-01-01T00:00:00Z']) {
    t.same((await get(`/api/v1/runs/count?since=${since}`)).body, { count: 6 }, since)
  }
  for (const until of ['1960-01-01T00:00:00Z', '0000-01-01T00:00:00Z']) {
    t.same((await get(`/api/v1/runs?until=${until}`)).body.items, [], until)
  }
  t.same((await get('/api/v1/runs/count?until=9999-12-31T23:59:59Z')).body, { count: 6 })
})
