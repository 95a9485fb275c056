import { testDatabase } from '@baton/testing'
import { test } from 'tap'
import {
  archiveWorkflow,
  connect,
  getDefinition,
  getVersion,
  getWorkflow,
  listVersions,
  listWorkflows,
  putTag,
  putWorkflow,
  resolveVersion,
  type Sql,
} from '../src/index.ts'

function put(sql: Sql, name: string, n: number, more = {}) {
  return putWorkflow(sql, {
    namespace: 'default',
    name,
    description: `n${n}`,
    checksum: `sha256:${n}`,
    definition: { z: n, a: { b_c: [] } },
    createdBy: 'key_1',
    ...more,
  })
}

test('a definition equal to the highest version is that version, an older one is new', async (t) => {
  const { sql } = await testDatabase(t)
  t.same(await put(sql, 'a', 1), { version: 1, created: true, revived: false })
  t.same(await put(sql, 'a', 1), { version: 1, created: false, revived: false })
  t.same(await put(sql, 'a', 2), { version: 2, created: true, revived: false })
  t.same(await put(sql, 'a', 1), { version: 3, created: true, revived: false })
  t.match(await getWorkflow(sql, 'default', 'a'), {
    name: 'a',
    version: 3,
    checksum: 'sha256:1',
    description: 'n1',
    tags: {},
    archived: false,
    definition: { z: 1, a: { b_c: [] } },
  })
  t.equal(JSON.stringify(await getDefinition(sql, 'default', 'sha256:2')), '{"z":2,"a":{"b_c":[]}}', 'keys keep their order')
  t.equal(await getDefinition(sql, 'other', 'sha256:2'), undefined)
  t.match(await getVersion(sql, 'default', 'a', 2), { version: 2, checksum: 'sha256:2', createdBy: 'key_1', definition: { z: 2 } })
  t.equal(await getVersion(sql, 'default', 'a', 4), undefined)
  t.equal(await getVersion(sql, 'default', 'a', 2 ** 40), undefined)
  const first = await listVersions(sql, 'default', 'a', { limit: 2 })
  t.same(
    first.items.map((row) => row.version),
    [3, 2],
  )
  t.same(
    (await listVersions(sql, 'default', 'a', { limit: 2, cursor: first.nextCursor! })).items.map((row) => row.version),
    [1],
  )
})

test('definitions that are saved at once get versions without gaps', async (t) => {
  const { sql, url } = await testDatabase(t)
  const pools = Array.from({ length: 5 }, () => connect(url, { max: 4 }))
  t.teardown(() => Promise.all(pools.map((pool) => pool.end({ timeout: 1 }))))
  const saved = await Promise.all(Array.from({ length: 20 }, (_, n) => put(pools[n % 5]!, 'a', n)))
  t.same(
    saved.map((row) => row.version).sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
  const same = await Promise.all(pools.map((pool) => put(pool, 'b', 1)))
  t.same([same.filter((row) => row.created).length, ...new Set(same.map((row) => row.version))], [1, 1])
  t.equal((await listWorkflows(sql, 'default', { limit: 10 })).items.length, 2)
})

test('a start means the version given, the tag given, live, or the highest', async (t) => {
  const { sql } = await testDatabase(t)
  await put(sql, 'a', 1)
  await put(sql, 'a', 2)
  await put(sql, 'a', 3)
  t.match(await resolveVersion(sql, 'default', 'a', {}), { version: 3, checksum: 'sha256:3', archived: false })
  t.equal(await putTag(sql, 'default', 'a', 'live', 2), true)
  t.equal(await putTag(sql, 'default', 'a', 'canary', 3), true)
  t.equal(await putTag(sql, 'default', 'a', 'canary', 1), true)
  t.equal(await putTag(sql, 'default', 'a', 'x', 9), false)
  t.match(await resolveVersion(sql, 'default', 'a', {}), { version: 2 })
  t.match(await resolveVersion(sql, 'default', 'a', { tag: 'canary' }), { version: 1 })
  t.match(await resolveVersion(sql, 'default', 'a', { version: 3 }), { version: 3 })
  t.equal(await resolveVersion(sql, 'default', 'a', { tag: 'none' }), undefined)
  t.equal(await resolveVersion(sql, 'default', 'a', { version: 4 }), undefined)
  t.equal(await resolveVersion(sql, 'default', 'b', {}), undefined)
  t.same((await getWorkflow(sql, 'default', 'a'))!.tags, { live: 2, canary: 1 })
})

test('an archived workflow says so and is revived by saving it again', async (t) => {
  const { sql } = await testDatabase(t)
  await put(sql, 'a', 1)
  t.equal(await archiveWorkflow(sql, 'default', 'a'), true)
  t.equal(await archiveWorkflow(sql, 'default', 'a'), true)
  t.equal(await archiveWorkflow(sql, 'default', 'b'), false)
  t.match(await resolveVersion(sql, 'default', 'a', {}), { archived: true })
  t.match((await listWorkflows(sql, 'default', { limit: 10 }, { archived: false })).items, [])
  t.same(await put(sql, 'a', 1), { version: 1, created: false, revived: true })
  await archiveWorkflow(sql, 'default', 'a')
  t.same(await put(sql, 'a', 2), { version: 2, created: true, revived: true })
  t.match(await resolveVersion(sql, 'default', 'a', {}), { archived: false })
})

test('pages of workflows cover each once', async (t) => {
  const { sql } = await testDatabase(t)
  for (const name of ['a', 'b', 'c', 'd', 'e']) await put(sql, name, 1)
  await sql`update workflows set created_at = '2025-01-01'  where name in ('a', 'b', 'c')`
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = await listWorkflows(sql, 'default', { limit: 2, cursor })
    seen.push(...page.items.map((row) => row.name))
    cursor = page.nextCursor ?? undefined
  } while (cursor)
  t.same(seen, ['e', 'd', 'a', 'b', 'c'])
})
