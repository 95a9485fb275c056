import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeSecret } from './dot-env.ts'
import { namesSeveral } from './several-redis.ts'
import type { StackPaths } from './stack-paths.ts'
import { explainFileError } from './stack-problem.ts'
import type { StackSettings } from './stack-settings.ts'

/**
 * Writes what compose.yaml mounts under /run/secrets, a file each. The folder is its owner's alone; the files can be read inside the containers,
 * whose user has another number.
 */
export function writeComposeSecrets(paths: StackPaths, settings: StackSettings): void {
  const folder = join(paths.local, 'secrets')
  const { values, adminKey, masterKey, databaseUrl, redisUrl, ownPostgres, ownRedis } = settings
  const password = (url: string) => decodeURIComponent(new URL(url).password)
  const secrets: Record<string, string> = {
    admin_key: adminKey,
    master_key: masterKey,
    database_url: ownPostgres ? `postgres://baton:${password(databaseUrl)}@postgres:5432/baton` : databaseUrl,
    database_direct_url: values['DATABASE_DIRECT_URL'] ?? '',
    redis_url: ownRedis ? `redis://:${password(redisUrl)}@redis:6379/0` : redisUrl,
    postgres_password: password(databaseUrl) || 'unused', // of a server that is given only its exporter makes use
    redis_password: ownRedis ? password(redisUrl) : 'unused',
    redis_exporter_passwords: JSON.stringify(ownRedis ? { 'redis://redis:6379': password(redisUrl) } : passwordsOf(redisUrl)),
    openai_api_key: values['OPENAI_API_KEY'] ?? '',
    agent_providers: values['AGENT_PROVIDERS'] ?? '',
    otlp_headers: values['OTEL_EXPORTER_OTLP_HEADERS'] ?? '',
  }
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chmodSync(folder, 0o700)
    if (!existsSync(join(folder, 'grafana_password'))) secrets['grafana_password'] = makeSecret()
    for (const [name, value] of Object.entries(secrets)) writeChanged(join(folder, name), value)
  } catch (error) {
    throw explainFileError(error, folder)
  }
}

/** Of a Redis that is given: by its address, as its exporter takes them; of several servers none. */
function passwordsOf(redisUrl: string): Record<string, string> {
  if (namesSeveral(redisUrl)) return {}
  const { protocol, host, password } = new URL(redisUrl)
  return { [`${protocol}//${host}`]: decodeURIComponent(password) }
}

/** A file that is mounted is changed in place: a new one in its place would not be seen by what runs. */
function writeChanged(file: string, value: string): void {
  if (!existsSync(file) || readFileSync(file, 'utf8') !== value) writeFileSync(file, value)
  chmodSync(file, 0o644)
}
