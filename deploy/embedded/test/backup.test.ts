import { once } from 'node:events'
import { existsSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { readDotEnv } from '../src/dot-env.ts'
import { SERVICES } from '../src/services.ts'
import { waitUntil } from '../src/stop-process.ts'
import { commandsOn } from './stand-in-checkout.ts'
import { temporaryFolder } from './temporary-folder.ts'

const CHECKOUT = resolve(import.meta.dirname, '../../..')

type Teardown = { teardown(action: () => unknown): void }
type Json = { [name: string]: unknown }
type Event = Json & { seq: number }

/** A checkout with the real services, on ports that are free now. */
async function realCheckout(t: Teardown) {
  const root = temporaryFolder(t)
  for (const folder of ['services', 'packages']) symlinkSync(join(CHECKOUT, folder), join(root, folder))
  const { paths, run, portOffset } = await commandsOn(t, root)
  const api = async <T = Json>(method: string, path: string, body?: Json): Promise<{ status: number; body: T }> => {
    const response = await fetch(`http://127.0.0.1:${SERVICES.orchestrator + portOffset}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${readDotEnv(paths.dotEnv)['BATON_ADMIN_KEY']}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: (text ? JSON.parse(text) : undefined) as T }
  }
  return { root, paths, run, api }
}

/** The service that the workflow calls; it keeps what it was asked. */
async function startShop(t: Teardown) {
  const asked: { key: unknown; token: unknown }[] = []
  const server = createServer(({ headers }, response) => {
    asked.push({ key: headers['idempotency-key'], token: headers['x-token'] })
    response.setHeader('content-type', 'application/json').end('{"id":"refund_1"}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/refunds` }
}

const workflow = (url: string): Json => ({
  input: { type: 'object' },
  steps: {
    before: { set: { text: 'made before' } },
    ask: { needs: ['before'], if: 'input.big', approval: { title: 'Refund?', assignees: ['role:admin'], allowSelf: true } },
    refund: { needs: ['ask'], http: { method: 'POST', url, headers: { 'x-token': '${{ secrets.TOKEN }}' }, body: {} } },
  },
  output: { id: '${{ steps.refund.output.body.id }}', text: '${{ steps.before.output.text }}' },
})

test('a backup of a running stack brings everything back: waiting runs go on, events are whole, secrets can be read', {
  timeout: 220_000,
}, async (t) => {
  const { root, paths, run, api } = await realCheckout(t)
  const shop = await startShop(t)
  const up = await run('up')
  t.equal(up.code, 0, up.said)
  t.equal((await api('PUT', '/secrets/TOKEN', { value: 'sesame-0815' })).status, 201)
  t.equal((await api('PUT', '/workflows/refund', workflow(shop.url))).status, 201)
  const start = async (big: boolean) => (await api<{ id: string }>('POST', '/workflows/refund/runs', { input: { big } })).body.id
  const statusOf = async (id: string) => (await api('GET', `/runs/${id}?wait=20s`)).body['status']
  const eventsOf = async (id: string) => (await api<{ items: Event[] }>('GET', `/runs/${id}/events?limit=1000`)).body.items
  const finished = await start(false)
  t.equal(await statusOf(finished), 'succeeded')
  const waiting = await Promise.all([start(true), start(true)])
  for (const id of waiting) t.ok(await waitUntil(async () => (await api('GET', `/runs/${id}`)).body['status'] === 'waiting', 20_000))
  const before = new Map(await Promise.all([finished, ...waiting].map(async (id) => [id, await eventsOf(id)] as const)))

  const file = join(root, 'backups', 'one.tar.gz')
  const backup = await run('backup', { FILE: 'backups/one.tar.gz' })
  t.match(backup, { code: 0, said: /BATON_MASTER_KEY.*another place[\s\S]*Redis needs no backup/ }, backup.said)
  t.equal(statSync(file).mode & 0o777, 0o600)
  const later = await start(true)
  t.match(await run('restore', { FILE: file }), { code: 1, said: /replaced by those of the backup.*CONFIRM=yes make restore/ })
  t.equal((await api('GET', `/runs/${later}`)).status, 200, 'nothing was touched')

  t.match(await run('clean', { CONFIRM: 'yes' }), { code: 0 })
  t.notOk(existsSync(paths.postgres))
  t.match(await run('restore', { FILE: file, CONFIRM: 'yes' }), { code: 0, said: /Restored from .*[\s\S]*Next: make up/ })
  const again = await run('up')
  t.equal(again.code, 0, again.said)
  t.equal((await api('GET', `/runs/${later}`)).status, 404, 'what came after the backup is gone')
  t.same(await eventsOf(finished), before.get(finished))
  for (const id of waiting) {
    t.same(await eventsOf(id), before.get(id))
    t.equal((await api('POST', `/runs/${id}/approvals/ask/decision`, { decision: 'approve' })).status, 200)
    t.equal(await statusOf(id), 'succeeded')
    const events = await eventsOf(id)
    t.same(events.slice(0, before.get(id)!.length), before.get(id))
    t.same(
      events.map(({ seq }) => seq),
      events.map((_, index) => index + 1),
    )
    t.match(await api('GET', `/runs/${id}`), { body: { output: { id: 'refund_1', text: 'made before' } } })
  }
  t.same(shop.asked.map(({ key }) => key).sort(), [finished, ...waiting].map((id) => `${id}/refund/0`).sort())
  t.ok(shop.asked.every(({ token }) => token === 'sesame-0815'))

  t.match(await run('migrate', {}, ['--status']), { code: 0, said: /database is up to date/ })
  t.same(readdirSync(join(root, 'backups')), ['one.tar.gz'], 'nothing half-made is left')
})
