/** What a run refers to is noted before its commit, so that it outlives the collector. */
import { createHash } from 'node:crypto'
import { collectBlobs, getBlobTexts, noteBlobUses, putBlobs } from '@baton/store'
import { testDatabase } from '@baton/testing'
import t from 'tap'
import { advanceRuns } from '../src/advance-runs.ts'
import { createRunner, resultOf, saveWorkflow, startOf, startRuns } from './advance-harness.ts'

const DEFINITION = {
  steps: {
    a: { http: { url: 'http://x.example/' } },
    b: { switch: { cases: [{ if: 'true', steps: { c: { needs: [], set: { copy: '${{ steps.a.output.text }}' } } } }] }, needs: ['a'] },
  },
  output: { text: '${{ steps.a.output.text }}' },
}
const DAY_MS = 86_400_000

t.test('large results of workers, what is made of them, and large inputs stay as long as their run', async (t) => {
  const { sql } = await testDatabase(t)
  const plan = await saveWorkflow(sql, 'large', DEFINITION)
  const put = async (value: object) => {
    const text = JSON.stringify(value)
    const $blob = `sha256:${createHash('sha256').update(text).digest('hex')}`
    await putBlobs(sql, 'default', new Map([[$blob, text]]))
    return { $blob, bytes: text.length }
  }
  const input = await put({ big: 'i'.repeat(70_000) })
  const [id] = await startRuns(sql, 'large', DEFINITION, 1, input)
  const runner = createRunner(sql, [plan])
  runner.store.noteBlobUses = (uses) => noteBlobUses(sql, uses)
  await advanceRuns(runner, [startOf(id!)])
  // The worker has stored its answer by itself.
  const answer = await put({ text: 'x'.repeat(70_000) })
  await put({ text: 'nobody took this one' })
  await advanceRuns(runner, [resultOf(runner.sent.flatMap(({ calls }) => calls)[0]!, answer)])
  t.equal((await sql`select from runs where status = 'succeeded'`).length, 1)
  await sql`update blobs set touched_at = now() - interval '2 days'`
  const before = (await sql`select from blobs`).length
  t.ok(before >= 4, `${before} payloads`)
  t.equal((await collectBlobs(sql, DAY_MS, 100)).collected, 1)
  const texts = (await sql<{ data: string }[]>`select data::text as data from run_events where run_id = ${id!}`).map(({ data }) => data)
  const referred = new Set([input.$blob, ...texts.flatMap((text) => text.match(/sha256:[0-9a-f]{64}/g) ?? [])])
  t.equal((await getBlobTexts(sql, 'default', [...referred])).size, referred.size, 'every reference can be followed')
})
