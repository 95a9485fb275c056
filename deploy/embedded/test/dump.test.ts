import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import { test } from 'tap'
import { findFreePort } from '../src/ports.ts'
import { accountForPostgres } from '../src/unprivileged-account.ts'
import { ONE_SERVICE, standInCheckout } from './stand-in-checkout.ts'
import { temporaryFolder } from './temporary-folder.ts'

type Teardown = { teardown(action: () => unknown): void }

/** Where a PostgreSQL with its client programs is installed (Debian's place); undefined when there is none. */
function installedPostgres(): string | undefined {
  const base = '/usr/lib/postgresql'
  const versions = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : []
  return versions
    .map((version) => join(base, version, 'bin'))
    .find((bin) => ['initdb', 'pg_ctl', 'pg_dump'].every((name) => existsSync(join(bin, name))))
}

/** A PostgreSQL as a user brings it. */
async function userPostgres(t: Teardown, bin: string) {
  const folder = temporaryFolder(t)
  chmodSync(folder, 0o755)
  const [data, passwordFile] = [join(folder, 'data'), join(folder, 'password')]
  mkdirSync(data, { mode: 0o700 })
  writeFileSync(passwordFile, 'of-the-user\n', { mode: 0o600 })
  const account = accountForPostgres()
  if (account) for (const path of [data, passwordFile]) chownSync(path, account.uid, account.gid)
  const as = {
    cwd: '/',
    env: { LC_ALL: 'C', PATH: process.env['PATH'] },
    stdio: 'ignore' as const,
    ...(account && { uid: account.uid, gid: account.gid }),
  }
  const port = await findFreePort()
  spawnSync(join(bin, 'initdb'), ['-D', data, '-U', 'owner', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'], as)
  const options = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off`
  spawnSync(join(bin, 'pg_ctl'), ['-D', data, '-w', '-o', options, '-l', join(data, 'log'), 'start'], as)
  t.teardown(() => spawnSync(join(bin, 'pg_ctl'), ['-D', data, '-m', 'immediate', 'stop'], as))
  const admin = postgres(`postgres://owner:of-the-user@127.0.0.1:${port}/postgres`, { max: 1, onnotice: () => {} })
  await admin`create database baton`
  await admin.end()
  return { url: `postgres://owner:of-the-user@127.0.0.1:${port}/baton`, port }
}

async function ask<T>(url: string, action: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return await action(sql)
  } finally {
    await sql.end({ timeout: 5 })
  }
}

const notesOf = (url: string) =>
  ask(url, async (sql) => (await sql`select text from notes order by text`).map(({ text }) => text as string))

/** Stands in for the engine: writes down what it is told, and runs PostgreSQL's programs "in the container" against the server of the test. */
function standInDocker(t: Teardown, bin: string, port: number): { path: string; calls(): string[] } {
  const folder = temporaryFolder(t)
  const log = join(folder, 'calls')
  const script = `#!/bin/bash
echo "$*" >> ${log}
while [ $# -gt 0 ]; do
  if [ "$1" = postgres ]; then
    shift; program=$1; shift
    PGHOST=127.0.0.1 PGPORT=${port} PGPASSWORD=of-the-user exec ${bin}/$program "\${@/--username=baton/--username=owner}"
  fi
  shift
done
`
  writeFileSync(join(folder, 'docker'), script, { mode: 0o755 })
  return { path: `${folder}:${process.env['PATH']}`, calls: () => readFileSync(log, 'utf8').trim().split('\n') }
}

const bin = installedPostgres()

test('a PostgreSQL of the user, and one in a container, are backed up by pg_dump and restored beside what is there', {
  timeout: 100_000,
  skip: bin ? false : 'no PostgreSQL is installed',
}, async (t) => {
  const { url, port } = await userPostgres(t, bin!)
  const docker = standInDocker(t, bin!, port)
  const { root, run } = await standInCheckout(t, { PG_BIN: bin!, ...ONE_SERVICE })
  await ask(url, (sql) => sql`create table notes as select 'kept' as text`)
  const ways = { local: { DATABASE_URL: url }, docker: { BATON_MODE: 'docker', PATH: docker.path } }
  for (const [way, env] of Object.entries(ways)) {
    const FILE = `backups/${way}.dump`
    t.match(await run('backup', { ...env, FILE }), { code: 0, said: /Keep BATON_MASTER_KEY/ }, way)
    await ask(url, (sql) => sql`insert into notes values ('written later')`)
    t.match(await run('restore', { ...env, FILE }), { code: 1, said: /replaced.*CONFIRM=yes/ }, way)
    t.same(await notesOf(url), ['kept', 'written later'])

    const dump = readFileSync(join(root, FILE))
    writeFileSync(join(root, 'backups/half.dump'), dump.subarray(0, dump.length - 60))
    const half = await run('restore', { ...env, FILE: 'backups/half.dump', CONFIRM: 'yes' })
    t.match(half, { code: 1, said: /(damaged|the data are as they were)/ }, half.said)
    t.same(await notesOf(url), ['kept', 'written later'], 'a bad dump costs nothing')

    const done = await run('restore', { ...env, FILE, CONFIRM: 'yes' })
    t.match(done, { code: 0, said: /Restored from/ }, done.said)
    t.same(await notesOf(url), ['kept'], way)
    t.same(
      await ask(url, async (sql) => (await sql`select datname from pg_database where datname like 'baton_%'`).length),
      0,
      'nothing is left beside it',
    )
  }
  const calls = docker.calls()
  const order = [
    'stop orchestrator',
    'exec --no-TTY postgres pg_restore --no-owner',
    'exec --no-TTY redis sh -c REDISCLI_AUTH',
    'start orchestrator',
  ]
  const places = order.map((begin) => calls.findLastIndex((call) => call.includes(begin)))
  t.ok(
    places.every((place, index) => place > (places[index - 1] ?? -1)),
    'the services are away while the data change',
  )
})

test('without a fitting pg_dump a sentence says which to install', { timeout: 60_000 }, async (t) => {
  const { paths, run } = await standInCheckout(t, ONE_SERVICE)
  t.match(await run('up'), { code: 0 })
  const url = /^DATABASE_URL=(.*)$/m.exec(readFileSync(paths.dotEnv, 'utf8'))![1]!.replace('127.0.0.1', 'localhost')
  t.match(await run('backup', { DATABASE_URL: url, PATH: '/nowhere' }), { code: 1, said: /no pg_dump on PATH.*postgresql-client-18/ })
  if (bin && Number(bin.split('/')[4]) < 18)
    t.match(await run('backup', { DATABASE_URL: url, PG_BIN: bin }), {
      code: 1,
      said: /pg_dump is of PostgreSQL \d+ and cannot read PostgreSQL 18/,
    })
})
