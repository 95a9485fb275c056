import type { Json } from '@baton/contracts'
import t from 'tap'
import { advanceRun, takeUp } from './advance-run.ts'
import { bare, startOrchestrator } from './start-orchestrator.ts'

const http = { http: { url: 'http://x.example/' } }
const WAITING: Record<string, Record<string, Json>> = {
  timer: { steps: { a: { wait: { for: '1h' } } } },
  approval: { steps: { a: { approval: { title: 'Go?' } } } },
  event: { steps: { a: { waitFor: { event: 'never' } } } },
  task: { steps: { a: { task: { capabilities: ['ocr'] } } } },
  call: { steps: { a: http } },
  loop: { steps: { a: { loop: { max: 2, while: 'true', steps: [{ id: 'b', ...http }] } } } },
  retry: { steps: { a: { ...http, retry: { attempts: 2, initial: '1h' } } } },
}

t.test('a run that waits for anything that can come is not stuck; one that waits for nothing is', async (t) => {
  const o = await startOrchestrator(t)
  const ids: Record<string, string> = {}
  for (const [name, definition] of Object.entries(WAITING)) {
    await o.save(definition, name)
    ids[name] = (await o.post(`/api/v1/workflows/${name}/runs`, {})).body.id
    await takeUp(o.sql, bare(ids[name]!))
  }
  await o.sql`
    insert into event_waiters (namespace, type, run_id, path, generation) values ('default', 'never', ${bare(ids.event!)}, 'a', 0)`
  const outcome = { status: 'failed', error: { code: 'BTN_HTTP_STATUS', message: 'no' }, retryable: true } as const
  await advanceRun(o.sql, bare(ids.retry!), [{ kind: 'result', path: 'a', generation: 0, attempt: 1, startedAt: Date.now(), outcome }])
  const paused = (await o.post('/api/v1/workflows/event/runs', {})).body.id
  await takeUp(o.sql, bare(paused))
  await o.post(`/api/v1/runs/${paused}/pause`)
  await advanceRun(o.sql, bare(paused))
  const stuck = async () => (await o.get('/api/v1/runs/stuck?for=0ms')).body.items.map(({ id }: { id: string }) => id)
  t.same(await stuck(), [])
  t.same((await o.get('/api/v1/runs/stuck')).body, { items: [], complete: true, nextCursor: null }, 'a minute, if not told otherwise')

  await o.sql`delete from timers where run_id = ${bare(ids.timer!)}`
  t.same(await stuck(), [ids.timer], 'its timer is gone')
  await o.sql`delete from event_waiters`
  await o.sql`update approvals set status = 'cancelled', closed_at = now()`
  t.same(new Set(await stuck()), new Set([ids.timer, ids.approval, ids.event]), 'their waiter and their approval are gone')
  for (const text of ['nonsense', '3000000d']) t.match(await o.get(`/api/v1/runs/stuck?for=${text}`), { status: 422 }, text)
})

t.test('a stuck run behind many that wait is found, and an answer that was cut short says so', async (t) => {
  const o = await startOrchestrator(t, { BATON_STUCK_RUNS_MAX: '2' })
  await o.save(WAITING.call!, 'call')
  await o.save(WAITING.timer!, 'timer')
  const ids: string[] = []
  for (const name of ['call', 'call', 'call', 'timer', 'timer']) {
    const { id } = (await o.post(`/api/v1/workflows/${name}/runs`, {})).body
    await takeUp(o.sql, bare(id))
    // Some of them at one moment: then the ids count.
    await o.sql`update runs set updated_at = now() - interval '1 hour' + ${ids.length >> 1} * interval '1 s' where id = ${bare(id)}`
    ids.push(id)
  }
  await o.sql`delete from timers`
  const page = async (query: string) => {
    const { items, ...rest } = (await o.get(`/api/v1/runs/stuck${query}`)).body
    return { ids: items.map(({ id }: { id: string }) => id), ...rest }
  }
  const first = await page('')
  t.match(first, { ids: [], complete: false, nextCursor: String }, 'none among those that were looked at is not none')
  const second = await page(`?cursor=${first.nextCursor}`)
  t.match(second, { ids: [ids[3]], complete: false })
  t.same(await page(`?cursor=${second.nextCursor}`), { ids: [ids[4]], complete: true, nextCursor: null })
  const one = await page(`?limit=1&cursor=${first.nextCursor}`)
  t.match(one, { ids: [ids[3]], complete: false })
  t.match(await o.get('/api/v1/runs/stuck?cursor=nonsense'), { status: 422 })
})

t.test('a parent is stuck when its child has ended and it was not told', async (t) => {
  const o = await startOrchestrator(t)
  await o.save({ steps: { a: { workflow: { name: 'kid' } } } }, 'parent')
  const parent = (await o.post('/api/v1/workflows/parent/runs', {})).body.id
  const kid = '01920000-0000-7000-8000-00000000abcd'
  await o.sql`
    update runs set seq = 4, status = 'waiting', started_at = now(), updated_at = now() - interval '1 s' where id = ${bare(parent)}`
  const events = [
    ['run.started', '', {}],
    ['step.scheduled', 'a', { generation: 0, attempt: 1, run: `run_${kid}`, version: 1 }],
    ['step.waiting', 'a', { generation: 0, attempt: 1, waitingFor: { kind: 'run', run: `run_${kid}`, until: null } }],
  ] as const
  for (const [index, [type, path, data]] of events.entries()) {
    await o.sql`
      insert into run_events (run_id, seq, at, namespace, type, path, data)
      values (${bare(parent)}, ${index + 2}, now(), 'default', ${type}, ${path}, ${JSON.stringify(data)}::text::json)`
  }
  await o.sql`
    insert into runs (id, namespace, workflow, version, checksum, input, started_by, parent_run, parent_step, parent_generation, created_at, updated_at)
    select ${kid}, namespace, workflow, version, checksum, input, started_by, id, 'a', 0, now(), now() from runs where id = ${bare(parent)}`
  const stuck = async () => (await o.get('/api/v1/runs/stuck?for=500ms')).body.items.map(({ id }: { id: string }) => id)
  t.same(await stuck(), [], 'its child is open')
  await o.sql`update runs set status = 'cancelled', ended_at = now() where id = ${kid}`
  t.same(await stuck(), [parent])
})
