/** Client credentials: how a token is asked for, how long it is used, and that neither it nor the secret is ever shown. */
import type { HttpAuth } from '@baton/contracts'
import { type StubAnswer, type StubRequest, stubServer, type Teardown } from '@baton/testing'
import t from 'tap'
import { caller, callOf, outputOf } from './calls.ts'

const SECRET = 'p+ß: s€cret'
type Client = Extract<HttpAuth, { type: 'oauth2' }>

interface World {
  /** What the token URL answers; a fresh token by default. */
  grant(request: StubRequest, n: number): StubAnswer | Promise<StubAnswer>
  /** Whether the service takes a token. */
  takes(token: string): boolean
  nowMs: number
}

async function start(t: Teardown, options: Partial<World> = {}) {
  const world: World = {
    grant: (_, n) => ({ body: { access_token: `token-${n}`, token_type: 'Bearer', expires_in: 100 } }),
    takes: () => true,
    nowMs: 0,
    ...options,
  }
  let granted = 0
  const tokens = await stubServer(t, (request) => world.grant(request, ++granted))
  const service = await stubServer(t, ({ headers }) =>
    world.takes(String(headers.authorization).slice(7))
      ? { body: { echo: headers.authorization } }
      : { status: 401, body: `no ${headers.authorization}` },
  )
  const { make } = caller(t, { SECRET, OTHER: 'another-secret' }, {}, undefined, { now: () => world.nowMs })
  const call = (client: Partial<Client> = {}, more: object = {}, secret = 'SECRET') => {
    const auth: Client = {
      type: 'oauth2',
      tokenUrl: `${tokens.url}/token?x=1`,
      clientId: 'a b',
      clientSecret: '',
      clientAuth: 'basic',
      ...client,
    }
    return callOf({ url: service.url, auth, secrets: [{ pointer: '/auth/clientSecret', parts: [{ secret }] }] }, more)
  }
  return { world, tokens, service, make, call }
}

t.test('a token is asked for as RFC 6749 says, and shown as bearer', async (t) => {
  const { tokens, service, make, call } = await start(t)
  t.match(outputOf(await make(call({ scope: 'read write', audience: 'https://api' }))), { body: { echo: 'Bearer [redacted]' } })
  t.match(tokens.requests, [
    {
      method: 'POST',
      path: '/token?x=1',
      body: 'grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fapi',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        authorization: `Basic ${Buffer.from('a+b:p%2B%C3%9F%3A+s%E2%82%ACcret').toString('base64')}`,
      },
    },
  ])
  t.equal(service.requests[0]!.headers.authorization, 'Bearer token-1')
  await make(call({ clientAuth: 'body' }))
  t.equal(tokens.requests[1]!.headers.authorization, undefined)
  t.same(new URLSearchParams(tokens.requests[1]!.body as string).get('client_secret'), SECRET)
})

t.test('a token is used until shortly before it expires, by those alone that it is for', async (t) => {
  const { world, tokens, make, call } = await start(t)
  for (let n = 0; n < 3; n++) await make(call())
  t.equal(tokens.requests.length, 1)
  const others: [Partial<Client>, object?, string?][] = [
    [{ scope: 'x' }],
    [{ audience: 'x' }],
    [{ clientId: 'x' }],
    [{}, { namespace: 'other' }],
    [{}, {}, 'OTHER'],
  ]
  for (const [index, other] of others.entries()) {
    await make(call(...other))
    t.equal(tokens.requests.length, index + 2, JSON.stringify(other))
  }
  tokens.requests.length = 0
  world.nowMs = 79_000
  await make(call())
  t.equal(tokens.requests.length, 0)
  world.nowMs = 81_000
  await make(call())
  t.equal(tokens.requests.length, 1)
})

t.test('calls that start together share one request for a token', async (t) => {
  const { tokens, service, make, call } = await start(t)
  await Promise.all(Array.from({ length: 20 }, () => make(call())))
  t.equal(tokens.requests.length, 1)
  t.equal(service.requests.length, 20)
})

