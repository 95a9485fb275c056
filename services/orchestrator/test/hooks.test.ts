import { createHmac } from 'node:crypto'
import type { Json } from '@baton/contracts'
import { until } from '@baton/testing'
import t from 'tap'
import { type Orchestrator, startOrchestrator, TINY } from './start-orchestrator.ts'

const SECRET = 'whsec_0123456789'
const hmac = (text: string, { algorithm = 'sha256', secret = SECRET, encoding = 'hex' as 'hex' | 'base64' } = {}) =>
  createHmac(algorithm, secret).update(text).digest(encoding)

async function prepare(t: Parameters<typeof startOrchestrator>[0], settings = {}) {
  const bench = await startOrchestrator(t, settings)
  await bench.save(TINY, 'tiny')
  await bench.put('/api/v1/secrets/HOOK', { value: SECRET })
  return bench
}

/** Makes a webhook, and what delivers to it. */
async function webhook(bench: Orchestrator, name: string, body: Record<string, Json>) {
  const made = await bench.put(`/api/v1/triggers/${name}`, { type: 'webhook', workflow: 'tiny', ...body })
  if (made.status !== 201) throw new Error(made.text)
  const deliver = (text: string, headers: Record<string, string> = {}, type = 'application/json') =>
    bench.ask('POST', made.body.url, { key: null, text, type, headers })
  return { made: made.body, deliver }
}

const inputOf = async ({ get }: Orchestrator, run: string) => (await get(`/api/v1/runs/${run}`)).body.input

t.test('GitHub: a delivery starts one run if it is signed, however often it comes', async (t) => {
  const bench = await prepare(t)
  const { deliver } = await webhook(bench, 'push', { verify: { github: { secret: 'HOOK' } } })
  const body = '{"ref":"refs/heads/main", "n": 1}'
  const headers = { 'x-hub-signature-256': `sha256=${hmac(body)}`, 'x-github-delivery': 'd-1' }
  const first = await deliver(body, headers)
  t.match(first, { status: 202, body: { run: /^run_/ } })
  t.match(await deliver(body, headers), { status: 200, body: first.body }, 'the same again')
  t.match(await bench.get(`/api/v1/runs/${first.body.run}`), {
    body: { input: { ref: 'refs/heads/main', n: 1 }, labels: { 'baton.trigger': 'push' } },
  })
  for (const signature of [
    `sha256=${hmac(`${body} `)}`,
    `sha256=${hmac(body, { secret: 'x' })}`,
    hmac(body),
    'sha256=',
    '',
    `sha1=${hmac(body)}`,
  ]) {
    t.match(
      await deliver(body, { ...headers, 'x-hub-signature-256': signature }),
      { status: 401, body: { code: 'BTN_SIGNATURE' } },
      signature,
    )
  }
  t.match(await deliver(body), { status: 401 }, 'without a signature')
  t.match(await deliver(body, { ...headers, 'x-github-delivery': 'd-2' }), { status: 202 })
  const form = `payload=${encodeURIComponent('{"zen":"yes"}')}`
  const ping = await deliver(form, { 'x-hub-signature-256': `sha256=${hmac(form)}` }, 'application/x-www-form-urlencoded')
  t.same(await inputOf(bench, ping.body.run), { zen: 'yes' })
  t.match((await bench.get('/api/v1/triggers/push')).body.lastError, { message: /BTN_SIGNATURE/ })
})

t.test('Stripe: any of the signatures counts, and only for five minutes', async (t) => {
  const bench = await prepare(t)
  const { deliver } = await webhook(bench, 'paid', { verify: { stripe: { secret: 'HOOK' } } })
  const body = '{"id":"evt_1","type":"invoice.paid"}'
  const sign = (at: number, more = '') => `t=${at},${more}v1=${hmac(`${at}.${body}`)},v0=${hmac('x')}`
  const now = Math.floor(Date.now() / 1_000)
  const first = await deliver(body, { 'stripe-signature': sign(now - 200, `v1=${hmac('old')},`) })
  t.match(first, { status: 202 })
  t.match(await deliver(body, { 'stripe-signature': sign(now) }), { status: 200, body: first.body }, 'by the id of the event')
  for (const signature of [
    sign(now - 310),
    sign(now + 310),
    `t=${now},v1=${hmac(body)}`,
    `t=${now + 1},v1=${hmac(`${now}.${body}`)}`,
    `v1=${hmac(body)}`,
    'x',
  ]) {
    t.match(await deliver(body, { 'stripe-signature': signature }), { status: 401, body: { code: 'BTN_SIGNATURE' } }, signature)
  }
})

