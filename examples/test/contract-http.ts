/** The http kind: what is sent, what comes back, what is tried again, and what stays secret. */
import { findFreePort, type StubAnswer, type StubRequest, type StubServer, stubServer } from '@baton/testing'
import type { Test } from 'tap'
import { type Contract, type Loose, must } from './contract-harness.ts'

const tries = new Map<string, StubRequest[]>()

/** A service that does what its path says. */
async function serve(request: StubRequest): Promise<StubAnswer> {
  const url = new URL(request.path, 'http://stub')
  const [, what, a = '', b = ''] = url.pathname.split('/')
  const seen = tries.get(url.pathname) ?? []
  seen.push(request)
  tries.set(url.pathname, seen)
  if (what === 'echo') return { body: { method: request.method, path: request.path, headers: request.headers, body: request.body ?? null } }
  if (what === 'status') return { status: Number(a), body: { status: Number(a) } }
  if (what === 'flaky')
    return seen.length <= Number(a)
      ? { status: Number(b), headers: { 'retry-after': url.searchParams.get('after') ?? '0' } }
      : { body: { tries: seen.length } }
  if (what === 'slow') await new Promise((resolve) => setTimeout(resolve, Number(a)).unref())
  if (what === 'big') return { body: { text: 'x'.repeat(Number(a)) } }
  if (what === 'redirect') return { status: 302, headers: { location: url.searchParams.get('to')! } }
  if (what === 'text') return { body: 'plain text' }
  if (what === 'typed') return { headers: { 'content-type': url.searchParams.get('type')! }, body: url.searchParams.get('body')! }
  if (what === 'empty') return { status: 204 }
  return { body: { ok: true } }
}

/** The http kind. */
export async function judgeHttp(t: Test, contract: Contract): Promise<void> {
  const stub = await stubServer(t, serve)
  await t.test('sends what the step says', (t) => sends(t, contract, stub))
  await t.test('gives what came back', (t) => receives(t, contract, stub))
  await t.test('tries again what may pass', (t) => retries(t, contract, stub))
  await t.test('bounds the time of an attempt', (t) => timeouts(t, contract, stub))
  await t.test('keeps large outputs whole', (t) => blobs(t, contract, stub))
  await t.test('uses secrets and never shows them', (t) => secrets(t, contract, stub))
  await t.test('calls no address that it may not', (t) => refuses(t, contract, stub))
}

/** Runs one http step; gives the run, the step and its output. */
async function one({ runSteps, call }: Contract, http: Record<string, unknown>, rest: Record<string, unknown> = {}, input: unknown = {}) {
  const run = await runSteps({ a: { http, ...rest } }, { input })
  const step = must(await call('GET', `/api/v1/runs/${run.id}/steps/a`), 200)
  return { run, step, output: step.output as Loose }
}

async function sends(t: Test, contract: Contract, stub: StubServer) {
  const input = { id: 'a b/c', n: 3, list: [1, 2], flag: true }
  const { run, output } = await one(
    contract,
    {
      method: 'post',
      url: `${stub.url}/echo/\${{ input.n }}`,
      headers: { 'X-Text': 'n=${{ input.n }}', 'x-number': 5 },
      query: { q: '${{ input.id }}', n: '${{ input.n }}', flag: true, many: ['1', '${{ input.n }}'] },
      body: { id: '${{ input.id }}', n: '${{ input.n }}', text: 'n=${{ input.n }}', list: '${{ input.list }}' },
    },
    {},
    input,
  )
  t.match(output, { status: 200, headers: { 'content-type': /json/ }, durationMs: Number })
  const echo = output.body
  t.equal(echo.method, 'POST')
  const url = new URL(echo.path, stub.url)
  t.equal(url.pathname, '/echo/3')
  t.strictSame([...url.searchParams].sort(), [
    ['flag', 'true'],
    ['many', '1'],
    ['many', '3'],
    ['n', '3'],
    ['q', 'a b/c'],
  ])
  t.strictSame(echo.body, { id: 'a b/c', n: 3, text: 'n=3', list: [1, 2] })
  t.match(echo.headers, { 'x-text': 'n=3', 'x-number': '5', 'content-type': /^application\/json/, 'idempotency-key': `${run.id}/a/0` })

  const headersOf = async (http: Record<string, unknown>) => (await one(contract, { url: `${stub.url}/echo`, ...http })).output.body
  t.equal((await headersOf({})).method, 'GET')
  t.equal((await headersOf({ auth: { bearer: 'token-1' } })).headers.authorization, 'Bearer token-1')
  const basic = await headersOf({ auth: { basic: { username: 'u', password: 'p:w' } } })
  t.equal(basic.headers.authorization, `Basic ${Buffer.from('u:p:w').toString('base64')}`)
  t.equal((await headersOf({ auth: { apiKey: { name: 'x-key', value: 'v1' } } })).headers['x-key'], 'v1')
  t.equal((await headersOf({ auth: { apiKey: { in: 'query', name: 'key', value: 'v1' } } })).path, '/echo?key=v1')
  t.equal((await headersOf({ method: 'PUT', body: 'just text' })).body, 'just text')
  t.strictSame((await headersOf({ method: 'POST', body: [1, null] })).body, [1, null])
}

