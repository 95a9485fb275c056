import { withTransaction } from '@baton/store'
import { until } from '@baton/testing'
import t from 'tap'
import { judge } from '../src/control-run.ts'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, startOrchestrator, TINY } from './start-orchestrator.ts'

const WAITING = { steps: { ask: { approval: { title: 'Go?' } } } }

t.test('what may be asked of a run depends on its state alone', async (t) => {
  const table: [Parameters<typeof judge>[1]['status'], string, string, string][] = [
    ['queued', 'accept', 'accept', 'already'],
    ['running', 'accept', 'accept', 'already'],
    ['waiting', 'accept', 'accept', 'already'],
    ['paused', 'accept', 'already', 'accept'],
    ['succeeded', 'impossible', 'impossible', 'impossible'],
    ['failed', 'impossible', 'impossible', 'impossible'],
    ['cancelled', 'already', 'impossible', 'impossible'],
    ['timed_out', 'impossible', 'impossible', 'impossible'],
  ]
  for (const [status, cancel, pause, resume] of table) {
    const verdicts = (['cancel', 'pause', 'resume'] as const).map((command) => judge(command, { status, ending: null }))
    t.same(verdicts, [cancel, pause, resume], status)
  }
  t.equal(judge('cancel', { status: 'running', ending: 'cancelled' }), 'already')
  t.equal(judge('cancel', { status: 'running', ending: 'failed' }), 'impossible')
  t.equal(judge('pause', { status: 'running', ending: 'cancelled' }), 'impossible')
})

t.test('a run is cancelled by what was accepted, not by who asked', async (t) => {
  const { post, get, save, sql } = await startOrchestrator(t)
  await save(WAITING, 'w')
  const { id } = (await post('/api/v1/workflows/w/runs')).body
  await takeUp(sql, bare(id))
  const accepted = await post(`/api/v1/runs/${id}/cancel`)
  t.match(accepted, { status: 202, body: { id, status: 'waiting' } })
  t.equal((await post(`/api/v1/runs/${id}/cancel`)).status, 200, 'it is on its way already')
  t.equal((await sql`select from inbox`).length, 1)
  await advanceRun(sql, bare(id))
  t.match((await get(`/api/v1/runs/${id}`)).body, { status: 'cancelled' })
  t.match(await post(`/api/v1/runs/${id}/cancel`), { status: 200, body: { status: 'cancelled' } })
  t.match(await post(`/api/v1/runs/${id}/pause`), { status: 409, body: { code: 'BTN_RUN_STATE', detail: /cancelled/ } })
})

t.test('a resume right after a pause is not lost', async (t) => {
  const { post, get, save, sql } = await startOrchestrator(t)
  await save(WAITING, 'w')
  const { id } = (await post('/api/v1/workflows/w/runs')).body
  await takeUp(sql, bare(id))
  t.equal((await post(`/api/v1/runs/${id}/resume`)).status, 200, 'it is not paused')
  t.equal((await post(`/api/v1/runs/${id}/pause`)).status, 202)
  t.equal((await post(`/api/v1/runs/${id}/resume`)).status, 202)
  await advanceRun(sql, bare(id))
  t.equal((await get(`/api/v1/runs/${id}`)).body.status, 'waiting')
  t.equal((await post(`/api/v1/runs/${id}/pause`)).status, 202)
  await advanceRun(sql, bare(id))
  t.match(await post(`/api/v1/runs/${id}/pause`), { status: 200, body: { status: 'paused' } })
  t.equal((await post(`/api/v1/runs/${id}/resume`)).status, 202)
})

t.test('a resume is not lost either when the pause is applied while it is judged', async (t) => {
  const { post, save, sql } = await startOrchestrator(t)
  await save(WAITING, 'w')
  const { id } = (await post('/api/v1/workflows/w/runs')).body
  await takeUp(sql, bare(id))
  t.equal((await post(`/api/v1/runs/${id}/pause`)).status, 202)
  const resumed = await withTransaction(sql, async (tx) => {
    await tx`lock table inbox in access exclusive mode`
    const answer = post(`/api/v1/runs/${id}/resume`)
    await until(async () => (await sql`select from pg_locks where relation = 'inbox'::regclass and not granted`).length > 0)
    await tx`update runs set status = 'paused' where id = ${bare(id)}`
    await tx`delete from inbox where run_id = ${bare(id)}`
    return { answer }
  })
  t.equal((await resumed.answer).status, 202)
  t.match(await sql`select fact from inbox`, [{ fact: { kind: 'resume' } }])
})

t.test('what has ended stays so', async (t) => {
  const { post, save, sql } = await startOrchestrator(t)
  await save(TINY, 'w')
  const { id } = (await post('/api/v1/workflows/w/runs')).body
  await takeUp(sql, bare(id))
  for (const command of ['cancel', 'pause', 'resume']) {
    t.match(await post(`/api/v1/runs/${id}/${command}`), { status: 409, body: { code: 'BTN_RUN_STATE', detail: /succeeded/ } })
  }
  t.equal((await sql`select from inbox`).length, 0)
})
