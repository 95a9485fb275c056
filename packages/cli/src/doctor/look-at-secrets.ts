import { readFileSync } from 'node:fs'
import { type Finding, ok, problem, skipped, warning } from './finding.ts'

const KEY_LENGTH_MIN = 16
const KEY_LENGTH_GOOD = 32
const PASSWORD_LENGTH_MIN = 12
const WELL_KNOWN =
  /^(admin|administrator|baton|change[-_ ]?me|default|demo|example|pass(word|wd)?|postgres|redis|root|secret|test|unused)[-_ \d!.]*$/i
const MAKE = 'openssl rand -hex 32 makes one'

/** The value of a setting, or of the file that NAME_FILE names; undefined when neither is there. */
export function readSetting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const file = env[`${name}_FILE`]
  if (env[name] || !file) return env[name] || undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** Whether the keys and passwords that this environment has are hard to guess. Never shows one. */
export function lookAtSecrets(env: NodeJS.ProcessEnv, databaseUrl: string | undefined, redisUrl: string | undefined): Finding[] {
  const [adminKey, masterKey] = [readSetting(env, 'BATON_ADMIN_KEY'), readSetting(env, 'BATON_MASTER_KEY')]
  const findings = [
    adminKey === undefined ? skipped('admin key', 'give BATON_ADMIN_KEY to look at it') : judgeAdminKey(adminKey),
    masterKey === undefined ? skipped('master key', 'give BATON_MASTER_KEY to look at it') : judgeMasterKey(masterKey),
  ]
  if (adminKey !== undefined && adminKey === masterKey)
    findings.push(
      problem('master key', 'it is the admin key too: who has one has both', `Give BATON_ADMIN_KEY a value of its own (${MAKE}).`),
    )
  if (databaseUrl) findings.push(judgePassword('postgres password', databaseUrl, 'alter role … password, and DATABASE_URL'))
  if (redisUrl) findings.push(judgePassword('redis password', asOneHost(redisUrl), 'requirepass in redis.conf, and REDIS_URL'))
  return findings
}

/** What names several hosts is no URL to others: the first one stands for all. */
function asOneHost(url: string): string {
  return url.replace(/^(rediss?)\+\w+:/, '$1:').replace(/,[^/?@]*(?=[/?]|$)/, '')
}

function judgeAdminKey(key: string): Finding {
  const fix = `Set BATON_ADMIN_KEY to a random text of ${KEY_LENGTH_GOOD} characters or more (${MAKE}) and restart the services.`
  if (WELL_KNOWN.test(key) || key.length < KEY_LENGTH_MIN || isMonotone(key))
    return problem('admin key', 'BATON_ADMIN_KEY can be guessed', fix)
  if (key.length < KEY_LENGTH_GOOD) return warning('admin key', `BATON_ADMIN_KEY has ${key.length} characters`, fix)
  return ok('admin key', 'long and random enough')
}

function judgeMasterKey(key: string): Finding {
  const bytes = /^[0-9a-f]{64}$/i.test(key) ? Buffer.from(key, 'hex') : Buffer.from(key, 'base64')
  const fix = `Make one (${MAKE}), set BATON_MASTER_KEY, and save every secret again: those under the former key cannot be read with it.`
  if (bytes.length !== 32) return problem('master key', 'BATON_MASTER_KEY is not 32 bytes in hex or base64: no service starts with it', fix)
  if (isMonotone(bytes.toString('hex'))) return problem('master key', 'BATON_MASTER_KEY can be guessed', fix)
  return ok('master key', '32 random bytes')
}

function judgePassword(check: string, url: string, where: string): Finding {
  if (!URL.canParse(url)) return skipped(check, 'the URL cannot be read')
  const { hostname, password: encoded } = new URL(url)
  const password = decodeURIComponent(encoded)
  const isHere = /^(localhost|127\.|\[::1\])/.test(hostname)
  const found = password === '' ? 'there is none in the URL' : 'it can be guessed'
  if (password.length >= PASSWORD_LENGTH_MIN && !WELL_KNOWN.test(password) && !isMonotone(password)) return ok(check, 'hard to guess')
  const fix = `Set a random one (${MAKE}): ${where}.`
  return isHere ? warning(check, `${found} (${hostname})`, fix) : problem(check, `${found} (${hostname})`, fix)
}

/** A text of few different characters, or one piece again and again, is no secret whatever its length. */
function isMonotone(text: string): boolean {
  return new Set(text).size < 6 || /^(.{1,8})\1{2,}.{0,8}$/.test(text)
}
