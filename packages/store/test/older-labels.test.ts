import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { emptyDatabase } from '@baton/testing'
import { test } from 'tap'
import { connect, countRuns, createRuns, listRuns, migrate } from '../src/index.ts'
import { newRun } from './fixtures/runs.ts'

const OURS = resolve(import.meta.dirname, '../migrations')

test('runs that were there before their labels had a table are found by them, and so are those of older replicas', async (t) => {
  const { url } = await emptyDatabase(t)
  const folder = mkdtempSync(join(tmpdir(), 'baton-labels-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['0001_baton.sql', '0002_request_id.sql']) cpSync(join(OURS, name), join(folder, name))
  await migrate(url, { folder })
  const sql = connect(url, { max: 1 })
  t.teardown(() => sql.end({ timeout: 1 }))
  const runs = [
    newRun({ labels: { team: 'x', 'a:b': 'c' } }),
    newRun(),
    newRun({ labels: { team: 'x' } }),
    newRun({ labels: { a: 'b:c' } }),
  ]
  await createRuns(sql, runs.slice(0, 2))
  await migrate(url, { expandOnly: true })
  await createRuns(sql, runs.slice(2)) // the statement of every version
  const found = await listRuns(sql, 'default', { label: ['team:x'] }, { limit: 10 })
  t.same(
    found.items.map(({ id }) => id),
    [runs[2]!.id, runs[0]!.id],
  )
  t.equal(await countRuns(sql, 'default', { label: ['a:b:c'] }), 1, 'a key with a colon is not taken for another')
  t.same((await migrate(url)).applied, ['0004_old_indexes_of_lists'])
})
