/** What the http kind promises beside its examples, in the whole stack. */
import { stubServer } from '@baton/testing'
import { test } from 'tap'
import { startShop } from '../src/shop.ts'
import { SHOP_CLIENT } from '../src/shop-lists.ts'
import { must, openContract } from './contract-harness.ts'

test('the http kind in the whole stack', async (t) => {
  const contract = await openContract(t)
  const shop = await startShop()
  t.teardown(() => shop.close())
  const secret = await contract.call('PUT', '/api/v1/secrets/SHOP_CLIENT_SECRET', { body: { value: SHOP_CLIENT.secret } })
  t.ok(secret.status < 300, JSON.stringify(secret.body))

  await t.test('neither the token nor the secret of a client stands in events, steps or errors', async (t) => {
    const stub = await stubServer(t, ({ path, headers, body }) => {
      if (path === '/token') return { body: { access_token: 'the-access-token', token_type: 'bearer', got: [headers, body] } }
      return { status: path === '/fails' ? 400 : 200, body: { echo: headers } }
    })
    const auth = {
      oauth2: { tokenUrl: `${stub.url}/token`, clientId: 'me', clientSecret: '${{ secrets.SHOP_CLIENT_SECRET }}', clientAuth: 'body' },
    }
    const run = await contract.runSteps({
      a: { http: { url: stub.url, auth } },
      b: { http: { url: `${stub.url}/fails`, auth }, onError: 'continue' },
    })
    t.equal(run.status, 'succeeded')
    t.equal(stub.requests.find(({ path }) => path === '/')?.headers.authorization, 'Bearer the-access-token')
    t.equal(stub.requests.filter(({ path }) => path === '/token').length, 1)
    const shown = JSON.stringify([await contract.events(run.id), await contract.list(`/api/v1/runs/${run.id}/steps`)])
    t.match(shown, 'Bearer [redacted]')
    for (const hidden of ['the-access-token', SHOP_CLIENT.secret]) t.notOk(shown.includes(hidden), hidden)
  })

  await t.test('a list with more pages than max fails its step by name', async (t) => {
    const steps = { a: { http: { url: `${shop.url}/orders`, paginate: { link: 'next', items: 'orders', max: 2 } } } }
    const run = await contract.runSteps(steps)
    t.match(run, { status: 'failed', error: { code: 'BTN_HTTP_PAGES', step: 'a' } })
    const step = must(await contract.call('GET', `/api/v1/runs/${run.id}/steps/a`), 200)
    t.match(step, { status: 'failed' })
  })
})
