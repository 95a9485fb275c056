/** The whole stack on a PostgreSQL over TLS, and what it says when the certificate is not what it was told to expect. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@baton/client'
import { tlsPostgres } from '@baton/testing'
import { test } from 'tap'
import { startShop } from '../src/shop.ts'
import { superviseStack } from './supervised-stack.ts'

const SERVICES = join(import.meta.dirname, '../../services')

test('over TLS with the certificate checked an order is refunded; with another authority no program starts', {
  timeout: 120_000,
}, async (t) => {
  const server = await tlsPostgres(t)
  const trusted = { DATABASE_URL: `${server.url}?sslmode=verify-full`, DATABASE_TLS_CA_FILE: server.ca }
  const stack = await superviseStack(t, trusted)
  const client = createClient({ url: stack.url, fanoutUrl: stack.liveUrl, key: stack.adminKey })
  const shop = await startShop()
  t.teardown(() => shop.close())
  await client.workflows.put('refund', readFileSync(join(import.meta.dirname, '../refund.yaml'), 'utf8'))
  const ended = await client.runs.start('refund', { input: { orderId: 'small', shop: shop.url }, waitMs: 30_000 })
  t.match(ended, { status: 'succeeded', output: { refundId: /^rf_/ } })

  const other = { ...trusted, DATABASE_TLS_CA_FILE: server.otherCa }
  for (const program of ['workflow-runner/src/main.ts', 'orchestrator/src/main.ts', 'orchestrator/src/migrate.ts']) {
    const { code, said } = await runProgram(program, other)
    t.equal(code, 78, `${program} ends: only another setting helps`)
    t.match(said, /the certificate of the Postgres at localhost:\d+ is not accepted by the authorities in .*other.crt: /)
  }
})

function runProgram(program: string, settings: Record<string, string>): Promise<{ code: number | null; said: string }> {
  const env = {
    ...process.env,
    REDIS_URL: 'redis://127.0.0.1:1',
    PORT: '0',
    HOST: '127.0.0.1',
    BATON_ADMIN_KEY: 'an admin key for a test',
    BATON_MASTER_KEY: '0'.repeat(64),
    ...settings,
  }
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--conditions=@baton/source', '--no-warnings', join(SERVICES, program)], { env })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
    child.once('close', (code) => resolve({ code, said }))
  })
}
