/** The health check of the images, against servers that are well, ill, silent and away. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { findFreePort } from '@baton/testing'
import t, { type Test } from 'tap'
import { ROOT } from './deploy-settings.ts'

async function serve(t: Test, answer: (response: ServerResponse, url: string) => void): Promise<number> {
  const server: Server = createServer((request, response) => answer(response, request.url!)).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function check(port: number): Promise<number> {
  const child = spawn(process.execPath, [join(ROOT, 'deploy/healthcheck.mjs')], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'inherit',
  })
  return (await once(child, 'exit'))[0] as number
}

t.test('the health check ends with 0 when /healthz answers 200, and else with 1', async (t) => {
  const well = await serve(t, (response, url) => response.writeHead(url === '/healthz' ? 200 : 404).end('{}'))
  const ill = await serve(t, (response) => response.writeHead(503).end('200'))
  const silent = await serve(t, () => {})
  const cut = await serve(t, (response) => void response.destroy())
  t.strictSame(await Promise.all([well, ill, silent, cut, await findFreePort()].map(check)), [0, 1, 1, 1, 1])
})