async function receives(t: Test, contract: Contract, stub: StubServer) {
  const get = (path: string, http: Record<string, unknown> = {}) => one(contract, { url: stub.url + path, ...http })
  t.equal((await get('/text')).output.body, 'plain text')
  t.strictSame((await get('/empty')).output.body, null)
  const json = `/typed?type=application/json&body=${encodeURIComponent('{"a":1}')}`
  t.strictSame((await get(json)).output.body, { a: 1 })
  t.strictSame((await get(`/typed?type=application/problem%2Bjson&body=${encodeURIComponent('{"a":1}')}`)).output.body, { a: 1 })
  t.equal((await get(json, { response: 'text' })).output.body, '{"a":1}')
  t.equal((await get(json, { response: 'base64' })).output.body, Buffer.from('{"a":1}').toString('base64'))
  t.strictSame((await get(`/typed?type=text/plain&body=${encodeURIComponent('{"a":1}')}`, { response: 'json' })).output.body, { a: 1 })
  t.equal((await get('/typed?type=application/octet-stream&body=abc')).output.body, Buffer.from('abc').toString('base64'))
  t.match((await get('/typed?type=application/json&body=broken', { response: 'json' })).step, {
    status: 'failed',
    error: { code: 'BTN_HTTP_RESPONSE' },
  })

  const missing = await get('/status/404')
  t.match(missing.run, { status: 'failed', error: { code: 'BTN_HTTP_STATUS', step: 'a', message: /404/ } })
  t.match(missing.step, { status: 'failed', attempt: 1, output: null })
  t.match((await get('/status/404', { expect: { status: [200, 404] } })).output, { status: 404, body: { status: 404 } })
  t.match((await get('/status/404', { expect: { status: '4xx' } })).output, { status: 404 })
  t.match((await get('/status/201', { expect: { status: 200 } })).step.error, { code: 'BTN_HTTP_STATUS' })
  t.equal((await get('/status/201')).output.status, 201)
  const schema = { type: 'object', required: ['total'] }
  t.match((await get('/status/200', { expect: { schema } })).step, { status: 'failed', error: { code: 'BTN_HTTP_RESPONSE' } })
  t.equal((await get('/status/200', { expect: { schema: { required: ['status'] } } })).step.status, 'succeeded')

  const to = `/redirect?to=${encodeURIComponent('/echo/there')}`
  t.match((await get(to)).output, { status: 200, body: { path: '/echo/there' } })
  t.match((await get(to, { redirect: false, expect: { status: '3xx' } })).output, { status: 302, headers: { location: '/echo/there' } })
  t.match((await get('/redirect?to=/redirect%3Fto%3D/loop')).step.status, /succeeded|failed/)
  t.match((await get('/big/5000', { maxBytes: 1000 })).step, { status: 'failed', error: { code: 'BTN_HTTP_TOO_LARGE' } })
  t.equal((await get('/big/500', { maxBytes: 1000 })).step.status, 'succeeded')
}

