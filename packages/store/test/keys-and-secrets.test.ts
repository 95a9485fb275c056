import { createHash, randomUUIDv7 } from 'node:crypto'
import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import {
  createApiKey,
  createSecretBox,
  deleteVar,
  findApiKey,
  getApiKey,
  getBlobs,
  getVar,
  hashApiKey,
  listAllVars,
  listApiKeys,
  listVars,
  putBlobs,
  putVar,
  revokeApiKey,
  SecretUnreadable,
} from '../src/index.ts'

test('a secret is never stored in clear, and opens with its master key alone', async (t) => {
  const { sql } = await testDatabase(t)
  const box = createSecretBox('a master key of high entropy')
  const value = 'sk-test-Ünïcode-0123456789'
  t.match(await box.putSecret(sql, 'default', 'API_KEY', value), { name: 'API_KEY', created: true })
  t.match(await box.putSecret(sql, 'default', 'API_KEY', value), { created: false })
  t.same(await box.readSecrets(sql, 'default', ['API_KEY', 'NONE']), new Map([['API_KEY', value]]))
  t.same(await box.readSecrets(sql, 'other', ['API_KEY']), new Map())
  const [dump] =
    await sql`select string_agg(s::text, ' ') as rows, bool_or(position(convert_to(${value}, 'UTF8') in ciphertext) > 0) as clear from secrets s`
  t.equal(dump!.clear, false)
  t.notOk(dump!.rows.includes('sk-test'))
  t.notOk(dump!.rows.includes(Buffer.from(value).toString('hex')))
  await t.rejects(createSecretBox('another').readSecrets(sql, 'default', ['API_KEY']), SecretUnreadable)
  const info = await box.listSecrets(sql, 'default', { limit: 10 })
  t.same(Object.keys(info.items[0]!).sort(), ['createdAt', 'name', 'updatedAt'])
  t.same([await box.deleteSecret(sql, 'default', 'API_KEY'), await box.deleteSecret(sql, 'default', 'API_KEY')], [true, false])
})

test('a secret that was moved to another name or namespace does not open', async (t) => {
  const { sql } = await testDatabase(t)
  const box = createSecretBox('key')
  await box.putSecret(sql, 'default', 'A', 'value')
  await sql`update secrets set name = 'B'`
  await t.rejects(box.readSecrets(sql, 'default', ['B']), SecretUnreadable)
})

test('equal secrets do not look equal', async (t) => {
  const { sql } = await testDatabase(t)
  const box = createSecretBox('key')
  await box.putSecret(sql, 'default', 'A', 'value')
  await box.putSecret(sql, 'default', 'B', 'value')
  t.match(await sql`select count(distinct ciphertext) as n, count(distinct nonce) as m from secrets`, [{ n: 2, m: 2 }])
})

test('a key is found by its hash until it is revoked, and its name is free again then', async (t) => {
  const { sql } = await testDatabase(t)
  const key = (name: string, namespace = 'default') => ({
    id: randomUUIDv7(),
    namespace,
    name,
    role: 'operator' as const,
    groups: ['a b', 'c'],
    hash: hashApiKey(`${namespace}${name}${Math.random()}`),
  })
  const first = key('ann')
  t.match(await createApiKey(sql, first), { id: first.id, name: 'ann', role: 'operator', groups: ['a b', 'c'], revokedAt: null })
  t.equal(await createApiKey(sql, key('ann')), undefined)
  t.ok(await createApiKey(sql, key('ann', 'other')))
  t.match(await findApiKey(sql, first.hash), { id: first.id, namespace: 'default' })
  t.equal(await revokeApiKey(sql, 'other', first.id), undefined)
  const revoked = await revokeApiKey(sql, 'default', first.id)
  t.ok(revoked!.hash.equals(first.hash))
  t.equal((await revokeApiKey(sql, 'default', first.id))!.revokedAt, revoked!.revokedAt)
  t.equal(await findApiKey(sql, first.hash), undefined)
  t.match(await getApiKey(sql, 'default', first.id), { revokedAt: Number })
  const second = key('ann')
  t.ok(await createApiKey(sql, second))
  t.same(
    (await listApiKeys(sql, 'default', { limit: 10 })).items.map((row) => row.id),
    [second.id, first.id],
  )
  const [row] = await sql`select string_agg(k::text, ' ') as rows from api_keys k`
  t.notOk(/"hash"/.test(row!.rows))
})

test('variables keep any JSON value and are paged', async (t) => {
  const { sql } = await testDatabase(t)
  t.match(await putVar(sql, 'default', 'A', null), { name: 'A', value: null, created: true })
  t.match(await putVar(sql, 'default', 'A', { b_c: [1, 'x'] }), { value: { b_c: [1, 'x'] }, created: false })
  await putVar(sql, 'default', 'B', 'text')
  await putVar(sql, 'other', 'C', 1)
  t.same(await listAllVars(sql, 'default'), { A: { b_c: [1, 'x'] }, B: 'text' })
  const first = await listVars(sql, 'default', { limit: 1 })
  const second = await listVars(sql, 'default', { limit: 1, cursor: first.nextCursor! })
  t.same([first.items[0]!.name, second.items[0]!.name, second.nextCursor], ['B', 'A', null])
  t.match(await getVar(sql, 'default', 'B'), { value: 'text' })
  t.same([await deleteVar(sql, 'default', 'B'), await deleteVar(sql, 'default', 'B')], [true, false])
})

test('a payload is stored once and touched when it is used again', async (t) => {
  const { sql } = await testDatabase(t)
  const text = JSON.stringify({ big: 'x'.repeat(100_000), zero: '\u0000' })
  const id = `sha256:${createHash('sha256').update(text).digest('hex')}`
  await putBlobs(sql, 'default', new Map([[id, text]]))
  await sql`update blobs set touched_at = now() - interval '2 hours'`
  await Promise.all([
    putBlobs(
      sql,
      'default',
      new Map([
        [id, text],
        ['sha256:2', '1'],
      ]),
    ),
    putBlobs(
      sql,
      'default',
      new Map([
        ['sha256:2', '1'],
        [id, text],
      ]),
    ),
  ])
  t.match(await sql`select count(*) as n, bool_and(touched_at > now() - interval '1 minute') as fresh from blobs`, [{ n: 2, fresh: true }])
  t.same(await getBlobs(sql, 'default', [id, 'sha256:none']), new Map([[id, JSON.parse(text)]]))
  t.equal((await getBlobs(sql, 'other', [id])).size, 0)
})
