/** Settings and logs: what is wrong is told at once, what is secret is not told at all. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { commonSettings, createLogger, parseSettings, SettingsError, urlForLog, wholeNumber } from '../src/index.ts'

const schema = z.object({
  ...commonSettings,
  PORT: commonSettings.PORT.default(8083),
  LIMIT: wholeNumber(1, 10).default(5),
})
const good = {
  DATABASE_URL: 'postgres://u:p@h/db',
  REDIS_URL: 'redis://h:6379',
  BATON_ADMIN_KEY: 'a'.repeat(16),
  BATON_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
}

t.test('settings come from variables or from the files that NAME_FILE names', (t) => {
  const file = join(t.testdir({}), 'key')
  writeFileSync(file, `${'0A'.repeat(32)}\n`)
  const parsed = parseSettings(schema, {
    ...good,
    BATON_MASTER_KEY: undefined,
    BATON_MASTER_KEY_FILE: file,
    BATON_HTTP_ALLOW: ' 10.0.0.0/8, shop ,',
    LIMIT: '',
  })
  t.match(parsed, { PORT: 8083, HOST: '0.0.0.0', LOG_LEVEL: 'info', LIMIT: 5, BATON_HTTP_ALLOW: ['10.0.0.0/8', 'shop'] })
  t.equal(parsed.BATON_MASTER_KEY, '0a'.repeat(32))
  t.equal(parseSettings(schema, good).BATON_MASTER_KEY, '07'.repeat(32), 'hex and base64 of one key are one key')
  t.end()
})

t.test('every problem is listed at once, with the name of the setting and what to do', (t) => {
  try {
    parseSettings(schema, {
      DATABASE_URL: 'mysql://x',
      BATON_ADMIN_KEY: 'short',
      PORT: '70000',
      LIMIT: '1e3',
      LOG_LEVEL: 'loud',
      BATON_MASTER_KEY_FILE: '/nowhere',
    })
    t.fail('must throw')
  } catch (error) {
    t.ok(error instanceof SettingsError)
    const { problems, message } = error as SettingsError
    t.equal(problems.length, 7, message)
    for (const name of [
      'DATABASE_URL is wrong',
      'REDIS_URL is not set',
      'BATON_ADMIN_KEY',
      'PORT',
      'LIMIT',
      'LOG_LEVEL',
      'BATON_MASTER_KEY_FILE cannot be read',
    ]) {
      t.match(message, name)
    }
    t.match(message, /REDIS_URL_FILE/)
    t.notMatch(message, 'short')
  }
  t.end()
})

t.test('credentials never reach the log', (t) => {
  const lines: string[] = []
  const log = createLogger({ name: 'x' }, { write: (line: string) => void lines.push(line) })
  const secret = 'hunter2'
  log.info({ authorization: secret, headers: { authorization: secret, cookie: secret, 'set-cookie': [secret], 'x-api-key': secret } }, 'a')
  log.info({ a: { b: { token: secret, password: secret, c: { apiKey: secret, secret } } } }, 'b')
  log.info({ token: secret, request: { headers: { authorization: secret } } }, 'c')
  t.notMatch(lines.join(''), secret)
  t.equal(lines.length, 3)
  t.match(JSON.parse(lines[0]!), { service: 'x', level: 'info', msg: 'a', authorization: '[redacted]' })
  t.equal(urlForLog('/ws?token=abc&a=1&api_key=z'), '/ws?token=[redacted]&a=1&api_key=[redacted]')
  t.equal(urlForLog('/plain'), '/plain')
  t.end()
})
