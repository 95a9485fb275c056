import { keys } from '@baton/contracts'
import { connectRedis } from '@baton/runtime'
import { until } from '@baton/testing'
import t from 'tap'
import { takeUp } from './advance-run.ts'
import { bare, startOrchestrator, TINY } from './start-orchestrator.ts'

t.test('a key is shown once, and only its hash is kept', async (t) => {
  const { post, get, sql } = await startOrchestrator(t)
  const { status, body } = await post('/api/v1/api-keys', { name: 'ci', role: 'developer', groups: ['a'] })
  t.equal(status, 201)
  t.match(body, { id: /^key_/, name: 'ci', role: 'developer', groups: ['a'], namespace: 'default', revokedAt: null, key: /^btn_.{43}$/ })
  const listed = await get('/api/v1/api-keys')
  t.match(listed.body.items, [{ id: body.id, name: 'ci' }])
  t.notOk(listed.text.includes(body.key))
  t.notOk(JSON.stringify(await sql`select * from api_keys`).includes(body.key))
  t.match(await post('/api/v1/api-keys', { name: 'ci', role: 'viewer' }), { status: 409, body: { code: 'BTN_NAME_TAKEN' } })
  t.match(await post('/api/v1/api-keys', { name: 'x', role: 'king' }), { status: 422, body: { errors: [{ pointer: '/role' }] } })
})

t.test('a revoked key is refused at once, also by other replicas', async (t) => {
  const { ask, post, get, redis } = await startOrchestrator(t)
  const { key, id } = (await post('/api/v1/api-keys', { name: 'ci', role: 'viewer' })).body
  t.equal((await get('/api/v1/runs', { key })).status, 200)
  const listener = connectRedis(redis.url, { name: 'test', blocking: true })
  t.teardown(() => listener.disconnect())
  const heard: string[] = []
  listener.on('message', (_channel, text) => heard.push(text))
  await listener.subscribe(keys.revoked)
  t.equal((await ask('DELETE', `/api/v1/api-keys/${id}`)).status, 204)
  t.match(await get('/api/v1/runs', { key }), { status: 401, body: { code: 'BTN_UNAUTHORIZED' } })
  await until(() => heard.length === 1)
  t.match(heard, [/^[0-9a-f]{64}$/])
  t.equal((await ask('DELETE', `/api/v1/api-keys/${id}`)).status, 204, 'again is no error')
  t.match((await get('/api/v1/api-keys')).body.items, [{ revokedAt: String }])
  t.match(await ask('DELETE', '/api/v1/api-keys/key_nope'), { status: 404, body: { code: 'BTN_KEY_NOT_FOUND' } })
})

t.test('a key that another replica revoked is forgotten when it is told', async (t) => {
  const { post, get, redis, sql } = await startOrchestrator(t)
  const { key } = (await post('/api/v1/api-keys', { name: 'ci', role: 'viewer' })).body
  t.equal((await get('/api/v1/runs', { key })).status, 200)
  const [row] = await sql`update api_keys set revoked_at = now() returning hash`
  t.equal((await get('/api/v1/runs', { key })).status, 200, 'known for a moment longer')
  const publisher = connectRedis(redis.url, { name: 'test' })
  t.teardown(() => publisher.disconnect())
  await publisher.publish(keys.revoked, (row!.hash as Buffer).toString('hex'))
  await until(async () => (await get('/api/v1/runs', { key })).status === 401)
})

