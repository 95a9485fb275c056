import { cpSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'tap'
import { readDotEnv, writeDotEnv } from '../src/dot-env.ts'
import { fingerprintStack } from '../src/fingerprint-stack.ts'
import { stackPaths } from '../src/stack-paths.ts'
import { loadStackSettings } from '../src/stack-settings.ts'
import { temporaryFolder } from './temporary-folder.ts'

const portOf = (url: string | undefined) => Number(new URL(url ?? '').port)

test('the first start writes keys and URLs that only their owner can read, and the second finds them', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  const first = loadStackSettings(paths, {})
  t.equal(statSync(paths.dotEnv).mode & 0o777, 0o600)
  const file = readDotEnv(paths.dotEnv)
  t.match(file['BATON_ADMIN_KEY'], /^[0-9a-f]{64}$/)
  t.match(file['BATON_MASTER_KEY'], /^[0-9a-f]{64}$/)
  t.not(file['BATON_ADMIN_KEY'], file['BATON_MASTER_KEY'])
  t.equal(first.databaseUrl, file['DATABASE_URL'])
  t.equal(first.redisUrl, file['REDIS_URL'])
  t.ok(first.ownPostgres && first.ownRedis)
  t.equal(first.values['BATON_HTTP_ALLOW'], '127.0.0.0/8,::1/128')
  t.same(loadStackSettings(paths, {}), first)
})

test('empty settings of a copied .env.example are filled in, and the rest stays as it is', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  cpSync(resolve(import.meta.dirname, '../../../.env.example'), paths.dotEnv)
  writeDotEnv(paths.dotEnv, { LOG_LEVEL: 'warn' })
  const settings = loadStackSettings(paths, {})
  t.ok(settings.ownPostgres && settings.ownRedis)
  t.equal(settings.values['LOG_LEVEL'], 'warn')
  const text = readFileSync(paths.dotEnv, 'utf8')
  t.match(text, /^# Full rights on the REST API/m)
  t.equal(text.match(/^BATON_ADMIN_KEY=/gm)?.length, 1)
})

test('servers given in the environment are used and none is started, without a change to .env', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  loadStackSettings(paths, {})
  const before = readFileSync(paths.dotEnv, 'utf8')
  const given = { DATABASE_URL: 'postgres://me:pw@127.0.0.1:5432/baton', REDIS_URL: 'redis://127.0.0.1:6379' }
  const settings = loadStackSettings(paths, given)
  t.match(settings, { ownPostgres: false, ownRedis: false, databaseUrl: given.DATABASE_URL, redisUrl: given.REDIS_URL })
  t.match(settings.values, given)
  t.equal(readFileSync(paths.dotEnv, 'utf8'), before)
  t.ok(loadStackSettings(paths, {}).ownPostgres, 'and without them the stack has its own again')
})

test('a server of the user in .env is used, and none is started for it', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  loadStackSettings(paths, {})
  writeDotEnv(paths.dotEnv, { DATABASE_URL: 'postgres://me:pw@db.example:5432/baton' })
  const settings = loadStackSettings(paths, {})
  t.match(settings, { ownPostgres: false, ownRedis: true, databaseUrl: 'postgres://me:pw@db.example:5432/baton' })
  t.equal(readDotEnv(paths.dotEnv)['DATABASE_URL'], 'postgres://me:pw@db.example:5432/baton')
})

test('the URLs of the stack in the environment still mean the stack', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  loadStackSettings(paths, {})
  t.ok(loadStackSettings(paths, readDotEnv(paths.dotEnv)).ownPostgres)
})

test('BATON_PORT_OFFSET moves the servers of the stack with their passwords, and back', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  const plain = loadStackSettings(paths, {})
  const moved = loadStackSettings(paths, { BATON_PORT_OFFSET: '100' })
  t.equal(portOf(moved.databaseUrl), portOf(plain.databaseUrl) + 100)
  t.equal(portOf(moved.redisUrl), portOf(plain.redisUrl) + 100)
  t.equal(new URL(moved.databaseUrl).password, new URL(plain.databaseUrl).password)
  t.ok(moved.ownPostgres && moved.ownRedis)
  t.equal(readDotEnv(paths.dotEnv)['DATABASE_URL'], moved.databaseUrl)
  t.same(loadStackSettings(paths, {}), plain)
})

test('the offset moves the servers also when .local was removed meanwhile', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  const moved = loadStackSettings(paths, { BATON_PORT_OFFSET: '100' })
  rmSync(paths.local, { recursive: true })
  const plain = loadStackSettings(paths, {})
  t.ok(plain.ownPostgres && plain.ownRedis)
  t.equal(portOf(plain.databaseUrl), portOf(moved.databaseUrl) - 100)
})

test('the environment wins over .env, also with a secret in a file', async (t) => {
  const folder = temporaryFolder(t)
  const paths = stackPaths(folder)
  loadStackSettings(paths, {})
  t.equal(loadStackSettings(paths, { BATON_ADMIN_KEY: 'an admin key of mine' }).adminKey, 'an admin key of mine')
  writeFileSync(join(folder, 'key'), 'a key in a file\n')
  const settings = loadStackSettings(paths, { BATON_ADMIN_KEY_FILE: join(folder, 'key') })
  t.equal(settings.adminKey, 'a key in a file')
  t.notOk('BATON_ADMIN_KEY' in settings.values, 'the services read the file, and not the key of .env')
  t.throws(() => loadStackSettings(paths, { DATABASE_URL_FILE: '/nowhere' }), /DATABASE_URL_FILE names \/nowhere/)
})

test('a number that is none is refused by its name', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  t.throws(() => loadStackSettings(paths, { BATON_PORT_OFFSET: 'abc' }), /BATON_PORT_OFFSET must be a whole number/)
  t.throws(() => loadStackSettings(paths, { BATON_PORT_OFFSET: '60000' }), /BATON_PORT_OFFSET/)
  t.throws(() => loadStackSettings(paths, { HTTP_WORKER_REPLICAS: '-1' }), /HTTP_WORKER_REPLICAS/)
  t.equal(loadStackSettings(paths, { HTTP_WORKER_REPLICAS: '3' }).replicas['http-worker'], 3)
})

test('the fingerprint of a stack changes with its settings alone, not with other variables', async (t) => {
  const paths = stackPaths(temporaryFolder(t))
  const print = (env: Record<string, string>) => fingerprintStack(paths, loadStackSettings(paths, env))
  const plain = print({})
  t.equal(print({ SSH_TTY: '/dev/pts/1' }), plain)
  t.equal(print({ BATON_MODE: 'local' }), plain, 'the kind of stack that runs already')
  t.not(print({ LOG_LEVEL: 'warn' }), plain)
  t.not(print({ HTTP_WORKER_REPLICAS: '2' }), plain)
})