t.test('Slack: requests are verified, the challenge is answered, an event starts one run', async (t) => {
  const bench = await prepare(t)
  const { deliver } = await webhook(bench, 'chat', { verify: { slack: { secret: 'HOOK' } }, input: { text: '${{ body.event.text }}' } })
  const now = Math.floor(Date.now() / 1_000)
  const signed = (body: string, at = now) => ({
    'x-slack-signature': `v0=${hmac(`v0:${at}:${body}`)}`,
    'x-slack-request-timestamp': String(at),
  })
  const challenge = '{"type":"url_verification","challenge":"c-1","token":"x"}'
  t.match(await deliver(challenge, signed(challenge)), { status: 200, body: { challenge: 'c-1' } })
  t.match(await deliver(challenge), { status: 401 }, 'not for everybody')
  const body = '{"type":"event_callback","event_id":"Ev1","event":{"text":"hi"}}'
  const first = await deliver(body, signed(body))
  t.match(first, { status: 202 })
  t.same(await inputOf(bench, first.body.run), { text: 'hi' })
  t.match(await deliver(body, signed(body, now - 60)), { status: 200, body: first.body })
  t.match(await deliver(body, signed(body, now - 310)), { status: 401 }, 'stale')
  t.match(await deliver(body, { ...signed(body), 'x-slack-request-timestamp': String(now - 1) }), { status: 401 }, 'of another moment')
  t.match(await deliver(body, signed(`${body} `)), { status: 401 }, 'of another body')
  const other = '{"type":"event_callback","event_id":"Ev2"}'
  t.match(await deliver(other, signed(other)), { status: 422, body: { code: 'BTN_MAPPING', detail: /no such field: event/ } })
  await until(async () => {
    await deliver(other, signed(other))
    return /BTN_MAPPING/.test((await bench.get('/api/v1/triggers/chat')).body.lastError.message)
  })
})

t.test('any HMAC: header, algorithm, encoding and prefix are those of the trigger', async (t) => {
  const bench = await prepare(t)
  const base64 = { secret: 'HOOK', header: 'X-Signature', algorithm: 'sha512', encoding: 'base64', prefix: 'v1,' }
  const { deliver } = await webhook(bench, 'any', { verify: { hmac: base64 }, deliveryHeader: 'X-Delivery' })
  const signature = hmac('{}', { algorithm: 'sha512', encoding: 'base64' })
  const first = await deliver('{}', { 'x-signature': `v1,${signature}`, 'x-delivery': 'a' })
  t.match(first, { status: 202 })
  t.match(await deliver('{}', { 'x-signature': `v1,${signature}`, 'x-delivery': 'a' }), { status: 200, body: first.body })
  for (const wrong of [
    signature,
    `v1,${hmac('{}', { algorithm: 'sha512' })}`,
    `v1,${signature}=`,
    `v1,${hmac('{}', { encoding: 'base64' })}`,
  ]) {
    t.match(await deliver('{}', { 'x-signature': wrong }), { status: 401 }, wrong)
  }
  const hex = await webhook(bench, 'hex', { verify: { hmac: { secret: 'HOOK', header: 'x-sig' } } })
  t.match(await hex.deliver('{}', { 'x-sig': hmac('{}').toUpperCase() }), { status: 202 })
})

t.test('mappings see body, headers and query; filters let through what matches; credentials are withheld', async (t) => {
  const bench = await prepare(t)
  const mapping = { kind: "${{ headers['x-kind'] }}", page: '${{ query.page }}', all: '${{ headers }}', text: '${{ body }}' }
  const { made } = await webhook(bench, 'open', { verify: 'none', where: "headers['x-kind'] != 'ping'", input: mapping })
  const post = (headers: object, text = 'hello', type = 'text/plain') =>
    bench.ask('POST', `${made.url}?page=2`, { key: null, text, type, headers: headers as Record<string, string> })
  const { status, body } = await post({ 'x-kind': 'push', cookie: 'a=b', authorization: 'Basic x' })
  t.equal(status, 202)
  const input = await inputOf(bench, body.run)
  t.match(input, { kind: 'push', page: '2', text: 'hello', all: { 'x-kind': 'push' } })
  t.same([input.all.cookie, input.all.authorization], [undefined, undefined])
  t.match(await post({ 'x-kind': 'ping' }), { status: 202, body: { run: null } })
  t.match(await post({}), { status: 422, body: { code: 'BTN_MAPPING' } })
  const raw = await webhook(bench, 'raw', { verify: 'none' })
  t.same(await inputOf(bench, (await raw.deliver('a=1&b=2&b=3', {}, 'application/x-www-form-urlencoded')).body.run), {
    a: '1',
    b: ['2', '3'],
  })
  t.equal(await inputOf(bench, (await raw.deliver('\u0000', {}, 'application/octet-stream')).body.run), 'AA==')
  t.match(await raw.deliver('{"a":'), { status: 400, body: { code: 'BTN_MALFORMED_BODY' } })
})

