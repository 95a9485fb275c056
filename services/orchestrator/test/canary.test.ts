import { newUuid } from '@baton/contracts'
import t from 'tap'
import { chooseVersion } from '../src/choose-version.ts'
import { startOrchestrator, TINY } from './start-orchestrator.ts'

t.test('a canary takes its share of runs, always the same of them', async (t) => {
  const resolved = (percent: number) => ({ version: 1, checksum: 'a', archived: false, canary: { version: 2, checksum: 'b', percent } })
  const ids = Array.from({ length: 20_000 }, newUuid)
  const count = (percent: number) => ids.filter((id) => chooseVersion(resolved(percent), id).version === 2).length
  t.equal(count(0), 0)
  t.equal(count(100), ids.length)
  // 4 standard deviations of 20 000 draws are 241 at 25 %: that fails once in 16 000 times by chance.
  t.ok(Math.abs(count(25) - 5_000) < 260, `${count(25)} of 20 000 at 25 %`)
  t.ok(Math.abs(count(1) - 200) < 60, `${count(1)} of 20 000 at 1 %`)
  t.equal(count(25), count(25))
  t.ok(
    ids.every((id) => chooseVersion(resolved(10), id).version === 1 || chooseVersion(resolved(50), id).version === 2),
    'a larger share holds the smaller one',
  )
})

t.test('only starts that name neither version nor tag may take the canary', async (t) => {
  const { post, put, get, save } = await startOrchestrator(t)
  await save(TINY, 'w')
  await save({ ...TINY, description: '2' }, 'w')
  await put('/api/v1/workflows/w/tags/live', { version: 1 })
  t.match(await put('/api/v1/workflows/w/tags/live', { version: 1, percent: 5 }), {
    status: 422,
    body: { errors: [{ pointer: '/percent' }] },
  })
  t.match(await put('/api/v1/workflows/w/tags/canary', { version: 2, percent: 101 }), { status: 422 })
  t.match(await put('/api/v1/workflows/w/tags/canary', { version: 2, percent: 100 }), { status: 200, body: { version: 2, percent: 100 } })
  t.match((await get('/api/v1/workflows/w')).body, { tags: { live: 1, canary: 2 }, canaryPercent: 100 })
  const version = async (body: object = {}) => (await post('/api/v1/workflows/w/runs', body as never)).body.version
  t.equal(await version(), 2)
  t.equal(await version({ tag: 'live' }), 1)
  t.equal(await version({ version: 1 }), 1)
  t.match((await post('/api/v1/workflows/w/runs/batch', { items: [{ input: {} }] })).body.items, [{ version: 2 }])
  await put('/api/v1/workflows/w/tags/canary', { version: 2 })
  t.equal(await version(), 1, 'without a share it is a tag like any other')
  t.equal(await version({ tag: 'canary' }), 2)
  await put('/api/v1/workflows/w/tags/canary', { version: 2, percent: 50 })
  const { items } = (await post('/api/v1/workflows/w/runs/batch', { items: Array.from({ length: 200 }, () => ({ input: {} })) })).body
  const taken = items.filter((run: { version: number }) => run.version === 2).length
  t.ok(taken > 60 && taken < 140, `${taken} of 200 at 50 %`)
})
