/** The SSRF guard: only public addresses are called, whatever the URL, the resolver or a redirect says. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { stubServer } from '@baton/testing'
import t from 'tap'
import { AddressRefused, createOutbound, type Lookup } from '../src/index.ts'

const nowhere: Lookup = async (name) => {
  throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' })
}
const resolveTo =
  (...addresses: string[]): Lookup =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

const REFUSED = [
  'http://127.0.0.1/',
  'http://127.1/',
  'http://127.0.1/',
  'http://2130706433/',
  'http://0x7f000001/',
  'http://0x7f.0.0.1/',
  'http://0177.0.0.1/',
  'http://017700000001/',
  'http://127.0.0.1./',
  'http://127.8.9.10:8080/',
  'http://１２７.０.０.１/',
  'http://127。0。0。1/',
  'http://localhost/',
  'http://localhost./',
  'http://LOCALHOST:6379/',
  'http://api.localhost/',
  'http://0.0.0.0/',
  'http://0/',
  'http://10.0.0.1/',
  'http://10.255.255.255/',
  'http://172.16.0.1/',
  'http://172.31.255.254/',
  'http://192.168.1.1/',
  'http://100.64.0.1/',
  'http://100.127.255.255/',
  'http://169.254.1.1/',
  'http://169.254.169.254/latest/meta-data/',
  'http://2852039166/latest/meta-data/',
  'http://0xa9fea9fe/',
  'http://100.100.100.200/',
  'http://168.63.129.16/',
  'http://192.0.0.192/',
  'http://metadata.google.internal/computeMetadata/v1/',
  'http://metadata.google.internal./',
  'http://Metadata.Google.Internal/',
  'http://192.0.2.1/',
  'http://198.51.100.7/',
  'http://203.0.113.9/',
  'http://198.18.0.1/',
  'http://192.88.99.1/',
  'http://224.0.0.1/',
  'http://239.255.255.250/',
  'http://240.0.0.1/',
  'http://255.255.255.255/',
  'http://[::]/',
  'http://[::1]/',
  'http://[0:0:0:0:0:0:0:1]/',
  'http://[::ffff:127.0.0.1]/',
  'http://[::ffff:7f00:1]/',
  'http://[::ffff:8.8.8.8]/',
  'http://[::127.0.0.1]/',
  'http://[64:ff9b::7f00:1]/',
  'http://[64:ff9b:1::a00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[2001:0:7f00:1::]/',
  'http://[fe80::1]/',
  'http://[fe80::1%25eth0]/',
  'http://[fec0::1]/',
  'http://[fc00::1]/',
  'http://[fd00:ec2::254]/',
  'http://[ff02::1]/',
  'http://[100::1]/',
  'http://[2001:db8::1]/',
  'http://[3fff::1]/',
  'http://[5f00::1]/',
  'http://user:password@8.8.8.8/',
  'http://user@8.8.8.8/',
  'ftp://8.8.8.8/',
  'file:///etc/passwd',
  'gopher://8.8.8.8/',
  'data:text/plain,hello',
  'javascript:alert(1)',
  'http://',
  'http:///',
  '//127.0.0.1/',
  'not a url',
]

t.test('tricky targets are refused with a code, the host and the reason', async (t) => {
  const outbound = createOutbound({ allow: [], lookup: nowhere })
  t.teardown(outbound.close)
  for (const target of REFUSED) {
    await t.rejects(outbound.request(target), { name: 'AddressRefused', code: 'BTN_ADDRESS_REFUSED' }, target)
    await t.rejects(outbound.fetch(target), { name: 'AddressRefused' }, `fetch ${target}`)
  }
  await t.rejects(outbound.request('http://[::ffff:127.0.0.1]/'), /::ffff:7f00:1 may not be called: IPv4-mapped/)
})

t.test('a name is refused when any of its addresses is not public', async (t) => {
  for (const addresses of [
    ['10.0.0.5'],
    ['8.8.8.8', '127.0.0.1'],
    ['2606:4700::1', '::1'],
    ['::ffff:10.0.0.1'],
    ['64:ff9b::a00:1'],
    ['fe80::1%eth0'],
  ]) {
    const outbound = createOutbound({ allow: [], lookup: resolveTo(...addresses) })
    t.teardown(outbound.close)
    await t.rejects(outbound.request('http://shop.example/'), { code: 'BTN_ADDRESS_REFUSED', host: 'shop.example' }, addresses.join())
    await t.rejects(outbound.fetch('https://shop.example/'), AddressRefused)
  }
})

t.test('a public name that is away is an error of the network, not of the guard', async (t) => {
  const outbound = createOutbound({ allow: [], lookup: nowhere })
  t.teardown(outbound.close)
  await t.rejects(outbound.request('http://shop.example/'), { code: 'ENOTFOUND' })
})

t.test('a name that changes between look-ups is connected only where it was checked', async (t) => {
  const stub = await stubServer(t, () => ({ headers: { connection: 'close' }, body: 'secret' }))
  let lookups = 0
  // The first answer is let through (by an entry for one address), the second is not.
  const flipping: Lookup = async () => [{ address: lookups++ % 2 === 0 ? '127.0.0.1' : '127.0.0.2', family: 4 }]
  const outbound = createOutbound({ allow: ['127.0.0.1/32'], lookup: flipping })
  t.teardown(outbound.close)
  const url = `http://rebind.example:${stub.port}/`
  t.equal((await outbound.request(url)).status, 200)
  t.equal(lookups, 1, 'resolved once for the connection, not once to check and once to connect')
  await t.rejects(outbound.request(url), AddressRefused)
  t.equal(stub.requests.length, 1)
})

t.test('a kept connection stays with the address that was checked', async (t) => {
  const stub = await stubServer(t, () => ({ body: 'ok' }))
  let lookups = 0
  const flipping: Lookup = async () => [{ address: lookups++ === 0 ? '127.0.0.1' : '10.0.0.1', family: 4 }]
  const outbound = createOutbound({ allow: ['127.0.0.1'], lookup: flipping, keepAliveMs: 60_000 })
  t.teardown(outbound.close)
  for (let i = 0; i < 3; i++) {
    t.equal((await outbound.request(`http://kept.example:${stub.port}/`)).status, 200)
    // undici lets a socket rest for one turn of the event loop before it is used again.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  }
  t.equal(lookups, 1)
})

t.test('each redirect is checked like a first request', async (t) => {
  const targets = REFUSED.filter((target) => /^[ -~]+$/.test(target) && (URL.canParse(target) || target.startsWith('//')))
  const stub = await stubServer(t, (request) => ({ status: 302, headers: { location: targets[Number(request.path.slice(1))]! } }))
  const outbound = createOutbound({ allow: ['start.example'], lookup: resolveTo('127.0.0.1') })
  t.teardown(outbound.close)
  for (const [i, target] of targets.entries()) {
    await t.rejects(outbound.request(`http://start.example:${stub.port}/${i}`), { code: 'BTN_ADDRESS_REFUSED' }, target)
  }
})

t.test('redirects are followed by the rules of fetch, and credentials stay at home', async (t) => {
  const other = await stubServer(t, () => ({ body: 'there' }))
  const stub = await stubServer(t, ({ path }) => {
    const [, status, to] = path.split('/')
    if (status === 'end') return { body: 'here' }
    return { status: Number(status), headers: { location: to === 'away' ? `${other.url}/` : '/end' } }
  })
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(outbound.close)
  const post = (path: string) =>
    outbound.request(stub.url + path, {
      method: 'POST',
      headers: { authorization: 'Bearer x', cookie: 'a=b', 'x-key': 'k', 'content-type': 'application/json' },
      body: '{}',
      sensitiveHeaders: ['x-key'],
    })
  for (const [status, method] of [
    [301, 'GET'],
    [302, 'GET'],
    [303, 'GET'],
    [307, 'POST'],
    [308, 'POST'],
  ] as const) {
    t.equal((await post(`/${status}/home`)).body.toString(), 'here')
    const at = stub.requests.at(-1)!
    t.match(at, { method, headers: { authorization: 'Bearer x', cookie: 'a=b', 'x-key': 'k' } }, `${status}`)
    t.equal(at.headers['content-type'], method === 'GET' ? undefined : 'application/json')
    await post(`/${status}/away`)
    const away = other.requests.at(-1)!
    t.equal(away.method, method)
    t.notOk(away.headers.authorization ?? away.headers.cookie ?? away.headers['x-key'], `${status} sends no credentials away`)
  }
})

t.test('a chain of redirects ends after five, and may be turned off', async (t) => {
  const stub = await stubServer(t, () => ({ status: 302, headers: { location: '/again' } }))
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(outbound.close)
  await t.rejects(outbound.request(stub.url), { name: 'RedirectRefused', message: 'more than 5 redirects' })
  t.equal(stub.requests.length, 6)
  t.equal((await outbound.request(stub.url, { redirect: 'manual' })).status, 302)
  await t.rejects(outbound.request(stub.url, { redirect: 'error' }), { name: 'RedirectRefused' })
})

t.test('BATON_HTTP_ALLOW lets through CIDRs, addresses and names, and metadata services only by their very address', async (t) => {
  const stub = await stubServer(t, () => ({ body: 'ok' }))
  const ask = async (allow: string[], host: string, lookup: Lookup = resolveTo('127.0.0.1')) => {
    const outbound = createOutbound({ allow, lookup })
    t.teardown(outbound.close)
    return (await outbound.request(`http://${host}:${stub.port}/`)).status
  }
  t.equal(await ask(['127.0.0.0/8'], '127.0.0.1'), 200)
  t.equal(await ask(['127.0.0.0/8'], 'localhost'), 200)
  t.equal(await ask(['127.0.0.0/8'], '[::ffff:127.0.0.1]'), 200)
  t.equal(await ask(['shop.internal'], 'shop.internal'), 200)
  t.equal(await ask(['Shop.Internal.'], 'SHOP.internal.'), 200)
  await t.rejects(ask(['shop.internal'], 'other.internal'), AddressRefused)
  await t.rejects(ask(['::1'], '127.0.0.1'), AddressRefused)
  await t.rejects(ask(['169.254.0.0/16', '0.0.0.0/0'], '169.254.169.254'), AddressRefused)
  await t.rejects(ask(['0.0.0.0/0'], 'meta.example', resolveTo('169.254.169.254')), AddressRefused)
  t.throws(() => createOutbound({ allow: ['10.0.0.0/99'] }), /BATON_HTTP_ALLOW: "10.0.0.0\/99"/)
  t.throws(() => createOutbound({ allow: ['http://x'] }), /neither an address/)
})

t.test('bodies are bounded while they arrive, also when they are compressed', async (t) => {
  let sent = 0
  const server = createServer((request, response) => {
    if (request.url === '/bomb') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(10_000_000)))
    if (request.url === '/gzip') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('hello'))
    if (request.url === '/broken') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end('hello')
    response.writeHead(200)
    const more = () => {
      sent += 65_536
      if (response.write(Buffer.alloc(65_536))) setImmediate(more)
      else response.once('drain', more)
    }
    more()
    response.on('close', () => response.removeListener('drain', more))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const outbound = createOutbound({ allow: ['127.0.0.1'] })
  t.teardown(outbound.close)
  await t.rejects(outbound.request(`${base}/endless`, { bytesMax: 100_000 }), { name: 'BodyTooLarge', code: 'BTN_HTTP_TOO_LARGE' })
  t.ok(sent < 50_000_000)
  await t.rejects(outbound.request(`${base}/bomb`, { bytesMax: 100_000 }), { name: 'BodyTooLarge' })
  await t.rejects(outbound.request(`${base}/broken`), { name: 'BodyUnreadable' })
  t.equal((await outbound.request(`${base}/gzip`)).body.toString(), 'hello')
})