t.test('a token is shown once, can be changed, and goes with its webhook', async (t) => {
  const bench = await prepare(t)
  const { made, deliver } = await webhook(bench, 'w', { verify: 'none' })
  t.match(made.token, /^[\w-]{32}$/)
  t.equal(made.url, `/hooks/${made.token}`)
  const again = await bench.put('/api/v1/triggers/w', { type: 'webhook', workflow: 'tiny', verify: 'none', priority: 1 })
  t.match(again, { status: 200, body: { priority: 1, verify: 'none' } })
  for (const shown of [again, await bench.get('/api/v1/triggers/w'), await bench.get('/api/v1/triggers')])
    t.notMatch(shown.text, made.token)
  const stored = await bench.sql`select * from triggers`
  t.notMatch(JSON.stringify(stored), made.token)
  t.match(await deliver('{}'), { status: 202 })
  const rotated = await bench.post('/api/v1/triggers/w/rotate')
  t.match(rotated, { status: 200, body: { token: /^[\w-]{32}$/ } })
  t.match(await deliver('{}'), { status: 404, body: { code: 'BTN_HOOK_NOT_FOUND' } })
  const ask = () => bench.ask('POST', rotated.body.url, { key: null, text: '{}' })
  t.match(await ask(), { status: 202 })
  await bench.put('/api/v1/triggers/w', { type: 'webhook', workflow: 'tiny', verify: 'none', enabled: false })
  t.match(await ask(), { status: 409, body: { code: 'BTN_TRIGGER_DISABLED' } })
  t.match(await bench.ask('DELETE', '/api/v1/triggers/w'), { status: 204 })
  t.match(await ask(), { status: 404 })
  t.match(await bench.ask('POST', '/hooks/unknown', { key: null, text: 'x'.repeat(5_000_000) }), { status: 404 })
  t.match(await bench.ask('GET', '/hooks/unknown', { key: null }), { status: 405, headers: { allow: 'POST' } })
})

t.test('what a delivery meets: no secret, an archived workflow, an input that does not suit, too much', async (t) => {
  const bench = await prepare(t, { BATON_HOOK_BYTES_MAX: '2000' })
  const github = await webhook(bench, 'early', { verify: { github: { secret: 'LATER' } } })
  const headers = { 'x-hub-signature-256': `sha256=${hmac('{}')}` }
  t.match(await github.deliver('{}', headers), { status: 503 })
  t.match((await bench.get('/api/v1/triggers/early')).body.lastError, { message: /LATER/ })
  await bench.put('/api/v1/secrets/LATER', { value: SECRET })
  t.match(await github.deliver('{}', headers), { status: 202 })
  await bench.save({ ...TINY, input: { type: 'object', required: ['n'] } }, 'strict')
  const strict = await webhook(bench, 'strict', { verify: 'none', workflow: 'strict' })
  t.match(await strict.deliver('{"m":1}'), { status: 422, body: { code: 'BTN_INVALID_INPUT', errors: [{ pointer: /^\/input/ }] } })
  t.match(await strict.deliver(JSON.stringify({ n: 'x'.repeat(2_000) })), { status: 413, body: { detail: /BATON_HOOK_BYTES_MAX/ } })
  await bench.ask('DELETE', '/api/v1/workflows/strict')
  t.match(await strict.deliver('{"n":1}'), { status: 409, body: { code: 'BTN_WORKFLOW_ARCHIVED' } })
})

t.test('a trigger that cannot be is refused when it is saved, at its place', async (t) => {
  const bench = await prepare(t)
  const refused = async (body: Json, pointers: string[], name = 'x', code = 'BTN_INVALID_REQUEST') => {
    const answer = await bench.put(`/api/v1/triggers/${name}`, body)
    t.match(answer, { status: 422, body: { code } })
    t.same(
      answer.body.errors?.map((error: { pointer: string }) => error.pointer),
      pointers,
      answer.text,
    )
  }
  const hook = { type: 'webhook', workflow: 'tiny', verify: 'none' }
  await refused({ type: 'mail' }, ['/type'])
  await refused({ ...hook, verify: 'maybe' }, ['/verify'])
  await refused({ ...hook, verify: { github: {} } }, ['/verify'])
  await refused({ type: 'webhook', workflow: 'tiny' }, ['/verify'])
  await refused({ ...hook, where: 'body.', input: { a: '${{ event.x }}' } }, ['/where', '/input/a'])
  await refused({ type: 'event', workflow: 'tiny', event: 'a b', extra: 1 }, ['/event', '/extra'])
  await refused({ type: 'event', workflow: 'tiny', event: 'a', input: '${{ secrets.HOOK }}' }, ['/input'])
  await refused({ ...hook, workflow: 'nobody' }, ['/workflow'])
  await refused({ ...hook, version: 9 }, ['/version'])
  await refused({ ...hook, version: 1, tag: 'live' }, ['/tag'])
  await refused(hook, ['/path/name'], 'Bad_Name')
  t.match(await bench.get('/api/v1/triggers/x'), { status: 404, body: { code: 'BTN_TRIGGER_NOT_FOUND' } })
  await bench.put('/api/v1/triggers/e', { type: 'event', workflow: 'tiny', event: 'a' })
  t.match(await bench.post('/api/v1/triggers/e/rotate'), { status: 409 })
  const turned = await bench.put('/api/v1/triggers/e', hook)
  t.match(turned, { status: 200, body: { type: 'webhook', token: String } })
  t.match(await bench.put('/api/v1/triggers/e', { type: 'event', workflow: 'tiny', event: 'a' }), {
    status: 200,
    body: { token: undefined },
  })
  const names = (await bench.get('/api/v1/triggers?limit=1')).body
  t.match(names, { items: [{ name: 'e' }], nextCursor: null })
})
