/** What starts runs from outside, as any program would see it: events, webhooks, schedules. */
import { createHmac } from 'node:crypto'
import { until } from '@baton/testing'
import { type Test, test } from 'tap'
import { type Contract, expectProblem, freshName, type Loose, must, openContract } from './contract-harness.ts'

const ECHO = { steps: { got: { set: { input: '${{ input }}' } } }, output: '${{ steps.got.output.input }}' }
const event = (id: string, more: Record<string, unknown> = {}) => ({ specversion: '1.0', id, source: '/shop', type: 'order.paid', ...more })

test('events, webhooks and schedules start runs, once each', { timeout: 240_000 }, async (t) => {
  const contract = await openContract(t)
  await contract.save('echo', ECHO)
  await t.test('each form of CloudEvents is accepted, the same event once', (t) => acceptsEvents(t, contract))
  await t.test('an event starts what its trigger says', (t) => triggersRuns(t, contract))
  await t.test('a signed delivery starts a run', (t) => takesDeliveries(t, contract))
  await t.test('a schedule starts a run at each slot', (t) => keepsSchedules(t, contract))
})

async function acceptsEvents(t: Test, { call }: Contract): Promise<void> {
  const post = (body: unknown, type: string, headers = {}) => call('POST', '/api/v1/events', { body, type, headers })
  const answers = [
    await post(event('s1', { data: { n: 1 }, ext: 'x' }), 'application/cloudevents+json'),
    await post([event('b1'), event('b2')], 'application/cloudevents-batch+json'),
    await post('{"n":1}', 'application/json', { 'ce-specversion': '1.0', 'ce-id': 'h1', 'ce-source': '/shop', 'ce-type': 'order.paid' }),
    await post([event('b2'), event('s1')], 'application/cloudevents-batch+json'),
  ]
  t.same(
    answers.map(({ status, body }) => [status, body]),
    [
      [202, { accepted: 1, duplicates: 0 }],
      [202, { accepted: 2, duplicates: 0 }],
      [202, { accepted: 1, duplicates: 0 }],
      [202, { accepted: 0, duplicates: 2 }],
    ],
  )
  const three = await Promise.all([1, 2, 3].map(() => post(event('c1'), 'application/cloudevents+json')))
  t.equal(
    three.reduce((sum, { body }) => sum + body.accepted, 0),
    1,
    'three clients at once',
  )
  expectProblem(
    t,
    await post({ ...event('x'), source: undefined }, 'application/cloudevents+json'),
    { status: 422, pointer: '/source' },
    'no source',
  )
  expectProblem(t, await post('{', 'application/cloudevents+json'), { status: 400, pointer: '' }, 'no JSON')
  expectProblem(t, await post('x', 'text/plain'), { status: 415 }, 'no event')
}

/** The runs that carry a label, at their end. */
async function endedRuns({ list, ended }: Contract, label: string, count: number): Promise<Loose[]> {
  const path = `/api/v1/runs?label=${encodeURIComponent(label)}`
  const runs = await until(async () => {
    const found = await list(path)
    return found.length >= count && found
  })
  return Promise.all(runs.map((run: Loose) => ended(run.id)))
}

async function triggersRuns(t: Test, contract: Contract): Promise<void> {
  const { call } = contract
  const name = freshName('t')
  const body = {
    type: 'event',
    event: 'order.big',
    workflow: 'echo',
    where: 'event.data.total > 100',
    input: { total: '${{ event.data.total }}' },
  }
  t.match(must(await call('PUT', `/api/v1/triggers/${name}`, { body }), 201), { name, ...body, enabled: true })
  const events = [50, 150].map((total) => event(`big-${total}`, { type: 'order.big', data: { total } }))
  for (let time = 0; time < 2; time++) must(await call('POST', '/api/v1/events', { body: events }), 202)
  t.match(await endedRuns(contract, `baton.trigger:${name}`, 1), [{ status: 'succeeded', output: { total: 150 } }])
  expectProblem(
    t,
    await call('PUT', `/api/v1/triggers/${name}`, { body: { ...body, input: { a: '${{ events.x }}' } } }),
    { status: 422, pointer: '/input/a' },
    'unknown variable',
  )
  must(await call('DELETE', `/api/v1/triggers/${name}`), 204)
  expectProblem(t, await call('GET', `/api/v1/triggers/${name}`), { status: 404 }, 'deleted')
}

async function takesDeliveries(t: Test, contract: Contract): Promise<void> {
  const { call, ended } = contract
  must(await call('PUT', '/api/v1/secrets/HOOK', { body: { value: 'hush' } }), 201)
  const body = { type: 'webhook', workflow: 'echo', verify: { github: { secret: 'HOOK' } }, input: { ref: '${{ body.ref }}' } }
  const hook = must(await call('PUT', '/api/v1/triggers/push', { body }), 201)
  const payload = '{"ref": "main"}'
  const signature = createHmac('sha256', 'hush').update(payload).digest('hex')
  const deliver = (signed: string, path = hook.url) =>
    call('POST', path, { key: null, body: payload, headers: { 'x-hub-signature-256': `sha256=${signed}`, 'x-github-delivery': 'd1' } })
  const first = must(await deliver(signature), 202)
  t.same(must(await deliver(signature), 200), first, 'again: the same run')
  t.match(await ended(first.run), { status: 'succeeded', output: { ref: 'main' } })
  expectProblem(t, await deliver(signature.replaceAll(/[0-4]/g, '5')), { status: 401, code: 'BTN_SIGNATURE' }, 'forged')
  expectProblem(t, await deliver(signature, '/hooks/unknown'), { status: 404, code: 'BTN_HOOK_NOT_FOUND' }, 'unknown token')
  t.notOk(JSON.stringify(must(await call('GET', '/api/v1/triggers/push'), 200)).includes(hook.token), 'the token is shown once')
}

async function keepsSchedules(t: Test, contract: Contract): Promise<void> {
  const { call } = contract
  const body = { cron: '* * * * * *', timezone: 'Europe/Berlin', workflow: 'echo', input: { at: '${{ schedule.slot }}' } }
  t.match(must(await call('PUT', '/api/v1/schedules/tick', { body }), 201), { name: 'tick', catchUp: 'skip', nextAt: String, lastAt: null })
  const runs = await endedRuns(contract, 'baton.schedule:tick', 3)
  must(await call('DELETE', '/api/v1/schedules/tick'), 204)
  const slots = runs.map((run) => run.labels['baton.slot'])
  t.equal(new Set(slots).size, slots.length, 'each slot once')
  for (const run of runs) t.match(run, { status: 'succeeded', output: { at: run.labels['baton.slot'] } })
  expectProblem(
    t,
    await call('PUT', '/api/v1/schedules/bad', { body: { ...body, cron: '99 * * * *' } }),
    { status: 422, pointer: '/cron' },
    'no cron',
  )
}
