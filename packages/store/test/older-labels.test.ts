import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { emptyDatabase } from '@baton/testing'
import { test } from 'tap'
import { connect, countRuns, createRuns, listRuns, migrate, type NewRun } from '../src/index.ts'
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
  const startOld = async (run: NewRun) => sql`
    insert into runs (id, namespace, workflow, version, checksum, labels, input, started_by, created_at, updated_at)
    values (${run.id}, ${run.namespace}, ${run.workflow}, ${run.version}, ${run.checksum}, ${JSON.stringify(run.labels ?? {})}::text::jsonb,
            'null', ${run.startedBy}, now(), now())`
  for (const run of runs.slice(0, 2)) await startOld(run)
  await migrate(url, { expandOnly: true })
  await startOld(runs[2]!) // an older replica beside us
  await createRuns(sql, runs.slice(3))
  const found = await listRuns(sql, 'default', { label: ['team:x'] }, { limit: 10 })
  t.same(
    found.items.map(({ id }) => id),
    [runs[2]!.id, runs[0]!.id],
  )
  t.equal(await countRuns(sql, 'default', { label: ['a:b:c'] }), 1, 'a key with a colon is not taken for another')
  t.same((await migrate(url)).applied, ['0004_old_indexes_of_lists'])
})