async function retries(t: Test, contract: Contract, stub: StubServer) {
  const fixed = { attempts: 3, backoff: 'fixed', initial: '5ms', jitter: false }
  const tried = async (path: string, retry: Record<string, unknown> | null = fixed) => {
    const { step, run } = await one(contract, { url: stub.url + path }, retry ? { retry } : {})
    return { status: step.status, attempt: step.attempt, seen: tries.get(path.split('?')[0]!) ?? [], run }
  }
  const ok = await tried('/flaky/2/503')
  t.match(ok, { status: 'succeeded', attempt: 3, seen: { length: 3 } })
  t.strictSame(
    ok.seen.map((request) => request.headers['idempotency-key']),
    Array(3).fill(`${ok.run.id}/a/0`),
    'the same key on every try',
  )
  const types = (await contract.events(ok.run.id)).map((event) => event.type)
  t.equal(types.filter((type) => type === 'dev.baton.step.retrying').length, 2)
  t.equal(types.filter((type) => type === 'dev.baton.step.succeeded').length, 1)
  t.match(await tried('/flaky/5/500'), { status: 'failed', attempt: 3, seen: { length: 3 } })
  t.match(await tried('/flaky/1/501', null), { status: 'failed', attempt: 1, seen: { length: 1 } }, 'one attempt by default')
  for (const status of [408, 425, 429, 502])
    t.match(await tried(`/flaky/1/${status}`), { status: 'succeeded', attempt: 2 }, `${status} is tried again`)
  for (const status of [400, 401, 404, 409, 422])
    t.match(await tried(`/flaky/1/${status}`), { status: 'failed', attempt: 1 }, `${status} is not`)
  // On a connection of its own: one that was kept and turned out to be closed is not counted as a try.
  const fresh = await stubServer(t, (_request, index) => ({ abort: index < 2 }))
  const cut = await one(contract, { url: fresh.url }, { retry: fixed })
  t.match(cut.step, { status: 'succeeded', attempt: 3 }, 'a connection cut off is tried again')
  t.equal(fresh.requests.length, 3)
  const gone = `http://127.0.0.1:${await findFreePort()}`
  t.match((await one(contract, { url: gone }, { retry: fixed })).step, {
    status: 'failed',
    attempt: 3,
    error: { code: 'BTN_HTTP_NETWORK' },
  })
  const on = (text: string) => ({ ...fixed, on: text })
  t.match(await tried('/flaky/1/418', on('error.code == "BTN_HTTP_STATUS"')), { status: 'succeeded', attempt: 2 }, 'on decides')
  t.match(await tried('/flaky/1/508', on('error.code == "OTHER"')), { status: 'failed', attempt: 1 }, 'on decides')
  t.match(await tried('/flaky/1/510', on('${{ error.message.contains("510") }}')), { status: 'succeeded', attempt: 2 })

  const waited = await tried('/flaky/1/429/obeyed?after=1', { ...fixed, max: '10s' })
  t.ok(waited.seen[1]!.at - waited.seen[0]!.at >= 950, `Retry-After is obeyed: ${waited.seen[1]!.at - waited.seen[0]!.at} ms`)
  const capped = await tried('/flaky/1/429/capped?after=60', { ...fixed, max: '200ms' })
  const pause = capped.seen[1]!.at - capped.seen[0]!.at
  t.ok(capped.status === 'succeeded' && pause >= 150 && pause < 3_000, `up to max: ${pause} ms`)
  const grown = await tried('/flaky/2/504', { attempts: 3, backoff: 'exponential', initial: '100ms', jitter: false })
  const [first, second] = [1, 2].map((i) => grown.seen[i]!.at - grown.seen[i - 1]!.at)
  t.ok(first! >= 90 && second! >= 180, `backoff doubles: ${first}, ${second} ms`)
  t.match(await one(contract, { url: `${stub.url}/status/500` }, { onError: 'continue' }), {
    run: { status: 'succeeded' },
    step: { status: 'failed', error: { code: 'BTN_HTTP_STATUS' } },
  })
}

async function timeouts(t: Test, contract: Contract, stub: StubServer) {
  const slow = await one(contract, { url: `${stub.url}/slow/3000` }, { timeout: '100ms' })
  t.match(slow, { run: { status: 'failed', error: { code: 'BTN_TIMEOUT' } }, step: { status: 'failed', attempt: 1 } })
  const each = await one(contract, { url: `${stub.url}/slow/2999` }, { timeout: '100ms', retry: { attempts: 2, initial: '5ms' } })
  t.match(
    each.step,
    { status: 'failed', attempt: 2, error: { code: 'BTN_TIMEOUT' } },
    'each attempt has its own, and a timeout is tried again',
  )
  t.equal(tries.get('/slow/2999')!.length, 2)
}

