import { type Json, Schedule } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { type Orchestrator, settingsOf, startOrchestrator, TINY } from './start-orchestrator.ts'

type Run = { id: string; input: Json; labels: Record<string, string>; createdAt: string; priority: number }

/** Runs of the schedule, oldest slot first. */
async function runsOf({ get }: Orchestrator, name: string): Promise<Run[]> {
  const { body } = await get(`/api/v1/runs?label=baton.schedule:${name}&limit=200`)
  return (body.items as Run[]).toSorted((a, b) => a.labels['baton.slot']!.localeCompare(b.labels['baton.slot']!))
}

const put = (bench: Orchestrator, name: string, body: Record<string, Json>) =>
  bench.put(`/api/v1/schedules/${name}`, { workflow: 'tiny', ...body })

t.test('a schedule shows what it was given, and its next slot', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  const made = await put(bench, 'nightly', {
    cron: '0 3 * * *',
    timezone: 'Europe/Berlin',
    labels: { team: 'a' },
    priority: 7,
    input: { a: 1 },
  })
  t.equal(made.status, 201)
  t.ok(Schedule.safeParse(made.body).success)
  t.match(made.body, {
    name: 'nightly',
    workflow: 'tiny',
    cron: '0 3 * * *',
    timezone: 'Europe/Berlin',
    catchUp: 'skip',
    enabled: true,
    labels: { team: 'a' },
    priority: 7,
    input: { a: 1 },
    lastAt: null,
    lastRun: null,
    lastError: null,
  })
  t.match(made.body.nextAt, /T0[12]:00:00\.000Z$/)
  t.same((await bench.get('/api/v1/schedules/nightly')).body, made.body)
  t.match(await put(bench, 'nightly', { cron: '0 3 * * *', enabled: false }), {
    status: 200,
    body: { enabled: false, nextAt: null, timezone: 'UTC', input: {} },
  })
  await put(bench, 'hourly', { cron: '@hourly' })
  const page = (await bench.get('/api/v1/schedules?limit=1')).body
  t.match(page, { items: [{ name: 'hourly' }], nextCursor: String })
  t.match((await bench.get(`/api/v1/schedules?limit=1&cursor=${page.nextCursor}`)).body, { items: [{ name: 'nightly' }], nextCursor: null })
  t.match(await bench.ask('DELETE', '/api/v1/schedules/hourly'), { status: 204 })
  t.match(await bench.get('/api/v1/schedules/hourly'), { status: 404, body: { code: 'BTN_SCHEDULE_NOT_FOUND' } })
})

t.test('a schedule that cannot be is refused at its place', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save({ ...TINY, input: { type: 'object', required: ['day'], properties: { day: { type: 'string' } } } }, 'strict')
  await bench.save(TINY, 'tiny')
  const refused = async (body: Record<string, Json>, pointer: string, code = 'BTN_INVALID_REQUEST') => {
    const answer = await put(bench, 'x', { cron: '@daily', ...body })
    t.match(answer, { status: 422, body: { code, errors: [{ pointer }] } }, answer.text)
  }
  await refused({ cron: '61 * * * *' }, '/cron')
  await refused({ cron: '0 0 30 2 *' }, '/cron')
  await refused({ timezone: 'Mars/Base' }, '/timezone')
  await refused({ catchUp: 'some' }, '/catchUp')
  await refused({ workflow: 'nobody' }, '/workflow')
  await refused({ tag: 'none' }, '/tag')
  await refused({ workflow: 'strict' }, '/input/day', 'BTN_INVALID_INPUT')
  await refused({ input: { a: '${{ event.x }}' } }, '/input/a')
  await refused({ input: '${{ schedule.nothing }}' }, '/input', 'BTN_MAPPING')
  await refused({ labels: { a: '\u0000' } }, '/labels')
  t.match(await put(bench, 'x', { cron: '@daily', workflow: 'strict', input: { day: '${{ schedule.slot }}' } }), { status: 201 })
  await bench.ask('DELETE', '/api/v1/workflows/tiny')
  t.match(await put(bench, 'x', { cron: '@daily' }), { status: 409, body: { code: 'BTN_WORKFLOW_ARCHIVED' } })
})

