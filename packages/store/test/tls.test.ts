import { createServer, type Socket } from 'node:net'
import { startPostgres, type TlsPostgres, tlsPostgres } from '@baton/testing'
import { type Test, test } from 'tap'
import { connect, migrate, type Sql, TlsRefused, waitForSchema, withTransaction } from '../src/index.ts'

const isEncrypted = async (sql: Sql) => (await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`)[0]?.['ssl']

function open(t: Test, url: string, query: string): Sql {
  const sql = connect(`${url}?${query}`, { max: 2 })
  t.teardown(() => sql.end({ timeout: 1 }))
  return sql
}

test('a connection is what sslmode says, for statements, transactions and migrations', async (t) => {
  const server = await tlsPostgres(t)
  const address = server.url.replace('localhost', '127.0.0.1')
  const encrypted = [
    [server.url, `sslmode=verify-full&sslrootcert=${server.ca}`],
    [server.url, `sslrootcert=${server.ca}`],
    [address, `sslmode=verify-ca&sslrootcert=${server.ca}`],
    [server.url, 'sslmode=require'],
    [server.url, 'sslmode=prefer'],
    [server.url, `sslmode=verify-full&sslrootcert=${server.ca}&sslnegotiation=direct`],
    [server.url, `sslmode=verify-full&sslrootcert=${server.ca}&sslcert=${server.clientCert}&sslkey=${server.clientKey}`],
  ] as const
  for (const [url, query] of encrypted) {
    const sql = open(t, url, query)
    t.equal(await isEncrypted(sql), true, query)
    t.equal(await withTransaction(sql, (tx) => isEncrypted(tx as Sql)), true, `${query}, in a transaction`)
  }
  t.equal(await isEncrypted(open(t, server.url, 'sslmode=disable')), false)
  const url = `${server.url}?sslmode=verify-full&sslrootcert=${server.ca}`
  t.ok((await migrate(url)).applied.length > 0)
  const sql = open(t, server.url, `sslmode=verify-full&sslrootcert=${server.ca}`)
  await t.resolves(waitForSchema(sql, { timeoutMs: 0, watchMs: 0 }))
  await testRefusals(t, server, address)
})

async function testRefusals(t: Test, server: TlsPostgres, address: string) {
  const refused: [string, string, RegExp][] = [
    [
      server.url,
      `sslmode=verify-full&sslrootcert=${server.otherCa}`,
      /certificate of the Postgres at localhost:\d+ is not accepted by the authorities in .*other.crt: /,
    ],
    [server.url, `sslmode=verify-ca&sslrootcert=${server.otherCa}`, /is not accepted by the authorities/],
    [server.url, `sslmode=require&sslrootcert=${server.otherCa}`, /is not accepted by the authorities/],
    [server.url, 'sslmode=verify-full', /is not accepted by an authority that Node knows/],
    [
      address,
      `sslmode=verify-full&sslrootcert=${server.ca}`,
      /certificate of the Postgres at 127.0.0.1:\d+ is for another host: .*127.0.0.1/,
    ],
    [server.url, `sslmode=require&sslcert=${server.clientCert}&sslkey=${server.ca}`, /TLS with the Postgres at localhost:\d+ fails/],
  ]
  for (const [url, query, message] of refused) {
    const sql = open(t, url, query)
    await t.rejects(sql`select 1`, { name: 'TlsRefused', message }, query)
    await t.rejects(sql`select 1`, { name: 'TlsRefused', message }, `${query}: the pool goes on`)
    await t.rejects(
      withTransaction(sql, (tx) => tx`select 1`),
      { name: 'TlsRefused', message },
      `${query}, in a transaction`,
    )
    await t.rejects(waitForSchema(sql, { timeoutMs: 60_000 }), { name: 'TlsRefused', exitCode: 78 }, 'a service does not wait for it')
  }
}

test('nothing is ever said in plain text to a server without TLS when TLS was asked for', async (t) => {
  const heard: Buffer[] = []
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      heard.push(Buffer.from(chunk))
      socket.write('N')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  for (const mode of ['require', 'verify-ca', 'verify-full']) {
    const sql = open(t, `postgres://somebody:secret@127.0.0.1:${port}/baton`, `sslmode=${mode}`)
    const error = await sql`select 1`.catch((reason: unknown) => reason)
    t.ok(error instanceof TlsRefused)
    t.match((error as Error).message, `offers no TLS, and sslmode=${mode} takes no plain text`)
  }
  t.same(Buffer.concat(heard).toString('hex'), '0000000804d2162f'.repeat(3), 'the question for TLS was all that was sent')
  const url = `postgres://somebody:secret@127.0.0.1:${port}/baton?sslmode=require`
  const migrated = migrate(url, { awayMsMax: 60_000, onAway: t.fail })
  await t.rejects(migrated, { name: 'TlsRefused' }, 'it is there, and not waited for')
})

test('a server without TLS is used in plain text when sslmode only prefers it', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  t.equal(await isEncrypted(open(t, server.url, 'sslmode=prefer')), false)
})