async function blobs(t: Test, { saveSteps, start, call, events }: Contract, stub: StubServer) {
  const name = await saveSteps(
    [
      { id: 'big', http: { url: `${stub.url}/big/200000` } },
      { id: 'size', set: { n: '${{ size(steps.big.output.body.text) }}' } },
      { id: 'send', http: { method: 'POST', url: `${stub.url}/echo`, body: '${{ steps.big.output.body }}' } },
    ],
    { output: { n: '${{ steps.size.output.n }}' } },
  )
  const run = await start(name, {}, { wait: '20s' })
  t.match(run, { status: 'succeeded', output: { n: 200_000 } }, JSON.stringify(run.error))
  const big = must(await call('GET', `/api/v1/runs/${run.id}/steps/big`), 200)
  t.match(big.output, { $blob: /^sha256:[0-9a-f]{64}$/, bytes: Number })
  t.strictSame(Object.keys(big.output).sort(), ['$blob', 'bytes'])
  const output = must(await call('GET', `/api/v1/runs/${run.id}/steps/big/output`), 200)
  t.equal(output.body.text.length, 200_000, '/output is whole')
  t.strictSame(must(await call('GET', `/api/v1/runs/${run.id}/steps/size/output`), 200), { n: 200_000 })
  const sent = stub.requests.findLast((request) => request.path === '/echo' && request.headers['idempotency-key'] === `${run.id}/send/0`)
  t.equal((sent?.body as Loose)?.text.length, 200_000, 'and so is what other steps make of it')
  t.ok(JSON.stringify(await events(run.id)).length < 60_000, 'events hold references')
}

async function secrets(t: Test, contract: Contract, stub: StubServer) {
  const { call, saveSteps, start } = contract
  const value = 'correct horse/battery+staple'
  must(await call('PUT', '/api/v1/secrets/HORSE', { body: { value } }), 200, 201)
  const secret = '${{ secrets.HORSE }}'
  const name = await saveSteps({
    a: {
      http: {
        method: 'POST',
        url: `${stub.url}/echo/${secret}`,
        headers: { 'x-h': `pre ${secret}` },
        query: { q: secret },
        body: { deep: [secret] },
        auth: { bearer: secret },
      },
    },
    b: {
      http: {
        url: `${stub.url}/echo/b?${secret}`,
        auth: { basic: { username: 'u', password: secret } },
        expect: { status: 299 },
      },
      onError: 'continue',
    },
  })
  const run = await start(name, {}, { wait: '20s' })
  t.equal(run.status, 'succeeded', JSON.stringify(run.error))
  const seen = stub.requests.findLast((request) => request.method === 'POST' && request.path.startsWith('/echo/'))!
  t.match(seen.headers, { 'x-h': `pre ${value}`, authorization: `Bearer ${value}` })
  t.strictSame(seen.body, { deep: [value] })
  t.ok(decodeURIComponent(seen.path).includes(value), seen.path)
  const shown = await Promise.all(
    ['', '/steps', '/steps/a', '/steps/a/output', '/steps/b', '/events', '/definition', '/graph', '/why'].map(async (path) =>
      JSON.stringify((await call('GET', `/api/v1/runs/${run.id}${path}`)).body),
    ),
  )
  for (const form of [
    value,
    encodeURIComponent(value),
    Buffer.from(value).toString('base64'),
    Buffer.from(`u:${value}`).toString('base64'),
  ]) {
    t.notOk(
      shown.some((text) => text.includes(form)),
      `nothing shows ${form}`,
    )
  }
  t.match(shown[2], /redacted/)
  t.match((await one(contract, { url: stub.url, headers: { x: '${{ secrets.NOPE }}' } })).run, {
    status: 'failed',
    error: { code: 'BTN_SECRET_UNKNOWN' },
  })
}

async function refuses(t: Test, contract: Contract, stub: StubServer) {
  const targets = [
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://[fd00::1]/',
    'http://0.0.0.0/',
    'http://100.64.0.1/',
  ]
  targets.push(`${stub.url}/redirect?to=${encodeURIComponent('http://10.0.0.1/')}`, 'http://[::ffff:10.0.0.1]/', 'http://167772161/')
  for (const url of targets) {
    t.match(
      (await one(contract, { url }, { retry: { attempts: 2, initial: '1ms' } })).step,
      { status: 'failed', attempt: 1, error: { code: 'BTN_ADDRESS_REFUSED' } },
      url,
    )
  }
  for (const url of ['ftp://127.0.0.1/', 'file:///etc/passwd', 'nonsense', '']) {
    t.equal((await one(contract, { url: '${{ input.url }}' }, {}, { url })).step.status, 'failed', url)
  }
}
