/** The nightly backup of a single machine: whole dumps, the newest of them, and of the server itself where there is a pooler. */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { ROOT } from './deploy-settings.ts'

const POOLED = 'postgres://baton:secret@pgbouncer:6432/baton'
const SERVER = 'postgres://baton:other@db:5432/baton'

/** A folder for dumps, and the script with programs in the place of PostgreSQL's: the machine's may be older than the server of the tests. */
function prepare(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'baton-backup-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const [programs, backups] = [join(folder, 'bin'), join(folder, 'backups')]
  for (const made of [programs, backups]) mkdirSync(made)
  const fake = (name: string, body: string) => writeFileSync(join(programs, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
  const asked = '"$*" "$PGPASSWORD" "${PGSSLMODE:-} ${PGSSLROOTCERT:-}"'
  fake('pg_dump', `for a; do case $a in --file=*) printf "%s %s %s" ${asked} > "\${a#--file=}";; esac; done; exit "\${FAIL:-0}"`)
  fake('pg_restore', 'test -s "$2"')
  const secret = (name: string, value: string) => {
    writeFileSync(join(folder, name), value)
    return join(folder, name)
  }
  const backup = (env: Record<string, string>) => {
    const all = { PATH: `${programs}:${process.env['PATH']}`, BACKUP_FOLDER: backups, ...env }
    const { status, stdout, stderr } = spawnSync('sh', [join(ROOT, 'deploy/vm/backup.sh')], { env: all, encoding: 'utf8' })
    return { status, stderr, path: stdout.trim(), asked: status === 0 ? readFileSync(stdout.trim(), 'utf8') : '' }
  }
  return { backups, backup, secret }
}

t.test('the backup keeps whole dumps, and only the newest', (t) => {
  const { backups, backup } = prepare(t)
  for (const day of ['01', '02', '03']) writeFileSync(join(backups, `baton-202601${day}T000000Z.dump`), day)
  writeFileSync(join(backups, 'notes.txt'), 'mine')
  const env = { BACKUPS_KEPT: '2', DATABASE_URL: 'postgres://baton:secret@db/baton' }
  const { path, asked } = backup(env)
  t.match(asked, /^--format=custom .* postgres:\/\/baton@db\/baton secret +$/, 'the password is no argument')
  t.same(globSync('*', { cwd: backups }).sort(), ['baton-20260103T000000Z.dump', basename(path), 'notes.txt'].sort())
  t.not(backup({ ...env, FAIL: '1' }).status, 0)
  t.equal(globSync('{.,}*', { cwd: backups }).length, 3, 'one that failed leaves nothing, and takes nothing away')
  t.end()
})

t.test('the backup goes past a pooler to the server itself, named directly or in a file', (t) => {
  const { backup, secret } = prepare(t)
  const direct = / postgres:\/\/baton@db:5432\/baton other +$/
  const pooled = { DATABASE_URL_FILE: secret('pooled', POOLED), DATABASE_POOLER: 'transaction' }
  t.match(backup({ ...pooled, DATABASE_DIRECT_URL: SERVER }).asked, direct)
  t.match(backup({ ...pooled, DATABASE_DIRECT_URL_FILE: secret('direct', `${SERVER}\n`) }).asked, direct)
  t.end()
})

t.test('without the URL of the server the backup takes DATABASE_URL, and refuses one that leads through a pooler', (t) => {
  const { backup, secret } = prepare(t)
  const none = { DATABASE_DIRECT_URL_FILE: secret('none', '') }
  t.match(backup({ ...none, DATABASE_URL_FILE: secret('url', SERVER) }).asked, / postgres:\/\/baton@db:5432\/baton other +$/)
  const refused = { status: 1, stderr: /name the server itself in DATABASE_DIRECT_URL/ }
  t.match(backup({ ...none, DATABASE_URL: POOLED, DATABASE_POOLER: 'transaction' }), refused)
  t.match(backup({ ...none, DATABASE_URL: `${POOLED}?sslmode=require&pgbouncer=true` }), refused)
  t.end()
})

t.test('pg_dump is given of the URL what libpq knows, and the authority of TLS', (t) => {
  const { backup } = prepare(t)
  const url = (parameters: string) =>
    backup({ DATABASE_URL: `${SERVER}${parameters}` })
      .asked.split(' ')
      .at(-4)
  t.equal(url('?pgbouncer=false'), 'postgres://baton@db:5432/baton')
  t.equal(url('?pgbouncer=false&sslmode=require'), 'postgres://baton@db:5432/baton?sslmode=require')
  t.equal(url('?sslmode=require&pgbouncer=false'), 'postgres://baton@db:5432/baton?sslmode=require')
  t.match(backup({ DATABASE_URL: SERVER, DATABASE_TLS_CA_FILE: '/etc/ssl/own.pem' }).asked, / verify-full \/etc\/ssl\/own\.pem$/)
  t.end()
})
