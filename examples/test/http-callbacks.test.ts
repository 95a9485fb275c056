/** `callback: true` in the whole stack, with services that call back before they answer, twice, forged, or never. */
import { stubServer, until } from '@baton/testing'
import { test } from 'tap'
import { callApi, type Loose, must } from './contract-harness.ts'
import { startStack } from './start-stack.ts'

interface Asked {
  to: string
  how: string
}

const post = async (to: string, body: unknown) => {
  const response = await fetch(to, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  return { status: response.status, body: (await response.json()) as Loose }
}

/** What `how` says a service does with a request. */
async function serve({ to, how }: Asked) {
  if (how === 'first') return { status: 202, body: await post(to, { done: how }) }
  if (how === 'lost') return { ...(await post(to, { done: how })), abort: true }
  if (how === 'refused') return { ...(await post(to, { done: how })), status: 500 }
  return { status: 202, body: { accepted: how, echo: to } }
}

test('callbacks in the whole stack', { timeout: 180_000 }, async (t) => {
  const lines: string[] = []
  const stack = await startStack(t, { settings: { LOG_LEVEL: 'debug' }, onLine: (_service, line) => lines.push(line) })
  const call = (method: string, path: string, body?: unknown) => callApi(stack.url, stack.adminKey, method, path, { body })
  const stub = await stubServer(t, ({ body }) => serve(body as Asked))
  const http = { method: 'POST', url: stub.url, callback: true, body: { to: '${{ callback.url }}', how: '${{ input.how }}' } }
  const steps = { a: { http, retry: { attempts: 3, initial: '10ms' } } }
  const definition = { steps: { a: { ...steps.a, timeout: '1h' } }, output: '${{ steps.a.output }}' }
  must(await call('PUT', '/api/v1/workflows/calls', definition), 201)
  const start = async (how: string, workflow = 'calls') =>
    must(await call('POST', `/api/v1/workflows/${workflow}/runs`, { input: { how } }), 202).id as string
  const ended = async (id: string) => must(await call('GET', `/api/v1/runs/${id}?wait=30s`), 200)
  const askedOf = (id: string) => stub.requests.filter(({ headers }) => String(headers['idempotency-key']).startsWith(id))
  const addressOf = async (id: string) => (await until(() => askedOf(id)[0]?.body as Asked | undefined)).to
  const waiting = (id: string) => until(async () => (await call('GET', `/api/v1/runs/${id}/steps/a`)).body.status === 'waiting')

  await t.test('one that comes before its call returns is not lost', async (t) => {
    const id = await start('first')
    t.match(await ended(id), {
      status: 'succeeded',
      output: { status: 202, body: { done: 'first' }, call: { body: { status: 202, body: { run: id } } } },
    })
    t.equal(askedOf(id).length, 1)
  })

  await t.test('also when its call is never answered, or fails: it is not made again', async (t) => {
    for (const [how, error] of [
      ['lost', { code: 'BTN_HTTP_NETWORK' }],
      ['refused', { code: 'BTN_HTTP_STATUS', status: 500 }],
    ] as const) {
      const id = await start(how)
      t.match(await ended(id), { status: 'succeeded', output: { body: { done: how }, call: { error } } }, how)
      t.equal(must(await call('GET', `/api/v1/runs/${id}/steps/a`), 200).attempt, 1, how)
    }
  })

  await t.test('a second one gets 409, a forged one 401, and the address is seen by nobody else', async (t) => {
    const id = await start('later')
    await waiting(id)
    const to = await addressOf(id)
    t.match(must(await call('GET', `/api/v1/runs/${id}/why`), 200).items[0], { step: 'a', movableBy: ['callback'] })
    t.match(await post(`${to.slice(0, -1)}${to.endsWith('A') ? 'B' : 'A'}`, 1), { status: 401, body: { code: 'BTN_CALLBACK_TOKEN' } })
    const other = await start('later')
    const swapped = to.slice(0, 60) + (await addressOf(other)).slice(60)
    t.match(await post(swapped, 1), { status: 401 }, 'the signature of one with the run of another')
    const answers = await Promise.all([1, 2, 3].map((n) => post(to, { n })))
    t.same(answers.map(({ status }) => status).sort(), [202, 409, 409])
    t.match(await ended(id), { status: 'succeeded', output: { body: { n: answers.findIndex(({ status }) => status === 202) + 1 } } })
    t.match(await post(to, 1), { status: 409, body: { code: 'BTN_CALLBACK_STATE' } })
    const { status } = must(await call('POST', `/api/v1/runs/${other}/cancel`), 202)
    t.equal(status, 'waiting')
    await ended(other)
    t.match(
      await post(await addressOf(other), 1),
      { status: 409, body: { detail: /without a callback/ } },
      'that of a run that was cancelled',
    )

    const shown = []
    for (const path of ['', '/events', '/steps', '/steps/a', '/graph', '/why', '/definition'])
      shown.push(await call('GET', `/api/v1/runs/${id}${path}`))
    const token = to.slice(to.lastIndexOf('/') + 1)
    t.notOk(JSON.stringify(shown).includes(token), 'no view shows it')
    t.match(JSON.stringify(shown), /\[redacted\]/)
    t.notOk(
      lines.some((line) => line.includes(token)),
      'no log line has it',
    )
    t.ok(lines.some((line) => line.includes('callback received')))
    const metrics = await (await fetch(`${stack.url}/metrics`)).text()
    t.match(metrics, /baton_callbacks_total\{[^}]*outcome="forged"[^}]*\} 2/)
  })

  await t.test('while the run is paused it is taken, and the run goes on at resume', async (t) => {
    const id = await start('later')
    await waiting(id)
    await call('POST', `/api/v1/runs/${id}/pause`)
    await until(async () => (await call('GET', `/api/v1/runs/${id}`)).body.status === 'paused')
    t.equal((await post(await addressOf(id), 'while paused')).status, 202)
    await until(async () => (await call('GET', `/api/v1/runs/${id}/steps/a`)).body.status === 'succeeded')
    t.equal((await call('GET', `/api/v1/runs/${id}`)).body.status, 'paused')
    await call('POST', `/api/v1/runs/${id}/resume`)
    t.match(await ended(id), { status: 'succeeded', output: { body: 'while paused' } })
  })

  await t.test('a wait that is too long fails, its address is worth nothing then, and a retry brings another', async (t) => {
    must(await call('PUT', '/api/v1/workflows/hurry', { ...definition, steps: { a: { ...steps.a, timeout: '1s' } } }), 201)
    const id = await start('later', 'hurry')
    t.match(await ended(id), { status: 'failed', error: { code: 'BTN_TIMEOUT', step: 'a' } })
    const late = await addressOf(id)
    t.match(await post(late, 1), { status: 409 })
    must(await call('POST', `/api/v1/runs/${id}/retry`), 202)
    const again = await until(() => askedOf(id)[1]?.body as Asked | undefined)
    t.not(again.to, late)
    t.match(await post(late, 1), { status: 409 })
    t.equal((await post(again.to, 'new')).status, 202)
    t.match(await ended(id), { status: 'succeeded', output: { body: 'new' } })
  })
})