t.test('what belongs to another namespace is not there', async (t) => {
  const { ask, post, put, get, save, key, sql } = await startOrchestrator(t)
  await save({ steps: { ask: { approval: { title: 'Go?' } } } }, 'ours')
  const run = (await post('/api/v1/workflows/ours/runs')).body.id
  await takeUp(sql, bare(run))
  const approval = (await get('/api/v1/approvals')).body.items[0].id
  await put('/api/v1/secrets/S', { value: 'x' })
  await put('/api/v1/vars/V', { value: 1 })
  const mine = (await post('/api/v1/api-keys', { name: 'mine', role: 'viewer' })).body.id
  const theirs = await key('admin', { namespace: 'theirs' })
  const developer = await key('developer', { namespace: 'theirs' })
  const paths = [
    `runs/${run}`,
    `runs/${run}/steps`,
    `runs/${run}/events`,
    `runs/${run}/why`,
    `approvals/${approval}`,
    'workflows/ours',
    'workflows/ours/versions/1',
    'secrets/S',
    'vars/V',
  ]
  for (const path of paths) {
    t.equal((await get(`/api/v1/${path}`)).status, 200, path)
    t.equal((await get(`/api/v1/${path}`, { key: theirs })).status, 404, path)
    const header = { 'x-baton-namespace': 'default' }
    t.equal((await get(`/api/v1/${path}`, { key: theirs, headers: header })).status, 200, `${path} by an admin who names the namespace`)
    t.equal((await get(`/api/v1/${path}`, { key: developer, headers: header })).status, 403, `${path} by a developer who names it`)
  }
  t.equal((await post(`/api/v1/runs/${run}/cancel`, undefined, { key: theirs })).status, 404)
  t.equal((await post(`/api/v1/approvals/${approval}/decision`, { decision: 'approve' }, { key: theirs })).status, 404)
  t.equal((await post('/api/v1/workflows/ours/runs', {}, { key: developer })).status, 404)
  t.equal((await ask('DELETE', `/api/v1/api-keys/${mine}`, { key: theirs })).status, 404)
  for (const list of ['runs', 'approvals', 'workflows', 'secrets', 'vars']) {
    t.same((await get(`/api/v1/${list}`, { key: theirs })).body, { items: [], nextCursor: null }, list)
  }
  t.same((await get('/api/v1/runs/count', { key: theirs })).body, { count: 0 })
  await put('/api/v1/workflows/ours', TINY, { key: developer })
  t.match((await post('/api/v1/workflows/ours/runs', {}, { key: developer })).body, { namespace: 'theirs', version: 1 })
})

t.test('secrets are never given back', async (t) => {
  const { ask, put, get, sql } = await startOrchestrator(t)
  const value = 's3cr3t-value-of-a-kind'
  const saved = await put('/api/v1/secrets/SHOP_KEY', { value })
  t.match(saved, { status: 201, body: { name: 'SHOP_KEY', updatedAt: String } })
  t.equal((await put('/api/v1/secrets/SHOP_KEY', { value })).status, 200)
  const texts = [saved.text, (await get('/api/v1/secrets')).text, (await get('/api/v1/secrets/SHOP_KEY')).text]
  texts.push(JSON.stringify(await sql`select * from secrets`))
  t.notOk(texts.some((text) => text.includes(value)))
  t.match(await put('/api/v1/secrets/not-a-name', { value }), { status: 422, body: { errors: [{ pointer: '/path/name' }] } })
  t.match(await put('/api/v1/secrets/A', { value: '' }), { status: 422, body: { errors: [{ pointer: '/value' }] } })
  t.equal((await ask('DELETE', '/api/v1/secrets/SHOP_KEY')).status, 204)
  t.match(await ask('DELETE', '/api/v1/secrets/SHOP_KEY'), { status: 404, body: { code: 'BTN_SECRET_NOT_FOUND' } })
})

t.test('variables hold any JSON value', async (t) => {
  const { ask, put, get } = await startOrchestrator(t)
  for (const value of [1, 'text', null, false, { a: [1, 'x\u0000'] }]) {
    await put('/api/v1/vars/LIMIT', { value })
    t.same((await get('/api/v1/vars/LIMIT')).body.value, value)
  }
  t.match((await get('/api/v1/vars')).body.items, [{ name: 'LIMIT' }])
  t.match(await put('/api/v1/vars/LIMIT', {}), { status: 422, body: { errors: [{ pointer: '/value' }] } })
  t.equal((await ask('DELETE', '/api/v1/vars/LIMIT')).status, 204)
  t.match(await get('/api/v1/vars/LIMIT'), { status: 404, body: { code: 'BTN_VAR_NOT_FOUND' } })
})
