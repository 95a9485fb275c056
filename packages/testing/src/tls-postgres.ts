import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { accountForPostgres } from '@baton/embedded'
import { startPostgres } from './start-postgres.ts'
import type { Teardown } from './test-database.ts'

/** A PostgreSQL that speaks TLS. Its certificate is for `localhost` alone, not for 127.0.0.1. */
export interface TlsPostgres {
  /** By the name `localhost`, without parameters. */
  url: string
  /** The authority that signed its certificate, another one, and a client certificate of the first for the user of `url`: paths. */
  ca: string
  otherCa: string
  clientCert: string
  clientKey: string
}

/** Starts one with certificates made by openssl; it ends with the test. */
export async function tlsPostgres(t: Teardown): Promise<TlsPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'baton-tls-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  const path = (name: string) => join(folder, name)
  makeAuthority(path('ca'))
  makeAuthority(path('other'))
  sign(path('ca'), path('server'), 'localhost', 'subjectAltName=DNS:localhost')
  sign(path('ca'), path('client'), 'postgres', 'extendedKeyUsage=clientAuth')
  const account = accountForPostgres()
  if (account) chownSync(path('server.key'), account.uid, account.gid)
  const settings = { ssl: 'on', ssl_cert_file: path('server.crt'), ssl_key_file: path('server.key'), ssl_ca_file: path('ca.crt') }
  const server = await startPostgres({ settings })
  t.teardown(() => server.stop())
  const url = new URL(server.url)
  url.hostname = 'localhost'
  return {
    url: url.href,
    ca: path('ca.crt'),
    otherCa: path('other.crt'),
    clientCert: path('client.crt'),
    clientKey: path('client.key'),
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

function makeAuthority(path: string): void {
  openssl([
    'req',
    '-x509',
    ...KEY,
    '-days',
    '2',
    '-subj',
    `/CN=Authority ${path.split('/').at(-1)}`,
    '-keyout',
    `${path}.key`,
    '-out',
    `${path}.crt`,
  ])
}

function sign(ca: string, path: string, name: string, extension: string): void {
  openssl(['req', ...KEY, '-subj', `/CN=${name}`, '-keyout', `${path}.key`, '-out', `${path}.csr`])
  writeFileSync(`${path}.ext`, extension)
  const by = ['-CA', `${ca}.crt`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '2', '-extfile', `${path}.ext`]
  openssl(['x509', '-req', '-in', `${path}.csr`, ...by, '-out', `${path}.crt`])
  chmodSync(`${path}.key`, 0o600)
}

function openssl(args: string[]): void {
  const { status, stderr, error } = spawnSync('openssl', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${args[0]}: ${error?.message ?? stderr}`)
}