t.test('each slot starts one run, with several replicas', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  const others = await Promise.all([1, 2].map(() => buildApp(settingsOf(bench))))
  for (const { app } of others) t.teardown(() => app.close())
  const names = ['a', 'b', 'c']
  await Promise.all(
    names.map((name) => put(bench, name, { cron: '* * * * * *', input: { at: '${{ schedule.slot }}', of: '${{ schedule.name }}' } })),
  )
  await until(async () => (await runsOf(bench, 'a')).length >= 6, { timeoutMs: 20_000 })
  for (const name of names) {
    const runs = await runsOf(bench, name)
    const slots = runs.map((run) => Date.parse(run.labels['baton.slot']!))
    t.same(
      slots,
      slots.map((_, n) => slots[0]! + n * 1_000),
      'no slot is missing, none is there twice',
    )
    for (const [n, run] of runs.entries()) {
      const lateMs = Date.parse(run.createdAt) - slots[n]!
      t.ok(lateMs >= 0 && lateMs < 5_000, `${lateMs} ms late`)
    }
    t.match(runs[0], { input: { of: name, at: runs[0]!.labels['baton.slot'] }, priority: 5 })
  }
  const { body } = await bench.get('/api/v1/schedules/a')
  const last = (await runsOf(bench, 'a')).find((run) => run.labels['baton.slot'] === body.lastAt)
  t.equal(body.lastRun, last?.id)
})

t.test('slots that were missed follow the policy of their schedule', async (t) => {
  const bench = await startOrchestrator(t, { BATON_CATCH_UP_SLOTS_MAX: '20' })
  await bench.save(TINY, 'tiny')
  const policies = { skip: 'skip', last: 'last', all: 'all', many: 'all' }
  for (const [name, catchUp] of Object.entries(policies)) await put(bench, name, { cron: '@hourly', catchUp })
  await bench.sql`update schedules set next_at = date_trunc('hour', now()) - case name when 'many' then 100 else 9 end * interval '1 hour'`
  const nexts = await until(async () => {
    const { items } = (await bench.get('/api/v1/schedules')).body as { items: Schedule[] }
    return items.every((item) => Date.parse(item.nextAt!) > Date.now()) && items.map((item) => item.nextAt)
  })
  const nextHour = Date.parse(nexts[0]!)
  const hoursAgo = async (name: string) =>
    (await runsOf(bench, name)).map((run) => (nextHour - Date.parse(run.labels['baton.slot']!)) / 3_600_000)
  t.same(await hoursAgo('skip'), [], 'skip: none')
  t.same(await hoursAgo('last'), [1], 'last: the newest')
  t.same(await hoursAgo('all'), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 'all: each')
  t.same(
    await hoursAgo('many'),
    Array.from({ length: 20 }, (_, n) => 20 - n),
    'all, up to its bound: the newest',
  )
  const ids = (await runsOf(bench, 'all')).map((run) => run.id)
  t.same(ids, ids.toSorted(), 'in the order of their slots')
})

t.test('a run that cannot be started is told, and later slots are not lost', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  await put(bench, 's', { cron: '* * * * * *', input: { n: 1 } })
  await until(async () => (await runsOf(bench, 's')).length > 0)
  await bench.save({ ...TINY, input: { type: 'object', required: ['m'] } }, 'tiny')
  const refused = await until(async () => {
    const { body } = await bench.get('/api/v1/schedules/s')
    return body.lastError && body
  })
  t.match(refused, { lastError: { message: /BTN_INVALID_INPUT/, at: String }, nextAt: String })
  const before = (await runsOf(bench, 's')).length
  await bench.save(TINY, 'tiny')
  await until(async () => (await runsOf(bench, 's')).length > before)
  t.match((await bench.get('/metrics', { key: null })).text, /baton_schedule_slots_total\{outcome="refused"\} [1-9]/)
})

t.test('a schedule that is saved again keeps the slot that it is at', async (t) => {
  const bench = await startOrchestrator(t)
  await bench.save(TINY, 'tiny')
  const { body } = await put(bench, 's', { cron: '0 0 1 1 *' })
  await bench.sql`update schedules set next_at = now() + interval '1 hour'`
  const again = await put(bench, 's', { cron: '0 0 1 1 *', input: { n: 2 } })
  t.not(again.body.nextAt, body.nextAt)
  t.equal((await put(bench, 's', { cron: '0 0 1 1 *', timezone: 'Etc/UTC' })).body.nextAt, body.nextAt, 'another zone: anew')
  t.equal((await put(bench, 's', { cron: '0 0 1 1 *', timezone: 'Etc/UTC', enabled: false })).body.nextAt, null)
})
