import { test } from 'tap'
import { startShop, totalOf } from '../src/shop.ts'
import { SHOP_CLIENT } from '../src/shop-lists.ts'

async function postRefund(url: string, body: unknown, key?: string) {
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'idempotency-key': key }) }
  const response = await fetch(`${url}/refunds`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: (await response.json()) as { id: string } }
}

test('orders have totals on both sides of the limit', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  const order = async (id: string) => (await fetch(`${shop.url}/orders/${id}`)).json()
  t.match(await order('small'), { id: 'small', total: 40, currency: 'EUR' })
  t.match(await order('big'), { id: 'big', total: 250 })
  t.equal(totalOf('A-120'), 120)
  t.equal((await fetch(`${shop.url}/nothing`)).status, 404)
})

test('the same Idempotency-Key gets the same refund', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  const first = await postRefund(shop.url, { orderId: 'big' }, 'k1')
  const again = await postRefund(shop.url, { orderId: 'big' }, 'k1')
  const other = await postRefund(shop.url, { orderId: 'big' }, 'k2')
  t.equal(first.status, 201)
  t.equal(again.status, 200)
  t.equal(again.body.id, first.body.id)
  t.not(other.body.id, first.body.id)
  t.equal((await postRefund(shop.url, {})).status, 422)
})

test('every call is on record with its times', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  await postRefund(shop.url, { orderId: 'big' }, 'k1')
  await postRefund(shop.url, { orderId: 'big' }, 'k1')
  const { items } = (await (await fetch(`${shop.url}/calls?path=/refunds`)).json()) as { items: Record<string, unknown>[] }
  t.equal(items.length, 2)
  t.match(items[0], { method: 'POST', path: '/refunds', idempotencyKey: 'k1', status: 201, replayed: false })
  t.match(items[1], { status: 200, replayed: true })
  t.ok((items[0]!.startedAt as number) <= (items[0]!.endedAt as number))
  t.equal((await fetch(`${shop.url}/calls`, { method: 'DELETE' })).status, 204)
  t.equal(shop.calls.length, 0)
})

test('a port in use is an error, not a crash', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  await t.rejects(startShop({ port: Number(new URL(shop.url).port) }), { code: 'EADDRINUSE' })
})

test('a call may be told to fail the first times it is tried', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  const order = async (key: string) => (await fetch(`${shop.url}/orders/7?failures=2`, { headers: { 'idempotency-key': key } })).status
  t.strictSame([await order('a'), await order('b'), await order('a'), await order('a'), await order('b')], [503, 503, 503, 200, 503])
})

test('orders are listed in pages, told by the Link header and in the body', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  const page = async (path: string) => {
    const response = await fetch(shop.url + path)
    return { link: response.headers.get('link'), ...((await response.json()) as { orders: { id: string }[]; next: string | null }) }
  }
  t.match(await page('/orders'), {
    link: '</orders?page=2>; rel="next"',
    next: '/orders?page=2',
    orders: [{ id: 'A-10', total: 10 }, { id: 'A-20' }],
  })
  t.match(await page('/orders?page=3'), { link: null, next: null, orders: [{ id: 'A-50' }] })
})

test('the account is for whoever has a token', async (t) => {
  const shop = await startShop()
  t.teardown(() => shop.close())
  const ask = (path: string, authorization: string, method = 'GET') => fetch(shop.url + path, { method, headers: { authorization } })
  t.equal((await ask('/account', 'Bearer x')).status, 401)
  t.equal((await ask('/token', 'Basic x', 'POST')).status, 401)
  const client = Buffer.from(`${SHOP_CLIENT.id}:${SHOP_CLIENT.secret}`).toString('base64')
  const { access_token: token } = (await (await ask('/token', `Basic ${client}`, 'POST')).json()) as { access_token: string }
  t.match(await (await ask('/account', `Bearer ${token}`)).json(), { owner: 'demo', balance: 1_250 })
})
