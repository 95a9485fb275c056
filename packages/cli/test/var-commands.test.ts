/** `baton vars …`, against a stub. */
import t from 'tap'
import { bench } from './bench.ts'

const SHOP = { name: 'SHOP', value: 'http://127.0.0.1:8090', updatedAt: new Date().toISOString() }
const LIMITS = { ...SHOP, name: 'LIMITS', value: { total: 5 } }

t.test('a variable is set to JSON, or to a text as it stands', async (t) => {
  const { server, output, baton } = await bench(t, ({ body }) => ({ status: 201, body: { ...SHOP, ...(body as object) } }))
  const last = () => server.requests.at(-1)!
  t.equal(await baton(['vars', 'set', 'LIMITS', '{"total":5}']), 0)
  t.match([last().method, last().path, last().body], ['PUT', '/api/v1/vars/LIMITS', { value: { total: 5 } }])
  t.equal(output.out, 'LIMITS is {"total":5}\n')
  t.equal(await baton(['vars', 'set', 'LIMITS', '-', '--json'], { stdin: '[1]' }), 0)
  t.same(JSON.parse(output.out), { ...SHOP, value: [1] })
  t.equal(await baton(['vars', 'set', 'SHOP', '--text', 'http://127.0.0.1:8090']), 0)
  t.same(last().body, { value: 'http://127.0.0.1:8090' })
  t.equal(output.out, 'SHOP is "http://127.0.0.1:8090"\n')
  t.equal(await baton(['vars', 'set', 'SHOP', 'http://127.0.0.1:8090']), 2, 'that is no JSON')
  t.equal(await baton(['vars', 'set', 'SHOP']), 2)
  t.equal(server.requests.length, 3)
})

t.test('variables are listed, shown and deleted', async (t) => {
  const { server, output, baton } = await bench(t, ({ method, path }) => {
    if (method === 'DELETE') return { status: 204 }
    return { body: path.includes('?') ? { items: [SHOP, LIMITS], nextCursor: null } : SHOP }
  })
  t.equal(await baton(['vars', 'list']), 0)
  t.match(output.out, /^NAME +VALUE +SAVED\nSHOP +"http:\/\/127\.0\.0\.1:8090" +\d+s\nLIMITS +\{"total":5\} +\d+s\n$/)
  t.equal(await baton(['var', 'get', 'SHOP']), 0)
  t.same(JSON.parse(output.out), SHOP)
  t.equal(await baton(['vars', 'delete', 'SHOP', 'LIMITS']), 0)
  t.equal(output.out, 'SHOP is deleted\nLIMITS is deleted\n')
  t.same(
    server.requests.slice(-2).map(({ method, path }) => `${method} ${path}`),
    ['DELETE /api/v1/vars/SHOP', 'DELETE /api/v1/vars/LIMITS'],
  )
})
