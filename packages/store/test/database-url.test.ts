import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { libpqUrl, readDatabaseUrl } from '../src/index.ts'

const BASE = 'postgres://me:pw@db:6543/baton'

test('sslmode has the meaning that libpq gives it, and nothing said is plain text', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'baton-url-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const ca = join(folder, 'ca.crt')
  writeFileSync(ca, '')
  const modes: [string, string | undefined][] = [
    ['', undefined],
    ['sslmode=disable', undefined],
    ['ssl=false', undefined],
    ['sslmode=allow', 'prefer'],
    ['sslmode=prefer', 'prefer'],
    ['sslmode=require', 'require'],
    ['ssl=true', 'require'],
    ['ssl=require', 'require'],
    [`sslmode=require&sslrootcert=${ca}`, 'verify-ca'],
    ['sslmode=verify-ca', 'verify-ca'],
    ['sslmode=verify-full', 'verify-full'],
    ['sslmode=verify-full&sslrootcert=system', 'verify-full'],
    [`sslrootcert=${ca}`, 'verify-full'],
  ]
  for (const [query, mode] of modes) t.equal(readDatabaseUrl(`${BASE}?${query}`).tls?.mode, mode, query)
})

test('what is read here does not reach the server as a setting of the session, everything else does', async (t) => {
  const { url, pooler, port, hosts } = readDatabaseUrl(
    `${BASE}?sslmode=require&pgbouncer=true&channel_binding=prefer&keepalives=1&application_name=mine`,
  )
  t.equal(url, `${BASE}?application_name=mine`)
  t.match({ pooler, port, hosts }, { pooler: true, port: 6543, hosts: ['db'] })
  const plain = 'postgres://u:p%40ss@h/db'
  t.equal(readDatabaseUrl(plain).url, plain, 'as it was written')
  t.same(readDatabaseUrl('postgres://u@%2Frun%2Fpostgresql/db?sslmode=require').tls, undefined, 'a socket of this machine needs none')
})

test('what cannot be is told with its name, and not passed over', async (t) => {
  const wrong: [string, RegExp][] = [
    ['sslmode=verify', /sslmode in DATABASE_URL must be one of disable, .* and is verify$/],
    [
      'sslmode=verify-full&sslrootcert=/nowhere/ca.crt',
      /sslrootcert of DATABASE_URL names \/nowhere\/ca.crt, which cannot be read \(ENOENT\)/,
    ],
    ['sslmode=require&sslcert=/dev/null', /takes both sslcert and sslkey/],
    ['pgbouncer=yes', /pgbouncer in DATABASE_URL must be true or false/],
    ['sslcrl=/x', /sslcrl in DATABASE_URL is not supported/],
    ['sslmode=require&channel_binding=require', /channel_binding=require .* sslmode=verify-full/],
  ]
  for (const [query, message] of wrong) t.throws(() => readDatabaseUrl(`${BASE}?${query}`), { message, exitCode: 78 }, query)
  t.doesNotThrow(() => readDatabaseUrl(`${BASE}?sslmode=verify-full&channel_binding=require`))
})

test('the programs of PostgreSQL are told the same, without what they do not know', async (t) => {
  t.equal(libpqUrl(`${BASE}?pgbouncer=true&sslmode=require`), `${BASE}?sslmode=require`)
  t.equal(libpqUrl(`${BASE}?ssl=true`), `${BASE}?sslmode=require`)
  t.equal(libpqUrl(BASE), BASE)
  t.equal(libpqUrl(`${BASE}?sslrootcert=/dev/null`), `${BASE}?sslrootcert=%2Fdev%2Fnull&sslmode=verify-full`)
})