t.test('a token that the service refuses is fetched once again, for the same call under the same key', async (t) => {
  const { tokens, service, make, call } = await start(t, { takes: (token) => token === 'token-2' })
  t.match(outputOf(await make(call())), { status: 200 })
  t.equal(tokens.requests.length, 2)
  t.equal(new Set(service.requests.map(({ headers }) => headers['idempotency-key'])).size, 1)
  await make(call())
  t.equal(tokens.requests.length, 2, 'the new one is kept')
  const never = await start(t, { takes: () => false })
  const outcome = await never.make(never.call())
  t.match(outcome, { status: 'failed', retryable: false, error: { code: 'BTN_HTTP_STATUS', status: 401 } })
  t.equal(never.tokens.requests.length, 2, 'once, not for ever')
})

t.test('why there is no token, and whether it may be tried again', async (t) => {
  const { world, tokens, service, make, call } = await start(t)
  const ask = async (answer: StubAnswer, client: Partial<Client> = {}) => {
    world.grant = () => answer
    return make(call(client))
  }
  const echo = `bad ${SECRET} ${Buffer.from('a+b:p%2B%C3%9F%3A+s%E2%82%ACcret').toString('base64')}`
  const invalid = await ask({ status: 401, body: { error: 'invalid_client', error_description: echo, secret: SECRET } })
  t.match(invalid, {
    status: 'failed',
    retryable: false,
    error: { code: 'BTN_OAUTH2_TOKEN', status: 401, message: /\/token: answered 401: invalid_client: bad \[redacted\] \[redacted\]$/ },
  })
  t.match(await ask({ status: 503, headers: { 'retry-after': '3' } }), {
    retryable: true,
    error: { code: 'BTN_OAUTH2_TOKEN', retryAfterMs: 3_000 },
  })
  t.match(await ask({ status: 429 }), { retryable: true, error: { code: 'BTN_OAUTH2_TOKEN' } })
  t.match(await ask({ abort: true }), { retryable: true, error: { code: 'BTN_OAUTH2_TOKEN' } })
  t.match(await ask({ body: 'fine' }), { retryable: false, error: { code: 'BTN_OAUTH2_TOKEN', message: /without an access_token/ } })
  t.match(await ask({ body: { access_token: 'x', token_type: 'mac' } }), { retryable: false, error: { message: /not Bearer/ } })
  const askedBefore = tokens.requests.length
  t.match(await ask({ status: 302, headers: { location: '/elsewhere' } }), { retryable: false, error: { code: 'BTN_OAUTH2_TOKEN' } })
  t.equal(tokens.requests.length, askedBefore + 1, 'credentials follow no redirect')
  t.match(await ask({}, { tokenUrl: 'http://10.0.0.1/token' }), { retryable: false, error: { code: 'BTN_ADDRESS_REFUSED' } })
  t.equal(service.requests.length, 0, 'without a token nothing is called')
  t.match(await ask({ body: { access_token: 'y' } }), { status: 'succeeded' }, 'a refusal is not remembered')
})

t.test('the time of the attempt counts from the request for the token', async (t) => {
  const { make, call, service } = await start(t, { grant: () => new Promise(() => {}) })
  const startedAt = Date.now()
  t.match(await make(call({}, { timeoutMs: 100 })), { retryable: true, error: { code: 'BTN_OAUTH2_TOKEN', message: /timeout/ } })
  t.ok(Date.now() - startedAt < 2_000)
  t.equal(service.requests.length, 0)
})

t.test('tokens, also those that were refused, and the secret are redacted in answers and errors', async (t) => {
  const { make, call } = await start(t, {
    takes: (token) => token.startsWith('T2'),
    grant: (_, n) => ({ body: { access_token: `T${n}-${'tok/en'.repeat(4)}`, expires_in: 100 } }),
  })
  const first = await make(call())
  t.notMatch(JSON.stringify(first), /tok.{1,3}en/)
  const failing = await start(t, { takes: () => false, grant: (_, n) => ({ body: { access_token: `T${n}-tok/en` } }) })
  const failure = JSON.stringify(await failing.make(failing.call()))
  t.match(failure, /no Bearer \[redacted\]/)
  t.notMatch(failure, 'tok')
})
